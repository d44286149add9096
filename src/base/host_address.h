// SPDX-License-Identifier: BSD-2-Clause
//
// An address of this host as the kernel tells it: what a client needs to know about what it maps.
#pragma once

#include <cstdint>
#include <optional>

#include "base/address.h"
#include "base/time.h"

namespace portolan {

struct HostAddress {
  IpAddress address;
  std::uint32_t interface_index = 0;
  unsigned prefix_length = 0;  ///< bits of the address's own family
  bool is_temporary = false;   ///< a privacy address, replaced by another one in time (RFC 8981)
  bool is_deprecated = false;  ///< for what uses it already, not for anything new (RFC 4862 s5.5.4)
  bool is_usable = true;       ///< not while duplicate detection goes on, nor after it found one
  std::optional<TimePoint> preferred_until;  ///< nothing: for ever
  std::optional<TimePoint> valid_until;      ///< nothing: for ever
  auto operator==(const HostAddress&) const -> bool = default;
};

}  // namespace portolan
