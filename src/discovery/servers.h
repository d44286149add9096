// SPDX-License-Identifier: BSD-2-Clause
//
// Which PCP servers a client asks, of all that was found (RFC 6887 s8.1): those it was told, else those DHCP
// named, else the default routers, and the anycast addresses where those are silent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/host_address.h"
#include "discovery/dhcp.h"

namespace portolan::discovery {

/// Interfaces have a name and a number; what was learned of one belongs to it alone (RFC 7291 s7).
struct InterfaceName {
  std::uint32_t index = 0;
  std::string name;
  auto operator==(const InterfaceName&) const -> bool = default;
};

/// What was found, each in the order of preference.
struct Findings {
  struct Told {
    AddressList addresses;
    InterfaceName interface;  ///< of link-local addresses
  };
  struct Leased {
    Lease lease;
    InterfaceName interface;
  };
  struct Router {
    IpAddress address;
    InterfaceName interface;
  };
  std::vector<Told> told;  ///< by the user, or the agent's file
  std::vector<Leased> leased;
  std::vector<Router> routers;
  std::vector<HostAddress> host_addresses;
  bool uses_anycast = true;  ///< RFC 7723 s1 wants a means to turn it off
};

enum class Origin : std::uint8_t { told, dhcp, default_router, anycast };
[[nodiscard]] auto to_string(Origin origin) -> std::string_view;

/// One PCP server, that is, one set of mappings; asked at one of its addresses after the other until one
/// answers (RFC 7488 s3). All of one family, which is that of the mappings' internal addresses.
struct Server {
  Origin origin = Origin::told;
  InterfaceName interface;  ///< index 0: any
  AddressList addresses;
  auto operator==(const Server&) const -> bool = default;
};

/// RFC 7723 s4.
inline constexpr IpAddress anycast_ipv4{Ipv4Address{0xc0000009}};
inline constexpr IpAddress anycast_ipv6{Ipv6Address{{0x20, 0x01, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}}};

/// Servers to ask at a time; what is beyond is left out.
inline constexpr std::size_t servers_asked_max = 32;

/// The servers to ask, all of them at a time (RFC 7488 s4), each once.
///
/// Spec  RFC 6887 s8.1: told servers are the only ones. RFC 7291 s7: an interface whose lease names servers
/// asks
///       those; the others their routers, the best one first. RFC 7723 s2.1: anycast comes behind the
///       routers. A lease whose addresses the interface has no more is an old one, and is not looked at.
[[nodiscard]] auto choose_servers(const Findings& findings) -> std::vector<Server>;

/// Addresses of one server that are of one family, in their order.
[[nodiscard]] auto of_family(const AddressList& addresses, Family family) -> AddressList;

}  // namespace portolan::discovery
