// SPDX-License-Identifier: BSD-2-Clause
//
// What the operator adds, changes and deletes by hand: in force, at the device and durable, or not at all.
#include <gmock/gmock.h>

#include "server/server.h"
#include "server/test_world.h"

namespace portolan::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::SizeIs;
using wire::ResultCode;
using Reason = Failure::Reason;

auto prefix(std::string_view text) -> Prefix { return *Prefix::parse(text); }
auto address(std::string_view text) -> IpAddress { return *IpAddress::parse(text); }

/// MAP is not for everybody.
auto closed_config() -> Config {
  Config config;
  config.policy.map = false;
  return config;
}

/// A user whose mappings and own ports are limited.
auto user_of(std::string_view text, std::uint32_t mappings_max = 3, std::uint32_t ports_max = 0) -> Profile {
  Profile user{.users = prefix(text)};
  user.policy.mappings_max = mappings_max;
  user.allotment.ports_max = ports_max;
  return user;
}

auto key_of(const MapAsk& ask) -> MappingKey {
  return {.realm = {},
          .internal_address = address(ask.from),
          .protocol = ask.protocol,
          .external_family = Family::ipv4,
          .internal_port = Port{ask.internal_port}};
}

auto static_of(std::uint16_t external_port, const MapAsk& ask = {}) -> StaticMapping {
  return {.key = key_of(ask),
          .external_address = address("192.0.2.14"),
          .external_port = Port{external_port},
          .filters = {},
          .description = "by hand"};
}

struct Managed : World {
  using World::World;
  auto result_of(const MapAsk& map) { return ask(map).response().result; }
  auto add(const Profile& user) { return reason_of(server.add_user(now, user)); }
  auto add(const StaticMapping& mapping) { return reason_of(server.add_mapping(now, mapping)); }
  auto change(const Profile& user) { return reason_of(server.change_user(now, user)); }
  auto remove_user(std::string_view text) { return reason_of(server.delete_user(now, prefix(text))); }
  auto remove(const MapAsk& map) {
    return reason_of(server.delete_mapping(now, {.mapping = key_of(map), .remote_peer = {}}));
  }
  [[nodiscard]] auto at_device() const { return nat.explicit_mappings(now); }
};

TEST(UsersByHand, may_do_what_they_are_given_and_are_durable) {
  Managed world(closed_config());
  EXPECT_EQ(world.result_of(MapAsk{}), ResultCode::not_authorized);
  EXPECT_EQ(world.add(user_of("2001:db8:112::/48", 1)), std::nullopt);
  EXPECT_EQ(world.stored_users.at(prefix("2001:db8:112::/48")), user_of("2001:db8:112::/48", 1));
  EXPECT_EQ(world.result_of(MapAsk{}), ResultCode::success);
  EXPECT_EQ(world.result_of(MapAsk{.internal_port = 1}), ResultCode::user_ex_quota);
  EXPECT_EQ(world.result_of(MapAsk{.from = "2001:db8:113::1"}), ResultCode::not_authorized);
  EXPECT_EQ(world.change(user_of("2001:db8:112::/48", 2)), std::nullopt);
  EXPECT_EQ(world.result_of(MapAsk{.internal_port = 1}), ResultCode::success);
  EXPECT_EQ(world.stored_users.at(prefix("2001:db8:112::/48")).policy.mappings_max, 2U);
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(UsersByHand, answer_only_when_the_store_has_them) {
  Managed world;
  const auto begun = world.server.add_user(world.now, user_of("2001:db8:112::/48"));
  ASSERT_TRUE(begun);
  world.collect();
  EXPECT_THAT(world.finished, IsEmpty());
  EXPECT_TRUE(world.server.find_user(world.now, prefix("2001:db8:112::/48"))->is_changing);
  EXPECT_EQ(world.reason_of(world.server.add_user(world.now, user_of("2001:db8:112::/48"))), Reason::busy);
  ASSERT_TRUE(world.commit_next());
  ASSERT_THAT(world.finished, SizeIs(1));
  EXPECT_EQ(world.finished[0].id, *begun);
  EXPECT_TRUE(world.finished[0].result);
  EXPECT_FALSE(world.server.find_user(world.now, prefix("2001:db8:112::/48"))->is_changing);
}

TEST(UsersByHand, have_their_profile_at_the_device_before_they_are_durable) {
  Managed world;
  world.connect();
  world.settle();
  ASSERT_TRUE(world.server.add_user(world.now, user_of("2001:db8:112::/48", 3, 7)));
  world.collect();
  EXPECT_FALSE(world.committing) << "the device comes first";
  ASSERT_TRUE(world.apply_next());
  EXPECT_TRUE(world.committing);
  world.settle();
  ASSERT_THAT(world.nat.profiles(), SizeIs(1));
  EXPECT_EQ(world.nat.profiles()[0].ports_max, 7U);
  EXPECT_EQ(world.disagreement(), std::nullopt);
  EXPECT_EQ(world.remove_user("2001:db8:112::/48"), std::nullopt);
  EXPECT_THAT(world.nat.profiles(), IsEmpty());
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(UsersByHand, that_the_device_refuses_are_as_before) {
  Managed world;
  world.connect();
  world.settle();
  // This device knows no blocks.
  Profile blocks = user_of("2001:db8:112::/48");
  blocks.allotment.port_block_size = 64;
  const auto refused = world.outcome_of(world.server.add_user(world.now, blocks));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, Reason::refused);
  EXPECT_EQ(refused.error().refusal, device::Refusal::profile_unsupported);
  EXPECT_FALSE(world.server.find_user(world.now, blocks.users));
  EXPECT_THAT(world.refused_profiles, IsEmpty()) << "whoever asked was told";
  EXPECT_EQ(world.disagreement(), std::nullopt);
  EXPECT_EQ(world.add(user_of("2001:db8:112::/48", 3, 7)), std::nullopt);
  EXPECT_EQ(world.change(blocks), Reason::refused);
  EXPECT_EQ(world.server.find_user(world.now, blocks.users)->allotment.ports_max, 7U);
  EXPECT_EQ(world.disagreement(), std::nullopt) << "the device has the limits of before";
}

TEST(UsersByHand, are_as_before_if_the_store_fails) {
  Managed world;
  world.connect();
  world.settle();
  ASSERT_EQ(world.add(user_of("2001:db8:112::/48", 3, 7)), std::nullopt);
  world.store_fails = true;
  EXPECT_EQ(world.change(user_of("2001:db8:112::/48", 9, 8)), Reason::not_durable);
  EXPECT_EQ(world.server.find_user(world.now, prefix("2001:db8:112::/48"))->policy.mappings_max, 3U);
  EXPECT_EQ(world.add(user_of("2001:db8:113::/48")), Reason::read_only);
  EXPECT_EQ(world.remove_user("2001:db8:112::/48"), Reason::read_only);
  world.store_fails = false;
  world.pass(Seconds{2});
  EXPECT_EQ(world.disagreement(), std::nullopt) << "the device has the limits of before";
  world.store_fails = true;
  EXPECT_EQ(world.remove_user("2001:db8:112::/48"), Reason::not_durable);
  world.store_fails = false;
  world.pass(Seconds{2});
  EXPECT_TRUE(world.server.find_user(world.now, prefix("2001:db8:112::/48")));
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(UsersByHand, who_lie_within_one_that_is_given_something_get_a_profile_too) {
  Managed world;
  world.connect();
  world.settle();
  ASSERT_EQ(world.add(user_of("2001:db8:112:5::/64")), std::nullopt);
  EXPECT_THAT(world.nat.profiles(), IsEmpty());
  ASSERT_EQ(world.add(user_of("2001:db8:112::/48", 3, 7)), std::nullopt);
  world.pass({});
  EXPECT_THAT(world.nat.profiles(), SizeIs(2)) << "not its neighbours' limit";
  ASSERT_EQ(world.remove_user("2001:db8:112::/48"), std::nullopt);
  world.pass({});
  EXPECT_THAT(world.nat.profiles(), IsEmpty());
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

// Found by the simulator.
TEST(UsersByHand, who_are_durable_before_the_walk_reaches_them_get_a_profile_too) {
  Managed world;
  world.connect();
  world.settle();
  ASSERT_TRUE(world.server.add_user(world.now, user_of("2001:db8:112:5::/64")));
  ASSERT_TRUE(world.server.add_user(world.now, user_of("2001:db8:112::/48", 3, 7)));
  world.receive(std::vector<MapAsk>());
  world.settle();
  EXPECT_EQ(world.server.broken_invariant(world.now), std::nullopt);
  EXPECT_THAT(world.nat.profiles(), SizeIs(2)) << "not its neighbours' limit";
}

TEST(UsersByHand, are_refused_with_what_is_wrong) {
  Config config;
  config.profiles = {user_of("2001:db8:1::/48")};
  config.users_by_hand_max = 2;
  Managed world(config);
  EXPECT_EQ(world.add(user_of("2001:db8:1::/48")), Reason::configured);
  EXPECT_EQ(world.change(user_of("2001:db8:1::/48")), Reason::configured);
  EXPECT_EQ(world.remove_user("2001:db8:1::/48"), Reason::configured);
  EXPECT_EQ(world.change(user_of("2001:db8:2::/48")), Reason::not_found);
  EXPECT_EQ(world.remove_user("2001:db8:2::/48"), Reason::not_found);
  EXPECT_EQ(world.add(user_of("2001:db8:2::/48", 0)), Reason::invalid);
  Profile odd = user_of("2001:db8:2::/48");
  odd.allotment.port_block_size = 100;
  const auto refused = world.server.add_user(world.now, odd);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().text, HasSubstr("2001:db8:2::/48: port_block_size must be a multiple of 64"));
  EXPECT_EQ(world.add(user_of("2001:db8:2::/48")), std::nullopt);
  EXPECT_EQ(world.add(user_of("2001:db8:2::/48")), Reason::exists);
  EXPECT_EQ(world.add(user_of("2001:db8:3::/48")), std::nullopt);
  EXPECT_EQ(world.add(user_of("2001:db8:4::/48")), Reason::limit);
  EXPECT_EQ(world.remove_user("2001:db8:3::/48"), std::nullopt);
  EXPECT_EQ(world.add(user_of("2001:db8:4::/48")), std::nullopt);
}

TEST(UsersByHand, end_when_the_configuration_has_the_same) {
  Managed world;
  ASSERT_EQ(world.add(user_of("2001:db8:112::/48", 1)), std::nullopt);
  ASSERT_EQ(world.add(user_of("2001:db8:113::/48", 1)), std::nullopt);
  const auto begun = world.server.change_user(world.now, user_of("2001:db8:112::/48", 2));
  Config config;
  config.profiles = {user_of("2001:db8:112::/48", 5)};
  world.server.reconfigure(world.now, config);
  EXPECT_EQ(world.reason_of(begun), Reason::configured);
  world.settle();
  world.pass(Seconds{1});
  ASSERT_THAT(world.overruled, SizeIs(1));
  EXPECT_EQ(world.overruled[0].user, prefix("2001:db8:112::/48"));
  EXPECT_EQ(world.server.find_user(world.now, prefix("2001:db8:112::/48"))->policy.mappings_max, 5U);
  EXPECT_EQ(world.server.find_user(world.now, prefix("2001:db8:113::/48"))->origin, Origin::by_hand);
  EXPECT_THAT(world.stored_users, SizeIs(1));
  world.server.reconfigure(world.now, Config{});
  EXPECT_FALSE(world.server.find_user(world.now, prefix("2001:db8:112::/48")));
}

TEST(UsersByHand, take_their_mappings_with_them_and_clients_hear_it) {
  Managed world;
  ASSERT_EQ(world.add(user_of("2001:db8:112::/48")), std::nullopt);
  ASSERT_EQ(world.add(user_of("2001:db8:112:9::/64")), std::nullopt);
  for (const char* const host : {"2001:db8:112::1", "2001:db8:112:9::1", "2001:db8:113::1"})
    ASSERT_EQ(world.result_of(MapAsk{.from = host}), ResultCode::success);
  ASSERT_EQ(world.add(static_of(8080, MapAsk{.internal_port = 80})), std::nullopt);
  const auto external = world.at_device().at(key_of(MapAsk{}));
  const auto result = world.outcome_of(world.server.delete_user(world.now, prefix("2001:db8:112::/48")));
  ASSERT_TRUE(result);
  EXPECT_EQ(result->deleted, 1U);
  EXPECT_THAT(world.at_device(), SizeIs(3)) << "a more specific user's, a stranger's and the operator's";
  EXPECT_THAT(world.stored, SizeIs(2));
  for (int i = 0; i < 20; ++i) world.pass(Milliseconds{100});
  ASSERT_THAT(world.answers, SizeIs(3)) << "three times the same";
  const Answer update = world.take_answer();
  EXPECT_EQ(update.client.address, address("2001:db8:112::1"));
  EXPECT_EQ(update.response().result, ResultCode::success);
  EXPECT_EQ(update.response().lifetime_s, 0U);
  EXPECT_EQ(update.map().assigned_external_port, external.port);
  EXPECT_EQ(update.map().nonce.octets[0], std::byte{1});
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(DynamicUsers, are_their_mappings) {
  Managed world;
  ASSERT_EQ(world.result_of(MapAsk{}), ResultCode::success);
  ASSERT_EQ(world.result_of(MapAsk{.internal_port = 1}), ResultCode::success);
  const auto result = world.outcome_of(world.server.delete_user(world.now, prefix("2001:db8:112::/64")));
  ASSERT_TRUE(result);
  EXPECT_EQ(result->deleted, 2U);
  EXPECT_THAT(world.at_device(), IsEmpty());
  EXPECT_EQ(world.remove_user("2001:db8:112::/64"), Reason::not_found);
}

TEST(StaticsByHand, are_in_force_and_durable_when_the_answer_comes) {
  Managed world;
  ASSERT_TRUE(world.server.add_mapping(world.now, static_of(8080)));
  world.collect();
  EXPECT_THAT(world.finished, IsEmpty());
  ASSERT_TRUE(world.apply_next());
  EXPECT_THAT(world.finished, IsEmpty());
  ASSERT_TRUE(world.commit_next());
  ASSERT_THAT(world.finished, SizeIs(1));
  EXPECT_TRUE(world.finished[0].result);
  EXPECT_EQ(world.stored_statics.at(key_of(MapAsk{})), static_of(8080));
  EXPECT_EQ(world.ask(MapAsk{}).map().assigned_external_port, Port{8080});
  EXPECT_EQ(world.disagreement(), std::nullopt);
  EXPECT_EQ(world.remove(MapAsk{}), std::nullopt);
  EXPECT_THAT(world.at_device(), IsEmpty());
  EXPECT_THAT(world.stored_statics, IsEmpty());
  EXPECT_EQ(world.disagreement(), std::nullopt);
  EXPECT_EQ(world.remove(MapAsk{}), Reason::not_found);
}

auto static_until(TimePoint expires) -> StaticMapping {
  StaticMapping mapping = static_of(8080);
  mapping.expires = expires;
  return mapping;
}

TEST(StaticsByHand, with_a_lifetime_end_by_themselves) {
  Managed world;
  const TimePoint expires = world.now + Seconds{60};
  ASSERT_EQ(world.add(static_until(expires)), std::nullopt);
  EXPECT_EQ(world.stored_statics.at(key_of(MapAsk{})).expires, expires);
  world.pass(Seconds{20});
  EXPECT_EQ(world.ask(MapAsk{}).response().lifetime_s, 40U);
  const auto view = world.server.find_mapping(world.now, {.mapping = key_of(MapAsk{}), .remote_peer = {}});
  ASSERT_TRUE(view);
  EXPECT_EQ(view->remaining, Seconds{40});
  EXPECT_TRUE(view->is_in_force);
  world.pass(Seconds{41});
  world.pass(Seconds{2});
  EXPECT_THAT(world.at_device(), IsEmpty());
  EXPECT_THAT(world.stored_statics, IsEmpty());
  EXPECT_EQ(world.server.counters().expired, 1U);
  EXPECT_EQ(world.remove(MapAsk{}), Reason::not_found);
  EXPECT_EQ(world.disagreement(), std::nullopt);
  EXPECT_EQ(world.result_of(MapAsk{}), ResultCode::success) << "its host may have another";
}

TEST(StaticsByHand, whose_time_is_up_are_not_restored) {
  Managed world;
  StaticMapping other = static_of(8081, MapAsk{.internal_port = 2});
  other.expires = world.now + Seconds{60};
  const std::vector<store::Row> rows{store::PutStatic{static_until(world.now)}, store::PutStatic{other},
                                     store::PutEpoch{world.now}};
  ASSERT_TRUE(world.server.restore(world.now, rows, {}));
  world.pass({});
  world.pass(Seconds{2});
  EXPECT_THAT(world.at_device(), ElementsAre(Key(key_of(MapAsk{.internal_port = 2}))));
  world.pass(Seconds{60});
  world.pass(Seconds{2});
  EXPECT_THAT(world.at_device(), IsEmpty());
  EXPECT_EQ(world.server.broken_invariant(world.now), std::nullopt);
}

TEST(StaticsByHand, with_a_lifetime_have_none_any_more_when_the_configuration_has_them) {
  Managed world;
  ASSERT_EQ(world.add(static_until(world.now + Seconds{60})), std::nullopt);
  Config config;
  config.static_mappings = {static_of(8080)};
  world.server.reconfigure(world.now, config);
  for (int i = 0; i < 4; ++i) world.pass(Seconds{1});
  const auto view = world.server.find_mapping(world.now, {.mapping = key_of(MapAsk{}), .remote_peer = {}});
  ASSERT_TRUE(view);
  EXPECT_EQ(view->remaining, std::nullopt);
  world.pass(Seconds{100});
  world.pass(Seconds{2});
  EXPECT_THAT(world.at_device(), SizeIs(1));
  EXPECT_THAT(world.stored_statics, IsEmpty());
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(StaticsByHand, end_though_the_device_lost_them_and_refuses_them) {
  Managed world;
  ASSERT_EQ(world.add(static_until(world.now + Seconds{60})), std::nullopt);
  world.set_pool({*IpAddress::parse("192.0.2.15")});
  for (int second = 0; second < 5; ++second) world.pass(Seconds{1});
  const auto view = world.server.find_mapping(world.now, {.mapping = key_of(MapAsk{}), .remote_peer = {}});
  ASSERT_TRUE(view);
  EXPECT_FALSE(view->is_in_force);
  EXPECT_EQ(view->remaining, Seconds{55});
  world.pass(Seconds{56});
  world.pass(Seconds{2});
  EXPECT_FALSE(world.server.find_mapping(world.now, {.mapping = key_of(MapAsk{}), .remote_peer = {}}));
  EXPECT_THAT(world.stored_statics, IsEmpty());
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(StaticsByHand, that_the_device_refuses_are_not_there) {
  Managed world;
  ASSERT_EQ(world.result_of(MapAsk{.from = "2001:db8:113::1", .suggested_external_port = 8080}),
            ResultCode::success);
  const auto refused = world.outcome_of(world.server.add_mapping(world.now, static_of(8080)));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().refusal, device::Refusal::cannot_provide_external);
  EXPECT_FALSE(world.server.find_mapping(world.now, {.mapping = key_of(MapAsk{}), .remote_peer = {}}));
  EXPECT_THAT(world.refused_statics, IsEmpty());
  EXPECT_EQ(world.result_of(MapAsk{}), ResultCode::success) << "its host may have another";
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(StaticsByHand, are_undone_if_the_store_fails) {
  Managed world;
  world.store_fails = true;
  EXPECT_EQ(world.add(static_of(8080)), Reason::not_durable);
  world.settle();
  EXPECT_THAT(world.at_device(), IsEmpty());
  world.store_fails = false;
  world.pass(Seconds{2});
  world.pass(Seconds{2});
  EXPECT_EQ(world.disagreement(), std::nullopt);
  ASSERT_EQ(world.add(static_of(8080)), std::nullopt);
  world.store_fails = true;
  EXPECT_EQ(world.remove(MapAsk{}), Reason::not_durable);
  world.settle();
  EXPECT_THAT(world.at_device(), SizeIs(1)) << "it stays";
  world.store_fails = false;
  world.pass(Seconds{2});
  world.pass(Seconds{2});
  EXPECT_THAT(world.stored_statics, SizeIs(1));
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(StaticsByHand, make_a_clients_own_mapping_give_way) {
  Managed world;
  world.ask(MapAsk{.suggested_external_port = 4000});
  EXPECT_EQ(world.add(static_of(8080)), std::nullopt);
  EXPECT_EQ(world.at_device().at(key_of(MapAsk{})).port, Port{8080});
  EXPECT_THAT(world.stored, IsEmpty());
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(StaticsByHand, are_refused_with_what_is_wrong) {
  Config config;
  config.static_mappings = {static_of(9000, MapAsk{.internal_port = 90})};
  config.statics_by_hand_max = 1;
  Managed world(config);
  world.pass({});
  EXPECT_EQ(world.add(static_of(9001, MapAsk{.internal_port = 90})), Reason::configured);
  EXPECT_EQ(world.remove(MapAsk{.internal_port = 90}), Reason::configured);
  EXPECT_EQ(world.add(static_of(0)), Reason::invalid);
  EXPECT_EQ(world.add(static_of(5351)), Reason::invalid);
  EXPECT_EQ(world.add(static_of(8080, MapAsk{.protocol = Protocol::icmp})), Reason::invalid);
  StaticMapping odd = static_of(8080);
  odd.description.assign(description_octets_max + 1, 'x');
  EXPECT_EQ(world.add(odd), Reason::invalid);
  odd.description.pop_back();
  odd.key.external_family = Family::ipv6;
  odd.external_address = address("2001:db8::1");
  EXPECT_EQ(world.add(odd), Reason::invalid) << "the device has no such addresses";
  EXPECT_EQ(world.add(static_of(8080)), std::nullopt);
  EXPECT_EQ(world.add(static_of(8080)), Reason::exists);
  EXPECT_EQ(world.add(static_of(8081, MapAsk{.internal_port = 1})), Reason::limit);
}

TEST(StaticsByHand, end_when_the_configuration_has_their_key_or_endpoint) {
  Managed world;
  ASSERT_EQ(world.add(static_of(8080)), std::nullopt);
  ASSERT_EQ(world.add(static_of(8081, MapAsk{.internal_port = 1})), std::nullopt);
  ASSERT_EQ(world.add(static_of(8082, MapAsk{.internal_port = 2})), std::nullopt);
  Config config;
  config.static_mappings = {static_of(9000), static_of(8081, MapAsk{.internal_port = 3})};
  world.server.reconfigure(world.now, config);
  for (int i = 0; i < 4; ++i) world.pass(Seconds{1});
  EXPECT_THAT(world.overruled, SizeIs(2));
  EXPECT_THAT(world.stored_statics, SizeIs(1));
  EXPECT_EQ(world.at_device().at(key_of(MapAsk{})).port, Port{9000});
  EXPECT_EQ(world.at_device().at(key_of(MapAsk{.internal_port = 2})).port, Port{8082});
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(StaticsByHand, and_users_are_restored) {
  World before;
  ASSERT_EQ(before.reason_of(before.server.add_mapping(before.now, static_of(8080))), std::nullopt);
  Config config;
  config.profiles = {user_of("2001:db8:113::/48", 5)};
  config.static_mappings = {static_of(8081, MapAsk{.internal_port = 1})};
  Managed world(config);
  const std::vector<store::Row> rows{
      store::PutUser{user_of("2001:db8:112::/48", 1)}, store::PutUser{user_of("2001:db8:113::/48", 1)},
      store::PutStatic{static_of(8080)}, store::PutStatic{static_of(8081, MapAsk{.internal_port = 2})},
      store::PutEpoch{world.now}};
  const auto restored = world.server.restore(world.now, rows, {});
  ASSERT_TRUE(restored);
  EXPECT_EQ(restored->users, 1U);
  EXPECT_EQ(restored->statics, 1U);
  world.pass({});
  world.pass(Seconds{2});
  EXPECT_THAT(world.overruled, SizeIs(2));
  EXPECT_THAT(world.at_device(), SizeIs(2));
  EXPECT_EQ(world.server.find_user(world.now, prefix("2001:db8:113::/48"))->policy.mappings_max, 5U);
  EXPECT_EQ(world.server.find_user(world.now, prefix("2001:db8:112::/48"))->policy.mappings_max, 1U);
  EXPECT_EQ(world.server.broken_invariant(world.now), std::nullopt);

  Config small;
  small.users_by_hand_max = 1;
  World full(small);
  const auto too_many = full.server.restore(full.now, rows, {});
  ASSERT_FALSE(too_many);
  EXPECT_THAT(too_many.error(), HasSubstr("2 users"));
}

TEST(Deletion, of_one_mapping_ends_it_everywhere) {
  Managed world;
  world.ask(MapAsk{});
  const auto peer = encode(PeerAsk{.internal_port = 1});
  world.ask("2001:db8:112::1", {peer.octets().begin(), peer.octets().end()});
  ASSERT_EQ(world.server.contracts().size(), 2U);
  EXPECT_EQ(world.remove(MapAsk{}), std::nullopt);
  EXPECT_EQ(world.remove(MapAsk{}), Reason::not_found);
  const ContractKey key = world.mappings().at(0).contract.key;
  ASSERT_TRUE(key.is_peer());
  EXPECT_EQ(world.reason_of(world.server.delete_mapping(world.now, key)), std::nullopt);
  EXPECT_EQ(world.server.contracts().size(), 0U);
  EXPECT_THAT(world.stored, IsEmpty());
  EXPECT_EQ(world.server.counters().deleted, 2U);
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(Deletion, waits_for_what_others_are_at_work_on) {
  Managed world;
  world.ask(MapAsk{});
  world.receive({MapAsk{}});
  const auto begun = world.server.delete_mapping(world.now, {.mapping = key_of(MapAsk{}), .remote_peer = {}});
  world.server.advance(world.now);
  world.collect();
  EXPECT_THAT(world.applying, SizeIs(1)) << "the renewal alone";
  const auto result = world.outcome_of(begun);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->deleted, 1U);
  EXPECT_EQ(world.server.contracts().size(), 0U);
}

TEST(Deletion, of_many_goes_in_batches_and_keeps_the_configurations) {
  Config config;
  config.static_mappings = {static_of(9000, MapAsk{.internal_port = 90})};
  Managed world(config);
  world.pass({});
  ASSERT_EQ(world.add(static_of(9001, MapAsk{.internal_port = 91})), std::nullopt);
  constexpr std::uint16_t many = 600;
  std::vector<MapAsk> asks;
  for (std::uint16_t port = 1000; port < 1000 + many; ++port) asks.push_back({.internal_port = port});
  world.receive(asks);
  world.settle();
  ASSERT_EQ(world.server.contracts().size(), many + 2U);
  const auto begun = world.server.delete_mappings(world.now, {.user = prefix("2001:db8:112::/64")});
  std::size_t largest = 0;
  for (int i = 0; i < 10; ++i) {
    world.server.advance(world.now);
    world.collect();
    for (const Apply& apply : world.applying) largest = std::max(largest, apply.operations.size());
  }
  EXPECT_EQ(largest, repairs_per_batch_max);
  const auto result = world.outcome_of(begun);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->deleted, many + 1U);
  EXPECT_EQ(result->kept, 1U);
  EXPECT_THAT(world.stored, IsEmpty());
  EXPECT_THAT(world.stored_statics, IsEmpty());
  EXPECT_THAT(world.at_device(), SizeIs(1));
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(Deletion, goes_on_when_the_store_writes_again) {
  Managed world;
  for (std::uint16_t port = 1; port <= 3; ++port) world.ask(MapAsk{.internal_port = port});
  ASSERT_EQ(world.add(static_of(9001, MapAsk{.internal_port = 91})), std::nullopt);
  const auto begun = world.server.delete_mappings(world.now, {});
  world.store_fails = true;
  for (int i = 0; i < 5; ++i) world.pass(Seconds{1});
  EXPECT_TRUE(world.server.is_read_only());
  EXPECT_EQ(world.server.contracts().size(), 4U);
  EXPECT_THAT(world.finished, SizeIs(1)) << "the addition";
  world.store_fails = false;
  const auto result = world.outcome_of(begun);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->deleted, 4U);
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(Deletion, says_what_the_device_keeps) {
  Managed world;
  world.ask(MapAsk{});
  const auto begun = world.server.delete_mappings(world.now, {});
  world.server.advance(world.now);
  world.collect();
  world.disconnect();
  world.applying.clear();
  const auto id = world.parked.empty() ? device::BatchId{} : world.parked.front().batch;
  world.give_up();
  ASSERT_NE(id, device::BatchId{});
  const auto result = world.outcome_of(begun);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().refusal, device::Refusal::unreachable);
  EXPECT_EQ(world.server.contracts().size(), 1U);
}

TEST(Operations, are_no_more_than_their_limit) {
  Managed world;
  for (std::size_t i = 0; i < operations_max; ++i) ASSERT_TRUE(world.server.delete_mappings(world.now, {}));
  EXPECT_EQ(world.server.gauges().operations, operations_max);
  EXPECT_EQ(world.server.delete_mappings(world.now, {}).error().reason, Reason::busy);
  for (std::size_t i = 0; i < operations_max; ++i) world.pass({});
  EXPECT_THAT(world.finished, SizeIs(operations_max));
  EXPECT_TRUE(world.server.delete_mappings(world.now, {}));
}

TEST(Announcements, are_made_when_the_operator_wants_them) {
  Managed world;
  world.ask(MapAsk{});
  world.now += Seconds{100};
  EXPECT_TRUE(world.server.announce(world.now, false));
  world.pass({});
  ASSERT_THAT(world.announced, SizeIs(1));
  EXPECT_EQ(world.announced[0].response().epoch_time_s, 100U);
  ASSERT_THAT(world.answers, SizeIs(1)) << "routers may keep multicasts from clients";
  EXPECT_EQ(world.server.announce(world.now, false).error().reason, Reason::busy);
  world.pass(Seconds{1});
  world.announced.clear();
  EXPECT_TRUE(world.server.announce(world.now, true));
  world.pass({});
  EXPECT_EQ(world.announced.at(0).response().epoch_time_s, 0U);
  EXPECT_EQ(world.stored_epoch->base, world.now);
}

TEST(Announcements, of_one_user_go_to_its_clients_alone) {
  Config config;
  config.epoch_scope = EpochScope::subscriber;
  Managed world(config);
  world.ask(MapAsk{});
  world.ask(MapAsk{.from = "2001:db8:113::1"});
  world.now += Seconds{100};
  EXPECT_EQ(world.server.announce_to(world.now, prefix("2001:db8:112::/64"), true), 1U);
  world.pass({});
  ASSERT_THAT(world.answers, SizeIs(1));
  EXPECT_EQ(world.answers[0].client.address, address("2001:db8:112::1"));
  EXPECT_EQ(world.answers[0].response().epoch_time_s, 0U);
  EXPECT_EQ(world.server.epoch_time_s(world.now, prefix("2001:db8:113::/64")), 100U);
  EXPECT_EQ(world.server.announce_to(world.now, prefix("2001:db8:114::/64"), true).error().reason,
            Reason::not_found);
  Managed same;
  same.ask(MapAsk{});
  EXPECT_EQ(same.server.announce_to(same.now, prefix("2001:db8:112::/64"), true).error().reason,
            Reason::invalid);
  EXPECT_EQ(same.server.announce_to(same.now, prefix("2001:db8:112::/64"), false), 1U);
}

TEST(RuntimeSettings, count_from_now_on_until_the_next_reload) {
  Managed world;
  RuntimeSettings settings = world.server.runtime_settings();
  EXPECT_EQ(settings.maximum_lifetime, Seconds{86400});
  settings.maximum_lifetime = Seconds{600};
  settings.mappings_per_user_max = 1;
  ASSERT_TRUE(world.server.set(settings));
  EXPECT_EQ(world.server.runtime_settings(), settings);
  EXPECT_EQ(world.ask(MapAsk{}).response().lifetime_s, 600U);
  EXPECT_EQ(world.result_of(MapAsk{.internal_port = 1}), ResultCode::user_ex_quota);
  world.server.reconfigure(world.now, Config{});
  EXPECT_EQ(world.ask(MapAsk{}).response().lifetime_s, 3600U);
}

TEST(RuntimeSettings, that_make_no_sense_change_nothing) {
  Managed world;
  const RuntimeSettings before = world.server.runtime_settings();
  const auto refused = [&](auto change) {
    RuntimeSettings settings = before;
    change(settings);
    const auto result = world.server.set(settings);
    return result ? std::string("taken") : result.error().text;
  };
  using S = RuntimeSettings;
  EXPECT_THAT(refused([](S& s) { s.minimum_lifetime = Seconds{0}; }), HasSubstr("minimum_lifetime"));
  EXPECT_THAT(refused([](S& s) { s.maximum_lifetime = s.minimum_lifetime - Seconds{1}; }),
              HasSubstr("maximum_lifetime"));
  EXPECT_THAT(refused([](S& s) { s.maximum_lifetime = lifetime_max + Seconds{1}; }),
              HasSubstr("maximum_lifetime"));
  EXPECT_THAT(refused([](S& s) { s.short_error_lifetime = Seconds{-1}; }), HasSubstr("short_error_lifetime"));
  EXPECT_THAT(refused([](S& s) { s.long_error_lifetime = lifetime_max + Seconds{1}; }),
              HasSubstr("long_error_lifetime"));
  EXPECT_THAT(refused([](S& s) { s.announcements = announcements_max + 1; }), HasSubstr("announcements"));
  EXPECT_THAT(refused([](S& s) { s.mappings_per_user_max = 0; }), HasSubstr("mappings_per_user_max"));
  EXPECT_THAT(refused([](S& s) { s.filters_max = 65; }), HasSubstr("filters_max"));
  EXPECT_THAT(refused([](S& s) { s.port_set_max = 4097; }), HasSubstr("port_set_max"));
  EXPECT_EQ(world.server.runtime_settings(), before);
  EXPECT_EQ(refused([](S& s) { s.maximum_lifetime = lifetime_max; }), "taken");
}

}  // namespace
}  // namespace portolan::server
