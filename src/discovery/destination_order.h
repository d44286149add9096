// SPDX-License-Identifier: BSD-2-Clause
//
// The order in which addresses of one server are tried (RFC 7488 s3): as RFC 6724 s6 sorts destinations. The
// system's resolver does the same for a name; lists that DHCP gives come without.
#pragma once

#include <optional>
#include <vector>

#include "base/address.h"

namespace portolan::discovery {

/// An address of a server, and the source address that the host would use towards it.
struct Destination {
  IpAddress address;
  std::optional<IpAddress> source;  ///< nothing: there is no way to it
  bool is_source_deprecated = false;
};

/// Spec  RFC 6724 s6, rules 1, 2, 3, 5, 6, 8, 9 and 10, with the policy table of s2.1. Mobility (4) and
/// tunnels (7)
///       are left out.
/// Cost  O(n log n)
[[nodiscard]] auto in_order(std::vector<Destination> destinations) -> std::vector<Destination>;

}  // namespace portolan::discovery
