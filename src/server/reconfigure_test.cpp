// SPDX-License-Identifier: BSD-2-Clause
//
// Another configuration while requests are under way (RFC 6887 s8.5; RFC 7225 s4.2).
#include <gmock/gmock.h>

#include "server/server.h"
#include "server/test_world.h"
#include "wire/nat_pmp.h"
#include "wire/test_octets.h"

namespace portolan::server {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using wire::octets;
using wire::ResultCode;

auto config_of(const char* external_address) -> Config {
  Config config;
  config.external_addresses = {*Ipv4Address::parse(external_address)};
  return config;
}

TEST(Reconfigure, rights_and_lifetimes_hold_for_what_is_asked_from_now_on) {
  World world;
  EXPECT_EQ(world.ask(MapAsk{}).response().lifetime_s, 3600U);
  Config config;
  config.maximum_lifetime = Seconds{600};
  config.policy.mappings_max = 1;
  config.profiles.push_back({.users = *Prefix::parse("2001:db8:113::/48"), .policy = {.map = false}});
  world.server.reconfigure(world.now, config);
  EXPECT_EQ(world.ask(MapAsk{}).response().lifetime_s, 600U);
  EXPECT_EQ(world.ask(MapAsk{.internal_port = 1}).response().result, ResultCode::user_ex_quota);
  EXPECT_EQ(world.ask(MapAsk{.from = "2001:db8:113::1"}).response().result, ResultCode::not_authorized);
  config.policy.mappings_max = 2;
  config.profiles.clear();
  world.server.reconfigure(world.now, config);
  EXPECT_EQ(world.ask(MapAsk{.internal_port = 1}).response().result, ResultCode::success);
  EXPECT_EQ(world.ask(MapAsk{.from = "2001:db8:113::1"}).response().result, ResultCode::success);
}

TEST(Reconfigure, what_was_promised_stays_under_smaller_limits) {
  World world;
  for (const std::uint16_t port : {std::uint16_t{1}, std::uint16_t{2}, std::uint16_t{3}})
    world.ask(MapAsk{.internal_port = port});
  Config config;
  config.policy.mappings_max = 1;
  world.server.reconfigure(world.now, config);
  EXPECT_EQ(world.server.contracts().size(), 3U);
  EXPECT_EQ(world.ask(MapAsk{.internal_port = 2}).response().result, ResultCode::success) << "a renewal";
  EXPECT_EQ(world.ask(MapAsk{.internal_port = 4}).response().result, ResultCode::user_ex_quota);
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(Reconfigure, the_epoch_goes_on_while_every_external_address_stays) {
  World world(config_of("192.0.2.14"));
  world.now += Seconds{100};
  Config config = config_of("192.0.2.14");
  config.external_addresses.push_back(*Ipv4Address::parse("192.0.2.15"));
  world.server.reconfigure(world.now, config);
  world.pass(Seconds{5});
  EXPECT_THAT(world.announced, IsEmpty());
  EXPECT_EQ(world.ask(MapAsk{}).response().epoch_time_s, 105U);
}

TEST(Reconfigure, the_epoch_begins_anew_when_an_external_address_is_gone) {
  World world(config_of("192.0.2.14"));
  world.now += Seconds{100};
  world.server.reconfigure(world.now, config_of("192.0.2.15"));
  world.pass({});
  ASSERT_THAT(world.announced, SizeIs(1));
  EXPECT_EQ(world.announced.front().response().epoch_time_s, 0U);
  // What the device says of it some milliseconds later is the same change.
  world.now += Milliseconds{10};
  world.server.announce_restart(world.now);
  world.pass({});
  EXPECT_THAT(world.announced, SizeIs(1)) << "at least 250 ms between announcements";
  world.pass(Milliseconds{240});
  EXPECT_THAT(world.announced, SizeIs(2));
}

TEST(Reconfigure, another_prefix_is_announced_and_the_epoch_goes_on) {
  Config config;
  config.prefix64 = {{.prefix = *Prefix::parse("2001:db8:64:ff9b::/96"), .ipv4_prefixes = {}}};
  World world(config);
  world.now += Seconds{100};
  world.server.reconfigure(world.now, config);
  world.pass({});
  EXPECT_THAT(world.announced, IsEmpty()) << "the same prefix";
  config.prefix64.front().prefix = *Prefix::parse("2001:db8:65:ff9b::/96");
  world.server.reconfigure(world.now, config);
  world.pass({});
  ASSERT_THAT(world.announced, SizeIs(1));
  EXPECT_EQ(world.announced.front().response().epoch_time_s, 100U);
  EXPECT_THAT(world.announced.front().options(), ElementsAre(wire::OptionCode::prefix64));
}

TEST(Reconfigure, what_is_under_way_is_answered_in_the_format_it_was_asked_in) {
  World world(config_of("192.0.2.14"));
  world.device_refuses = device::Refusal::no_resources;
  world.receive(
      {{Endpoint{*IpAddress::parse("198.51.100.1"), Port{12345}}, octets("0001 0000 1388 0000 00000e10")}});
  Config config = config_of("192.0.2.14");
  config.nat_pmp = false;
  world.server.reconfigure(world.now, config);
  world.settle();
  const Answer answer = world.take_answer();
  EXPECT_EQ(answer.octets.size(), 16U);
  const auto response = wire::nat_pmp::decode_response(answer.octets);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->result, wire::nat_pmp::ResultCode::out_of_resources);
}

}  // namespace
}  // namespace portolan::server
