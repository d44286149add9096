// SPDX-License-Identifier: BSD-2-Clause
#include "discovery/servers.h"

#include <algorithm>
#include <array>
#include <utility>

namespace portolan::discovery {
namespace {

constexpr std::array both{Family::ipv6, Family::ipv4};

constexpr auto anycast(Family family) -> const IpAddress& {
  return family == Family::ipv4 ? anycast_ipv4 : anycast_ipv6;
}

/// Adds a server for each family that the addresses have.
void add(Origin origin, const InterfaceName& interface, const AddressList& addresses,
         std::vector<Server>& servers) {
  for (const Family family : both) {
    Server server{.origin = origin, .interface = interface, .addresses = of_family(addresses, family)};
    const bool is_known = std::ranges::any_of(servers, [&](const Server& other) {
      return other.addresses == server.addresses && other.interface == server.interface;
    });
    if (!server.addresses.empty() && !is_known && servers.size() < servers_asked_max)
      servers.push_back(std::move(server));
  }
}

/// The host still has what was leased to it.
auto is_current(const Findings::Leased& leased, std::span<const HostAddress> host_addresses) -> bool {
  const auto& wanted = leased.lease.addresses;
  return wanted.empty() || std::ranges::any_of(host_addresses, [&](const HostAddress& present) {
           return present.interface_index == leased.interface.index &&
                  std::ranges::find(wanted, present.address) != wanted.end();
         });
}

/// Default routers of each interface and family, and behind them the anycast address: one server, because
/// packets pass the first router that is there, whichever it is.
void add_routers(const Findings& findings, std::span<const InterfaceName> served,
                 std::vector<Server>& servers) {
  std::vector<InterfaceName> seen;
  for (const Findings::Router& router : findings.routers) {
    const auto is_interface = [&](const InterfaceName& other) { return other == router.interface; };
    if (std::ranges::any_of(served, is_interface) || std::ranges::any_of(seen, is_interface)) continue;
    seen.push_back(router.interface);
    AddressList addresses;
    for (const Findings::Router& other : findings.routers)
      if (other.interface == router.interface && addresses.size() < server_addresses_max)
        addresses.push_back(other.address);
    for (const Family family : both)
      if (findings.uses_anycast && !of_family(addresses, family).empty())
        addresses.push_back(anycast(family));
    add(Origin::default_router, router.interface, addresses, servers);
  }
}

/// A family without routers may still have a route, over a link that has no router address.
void add_lone_anycast(std::vector<Server>& servers) {
  for (const Family family : both) {
    const bool has_server = std::ranges::any_of(
        servers, [&](const Server& server) { return server.addresses.front().family() == family; });
    if (!has_server) add(Origin::anycast, {}, {anycast(family)}, servers);
  }
}

}  // namespace

auto to_string(Origin origin) -> std::string_view {
  switch (origin) {
    case Origin::told: return "configured";
    case Origin::dhcp: return "DHCP";
    case Origin::default_router: return "default router";
    case Origin::anycast: return "anycast";
  }
  std::unreachable();
}

auto of_family(const AddressList& addresses, Family family) -> AddressList {
  AddressList chosen;
  std::ranges::copy_if(addresses, std::back_inserter(chosen),
                       [&](const IpAddress& address) { return address.family() == family; });
  return chosen;
}

auto choose_servers(const Findings& findings) -> std::vector<Server> {
  std::vector<Server> servers;
  for (const Findings::Told& told : findings.told) add(Origin::told, told.interface, told.addresses, servers);
  if (!findings.told.empty()) return servers;
  std::vector<InterfaceName> served;
  for (const Findings::Leased& leased : findings.leased) {
    if (leased.lease.servers.empty() || !is_current(leased, findings.host_addresses)) continue;
    for (const AddressList& addresses : leased.lease.servers)
      add(Origin::dhcp, leased.interface, addresses, servers);
    served.push_back(leased.interface);
  }
  add_routers(findings, served, servers);
  if (findings.uses_anycast) add_lone_anycast(servers);
  return servers;
}

}  // namespace portolan::discovery
