// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/mapping_key.h"
#include "base/remote_filter.h"
#include "base/time.h"

namespace portolan {

/// A mapping that the operator makes (RFC 6887 s2.2). It counts against no user.
struct StaticMapping {
  MappingKey key;
  /// Unspecified: whichever the device has.
  IpAddress external_address;
  Port external_port;
  /// Peers that may send; empty: anyone.
  std::vector<RemoteFilter> filters{};
  /// As clients are told it (RFC 7220); empty: none.
  std::string description{};
  /// When it ends by itself; none: never.
  std::optional<TimePoint> expires{};

  auto operator==(const StaticMapping&) const -> bool = default;
};

}  // namespace portolan
