// SPDX-License-Identifier: BSD-2-Clause
#include "portoland/engine_config.h"

#include <gmock/gmock.h>

namespace portolan::portoland {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

auto settings_of(std::vector<DeviceKind> devices) -> Settings {
  Settings settings;
  settings.devices = std::move(devices);
  settings.server.inside.resize(1);
  settings.nat64.pool = {Ipv4Address{0xc000020e}};
  settings.nat44.pool = {Ipv4Address{0xc0000210}};
  settings.simulated.pool = {*IpAddress::parse("192.0.2.1")};
  return settings;
}

TEST(EngineConfig, nat_pmp_is_spoken_where_ipv4_hosts_are_served) {
  for (const DeviceKind device : {DeviceKind::simulated, DeviceKind::nat44})
    EXPECT_TRUE(server_config(settings_of({device}), {}).nat_pmp);
  for (const DeviceKind device : {DeviceKind::nat64, DeviceKind::nat64_remote, DeviceKind::firewall6})
    EXPECT_FALSE(server_config(settings_of({device}), {}).nat_pmp);
  Settings settings = settings_of({DeviceKind::nat44});
  settings.server.nat_pmp = false;
  EXPECT_FALSE(server_config(settings, {}).nat_pmp) << "the operator turned it off";
}

TEST(EngineConfig, several_devices_give_what_each_gives) {
  const auto config =
      server_config(settings_of({DeviceKind::firewall6, DeviceKind::nat64, DeviceKind::nat44}), {});
  EXPECT_THAT(config.external_families, ElementsAre(Family::ipv4, Family::ipv6));
  EXPECT_THAT(config.external_family_of,
              ElementsAre(std::pair(Family::ipv6, Family::ipv4), std::pair(Family::ipv4, Family::ipv4),
                          std::pair(Family::ipv6, Family::ipv6)));
  EXPECT_THAT(config.inside.at(0).families, ElementsAre(Family::ipv6, Family::ipv4));
  EXPECT_THAT(config.nat_pmp_addresses, ElementsAre(Ipv4Address{0xc0000210}))
      << "IPv4 hosts have none of the NAT64's";
  EXPECT_THAT(config.external_addresses, ElementsAre(Ipv4Address{0xc0000210}, Ipv4Address{0xc000020e}));
}

TEST(EngineConfig, a_firewall_alone_gives_ipv6_addresses) {
  const auto config = server_config(settings_of({DeviceKind::firewall6}), {});
  EXPECT_THAT(config.external_families, ElementsAre(Family::ipv6));
  EXPECT_THAT(config.inside.at(0).families, ElementsAre(Family::ipv6));
  EXPECT_THAT(config.external_addresses, IsEmpty());
}

}  // namespace
}  // namespace portolan::portoland
