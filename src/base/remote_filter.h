// SPDX-License-Identifier: BSD-2-Clause
//
// Which peers an inbound mapping lets in (RFC 6887 s13.3).
#pragma once

#include <compare>

#include "base/address.h"

namespace portolan {

/// Remote peers that may send to a mapping.
struct RemoteFilter {
  /// As the client sees them, in the family of the internal address; "no filter" is no element.
  Prefix remote_peers;
  /// 0: any.
  Port remote_port;

  auto operator<=>(const RemoteFilter&) const = default;
};

}  // namespace portolan
