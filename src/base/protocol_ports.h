// SPDX-License-Identifier: BSD-2-Clause
//
// Which protocols have ports: what is mapped of the others has port 0 (RFC 6887 s11.2).
#pragma once

#include "base/address.h"

namespace portolan {

/// Whether its packets have 16-bit port numbers: TCP, UDP, DCCP, SCTP, UDP-Lite.
[[nodiscard]] constexpr auto has_ports(Protocol protocol) -> bool {
  constexpr auto dccp = static_cast<Protocol>(33);
  constexpr auto udp_lite = static_cast<Protocol>(136);
  return protocol == Protocol::tcp || protocol == Protocol::udp || protocol == Protocol::sctp ||
         protocol == dccp || protocol == udp_lite;
}

}  // namespace portolan
