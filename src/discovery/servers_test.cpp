// SPDX-License-Identifier: BSD-2-Clause
#include "discovery/servers.h"

#include <string_view>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace portolan::discovery {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

auto address(std::string_view text) -> IpAddress { return IpAddress::parse(text).value(); }

const InterfaceName wifi{.index = 2, .name = "wlan0"};
const InterfaceName wire{.index = 3, .name = "eth0"};

auto host(std::string_view text, const InterfaceName& interface) -> HostAddress {
  HostAddress entry;
  entry.address = address(text);
  entry.interface_index = interface.index;
  return entry;
}

/// "default router wlan0: fe80::1 2001:1::1".
auto texts(const Findings& findings) -> std::vector<std::string> {
  std::vector<std::string> lines;
  for (const Server& server : choose_servers(findings)) {
    std::string line = fmt::format("{} {}:", to_string(server.origin), server.interface.name);
    for (const IpAddress& each : server.addresses) line += " " + to_string(each);
    lines.push_back(std::move(line));
  }
  return lines;
}

/// A host with two links, a router on each, and IPv4 on the wire.
auto two_links() -> Findings {
  Findings findings;
  findings.routers = {{.address = address("fe80::1"), .interface = wifi},
                      {.address = address("fe80::2"), .interface = wire},
                      {.address = address("192.0.2.1"), .interface = wire}};
  findings.host_addresses = {host("192.0.2.77", wire), host("2001:db8::77", wifi)};
  return findings;
}

TEST(ChooseServers, routers_of_each_link_and_family_are_asked_and_anycast_behind_them) {
  EXPECT_THAT(texts(two_links()),
              ElementsAre("default router wlan0: fe80::1 2001:1::1", "default router eth0: fe80::2 2001:1::1",
                          "default router eth0: 192.0.2.1 192.0.0.9"));
  auto findings = two_links();
  findings.uses_anycast = false;
  EXPECT_THAT(texts(findings), ElementsAre("default router wlan0: fe80::1", "default router eth0: fe80::2",
                                           "default router eth0: 192.0.2.1"));
}

TEST(ChooseServers, several_routers_of_a_link_are_one_server_in_their_order) {
  Findings findings;
  findings.routers = {{.address = address("fe80::9"), .interface = wifi},
                      {.address = address("fe80::1"), .interface = wifi}};
  findings.uses_anycast = false;
  EXPECT_THAT(texts(findings), ElementsAre("default router wlan0: fe80::9 fe80::1"));
}

TEST(ChooseServers, those_told_are_the_only_ones) {
  auto findings = two_links();
  findings.leased = {
      {.lease = {.interface = {}, .addresses = {}, .servers = {{address("192.0.2.3")}}}, .interface = wire}};
  findings.told = {{.addresses = {address("2001:db8::5351"), address("192.0.2.9")}, .interface = {}}};
  EXPECT_THAT(texts(findings), ElementsAre("configured : 2001:db8::5351", "configured : 192.0.2.9"));
}

TEST(ChooseServers, a_lease_stands_in_for_the_routers_of_its_link_alone) {
  auto findings = two_links();
  findings.leased = {
      {.lease = {.interface = {},
                 .addresses = {address("192.0.2.77")},
                 .servers = {{address("198.51.100.1"), address("198.51.100.2")}, {address("203.0.113.1")}}},
       .interface = wire}};
  EXPECT_THAT(texts(findings), ElementsAre("DHCP eth0: 198.51.100.1 198.51.100.2", "DHCP eth0: 203.0.113.1",
                                           "default router wlan0: fe80::1 2001:1::1"));
}

// Stateless DHCPv6 leases none (RFC 8415 s18.2.6).
TEST(ChooseServers, a_lease_without_addresses_is_looked_at) {
  auto findings = two_links();
  findings.leased = {{.lease = {.interface = {}, .addresses = {}, .servers = {{address("2001:db8::5351")}}},
                      .interface = wifi}};
  EXPECT_THAT(texts(findings).front(), "DHCP wlan0: 2001:db8::5351");
}

TEST(ChooseServers, an_old_lease_is_not_looked_at) {
  auto findings = two_links();
  findings.uses_anycast = false;
  const auto lease = [&](std::string_view leased, const InterfaceName& interface) {
    findings.leased = {
        {.lease = {.interface = {}, .addresses = {address(leased)}, .servers = {{address("198.51.100.1")}}},
         .interface = interface}};
    return texts(findings).front();
  };
  EXPECT_EQ(lease("192.0.2.76", wire), "default router wlan0: fe80::1");
  EXPECT_EQ(lease("192.0.2.77", wifi), "default router wlan0: fe80::1") << "the address is another link's";
  EXPECT_EQ(lease("192.0.2.77", wire), "DHCP eth0: 198.51.100.1");
}

TEST(ChooseServers, a_host_without_routers_tries_anycast) {
  EXPECT_THAT(texts({}), ElementsAre("anycast : 2001:1::1", "anycast : 192.0.0.9"));
  Findings findings;
  findings.uses_anycast = false;
  EXPECT_THAT(texts(findings), IsEmpty());
}

TEST(ChooseServers, nobody_is_asked_twice) {
  Findings findings;
  findings.told = {{.addresses = {address("2001:db8::1")}, .interface = {}},
                   {.addresses = {address("2001:db8::1")}, .interface = {}},
                   {.addresses = {address("fe80::1")}, .interface = wifi},
                   {.addresses = {address("fe80::1")}, .interface = wire}};
  EXPECT_THAT(texts(findings), ElementsAre("configured : 2001:db8::1", "configured wlan0: fe80::1",
                                           "configured eth0: fe80::1"));
}

TEST(ChooseServers, servers_beyond_the_limit_are_left_out) {
  for (const std::size_t count : {servers_asked_max - 1, servers_asked_max, servers_asked_max + 1}) {
    Findings findings;
    for (std::size_t i = 0; i < count; ++i)
      findings.told.push_back(
          {.addresses = {IpAddress{Ipv4Address{static_cast<std::uint32_t>(0xc0000201 + i)}}},
           .interface = {}});
    EXPECT_THAT(choose_servers(findings), SizeIs(std::min(count, servers_asked_max)));
  }
}

}  // namespace
}  // namespace portolan::discovery
