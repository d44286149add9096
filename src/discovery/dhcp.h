// SPDX-License-Identifier: BSD-2-Clause
//
// PCP servers in what a DHCP server sent (RFC 7291): the options themselves, and the whole messages that
// dhcpcd keeps as its leases.
//
//    DHCPv4, code 158                            DHCPv6, code 86
//   +-------------+-------------------------+   +---------------------------------+
//   | List-Length | IPv4 addresses          |   | IPv6 addresses, 16 octets each  |
//   +-------------+-------------------------+   +---------------------------------+
//     and again for each further server           one option for each server
#pragma once

#include <cstddef>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"

namespace portolan::discovery {

/// Addresses of one PCP server, in the order they were given.
using AddressList = std::vector<IpAddress>;

/// Servers of one lease, and addresses of one server; what comes beyond is left out.
inline constexpr std::size_t servers_max = 16;
inline constexpr std::size_t server_addresses_max = 16;

enum class DhcpError : std::uint8_t {
  bad_length,  ///< an option or a list in it is not as long as addresses are
  no_address,  ///< a list names no address that can be a server's
  cut,         ///< the message ends within an option
  not_dhcp,    ///< no DHCP answer at all
};
[[nodiscard]] auto to_string(DhcpError error) -> std::string_view;

/// What one lease says.
struct Lease {
  std::string interface;             ///< empty: the file's name tells
  std::vector<IpAddress> addresses;  ///< leased; none if only other settings were asked for
  std::vector<AddressList> servers;  ///< in the order they were given
  auto operator==(const Lease&) const -> bool = default;
};

/// The value of DHCPv4 option 158, of all its parts (RFC 3396).
///
/// Spec    RFC 7291 s4.1, s4.2: multicast and loopback addresses are left out without a word
/// Errors  bad_length, no_address: none of its servers is taken
[[nodiscard]] auto parse_dhcp4_servers(std::span<const std::byte> value)
    -> std::expected<std::vector<AddressList>, DhcpError>;
/// The value of one DHCPv6 option 86: one server.
///
/// Spec    RFC 7291 s3.1, s3.2: an IPv4-mapped address is an IPv4 server's
/// Errors  bad_length, no_address
[[nodiscard]] auto parse_dhcp6_server(std::span<const std::byte> value)
    -> std::expected<AddressList, DhcpError>;

/// A DHCPv4 answer. Options may go on in its file and sname fields (RFC 2132 s9.3).
/// Errors  not_dhcp, cut, and those of the option
[[nodiscard]] auto parse_dhcp4_message(std::span<const std::byte> message) -> std::expected<Lease, DhcpError>;
/// A DHCPv6 answer.
/// Errors  not_dhcp, cut, and those of the option
[[nodiscard]] auto parse_dhcp6_message(std::span<const std::byte> message) -> std::expected<Lease, DhcpError>;

}  // namespace portolan::discovery
