// SPDX-License-Identifier: BSD-2-Clause
//
// PCP servers in the lease files that DHCP clients write as text: dhclient's (NetworkManager has it write the
// same), and the lines of KEY=VALUE of systemd-networkd.
//
// Of options they do not know, dhclient writes the octets as "option unknown-158 4:c0:0:2:1;", or under a
// name that its configuration gives them; the names pcp-server and pcp-servers are known here.
// systemd-networkd keeps them as "OPTION_158=04c0000201", if at all: up to version 255 it keeps 224 to 254
// only.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "discovery/dhcp.h"

namespace portolan::discovery {

/// Leases of one file; later ones of dhclient's replace earlier ones of the same interface and family.
inline constexpr std::size_t leases_max = 64;

struct LeaseFile {
  std::vector<Lease> leases;
  /// What is wrong in it, "line 12: ..."; at most leases_max.
  std::vector<std::string> problems;
};

/// Cost  O(octets)
[[nodiscard]] auto parse_dhclient_leases(std::string_view text) -> LeaseFile;
/// One lease, without the interface's name. Cost  O(octets)
[[nodiscard]] auto parse_networkd_lease(std::string_view text) -> LeaseFile;

}  // namespace portolan::discovery
