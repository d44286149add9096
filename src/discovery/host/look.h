// SPDX-License-Identifier: BSD-2-Clause
//
// Looks at this host for what `discovery` decides from: leases of DHCP clients, default routers, addresses.
#pragma once

#include <cstddef>
#include <expected>
#include <filesystem>
#include <string>
#include <vector>

#include "client/servers.h"
#include "discovery/address_plan.h"
#include "discovery/servers.h"

namespace portolan::discovery {

/// A lease file that is larger is not read.
inline constexpr std::size_t lease_file_octets_max = 262144;
/// Files of one folder that are looked at.
inline constexpr std::size_t lease_files_max = 256;

struct View {
  /// All but Findings::told and uses_anycast.
  Findings findings;
  std::vector<InterfaceName> interfaces;
  /// What could not be read or understood, and so may hide a server: a line each for a person.
  std::vector<std::string> remarks;
};

/// Looks at everything. Lease files are searched in the folders of dhclient, NetworkManager, dhcpcd and
/// systemd-networkd below `root`; those that are not there are no news, those that may not be read are a
/// remark.
///
/// Errors  text: the kernel does not answer
[[nodiscard]] auto look_around(const std::filesystem::path& root = "/") -> std::expected<View, std::string>;

/// Interfaces and addresses alone: all that is needed to ask servers that one was told.
/// Errors  text: the kernel does not answer
[[nodiscard]] auto look_at_addresses() -> std::expected<View, std::string>;

/// The interface of that name or number that lease files belong to, by the longest name that `stem` begins
/// with: of "wlan0-home" that is wlan0. For dhcpcd, which adds the network's name.
[[nodiscard]] auto interface_of_stem(const std::string& stem, const std::vector<InterfaceName>& interfaces)
    -> InterfaceName;

/// One address of a server that can be asked, and from where.
struct Way {
  IpAddress server;
  InterfaceName interface;  ///< needed if the server is link-local; else index 0
  AddressPlan plan;
  /// "2001:db8::1" or "fe80::1%eth0".
  [[nodiscard]] auto server_text() const -> std::string;
  /// To the server's UDP port.
  [[nodiscard]] auto path(Port port) const -> client::Path;
};

/// Addresses of `server` in the order to try them (RFC 7488 s3), with the source that traffic uses. Addresses
/// without a way are left out, with a remark why.
[[nodiscard]] auto ways_to(const Server& server, const View& view, std::vector<std::string>& remarks)
    -> std::vector<Way>;

/// Adds the paths from addresses that the kernel does not choose: those at the same interface, which the
/// server's answers come back by.
void add_other_paths(const View& view, client::Server& server);

/// The servers that a client is to ask, at UDP port `port`: those of choose_servers() that there is a way to.
/// Each has the name of its first address, whatever the order they are tried in, and no name is there twice,
/// and paths from every address of the host.
[[nodiscard]] auto client_servers(const View& view, Port port, std::vector<std::string>& remarks)
    -> std::vector<client::Server>;

}  // namespace portolan::discovery
