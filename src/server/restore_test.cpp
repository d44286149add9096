// SPDX-License-Identifier: BSD-2-Clause
//
// A server that begins with what its store has.
#include <gmock/gmock.h>

#include "server/server.h"
#include "server/test_world.h"

namespace portolan::server {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using wire::ResultCode;

auto config(EpochScope scope = EpochScope::server) -> Config {
  Config config;
  config.inside[0].interface = "phone0";
  config.epoch_scope = scope;
  return config;
}

/// A server that begins with the store of `before`, `away` later, with a device that has forgotten
/// everything.
struct Second {
  explicit Second(const World& before, Nanoseconds away = Seconds{0}, const Config& wanted = config())
      : world(wanted) {
    world.now = before.now + away;
    world.stored = before.stored;
    world.stored_paths = before.stored_paths;
    world.stored_epoch = before.stored_epoch;
    std::vector<store::Row> rows;
    rows.reserve(before.stored.size() + before.stored_paths.size() + 1);
    for (const auto& [key, contract] : before.stored)
      rows.emplace_back(store::PutMapping{.contract = contract, .state_since = before.stored_since.at(key)});
    for (const auto& [number, path] : before.stored_paths) rows.emplace_back(path);
    if (before.stored_epoch) rows.emplace_back(*before.stored_epoch);
    const std::array<std::uint32_t, 1> interfaces{7};
    restored = world.server.restore(world.now, rows, interfaces);
    world.connect();
    world.pass(Seconds{0});
  }
  World world;
  std::expected<Restored, std::string> restored;
};

TEST(Restore, what_was_promised_goes_on_with_the_same_port_nonce_and_remaining_life) {
  World before(config());
  ASSERT_TRUE(before.server.restore(before.now, {}, {}));
  const auto made = before.ask(MapAsk{}).map();
  Second after(before, Seconds{600});
  ASSERT_TRUE(after.restored) << after.restored.error();
  EXPECT_EQ(after.restored->mappings, 1U);
  EXPECT_EQ(after.world.nat.inventory(after.world.now).mappings.at(0).external_port,
            made.assigned_external_port);
  EXPECT_EQ(after.world.nat.inventory(after.world.now).mappings.at(0).remaining, Seconds{3000});
  EXPECT_EQ(after.world.disagreement(), std::nullopt);
  EXPECT_EQ(after.world.ask(MapAsk{.nonce = 9}).response().result, ResultCode::not_authorized);
  EXPECT_EQ(after.world.ask(MapAsk{}).map().assigned_external_port, made.assigned_external_port);
}

TEST(Restore, nobody_has_the_port_of_an_operators_mapping_before_it) {
  World before(config());
  ASSERT_TRUE(before.server.restore(before.now, {}, {}));
  before.ask(MapAsk{});
  Config wanted = config();
  wanted.static_mappings = {{.key = {.realm = {},
                                     .internal_address = *IpAddress::parse("2001:db8:112::9"),
                                     .protocol = Protocol::udp,
                                     .external_family = Family::ipv4,
                                     .internal_port = Port{80}},
                             .external_address = *IpAddress::parse("192.0.2.14"),
                             .external_port = Port{8080},
                             .filters = {},
                             .description = {}}};
  Second after(before, Seconds{600}, wanted);
  const MapAsk rival{.from = "2001:db8:113::1", .suggested_external_port = 8080, .prefer_failure = true};
  EXPECT_EQ(after.world.ask(rival).response().result, ResultCode::cannot_provide_external);
  EXPECT_EQ(after.world.nat.explicit_mappings(after.world.now).size(), 2U);
  EXPECT_EQ(after.world.disagreement(), std::nullopt);
}

TEST(Restore, the_epoch_goes_on_and_nothing_is_announced) {
  World before(config());
  ASSERT_TRUE(before.server.restore(before.now, {}, {}));
  before.pass(Seconds{50});
  before.ask(MapAsk{});
  Second after(before, Seconds{30});
  EXPECT_TRUE(after.restored->epoch_goes_on);
  EXPECT_EQ(after.world.ask(MapAsk{}).response().epoch_time_s, 80U);
  after.world.pass(Seconds{5});
  EXPECT_THAT(after.world.announced, IsEmpty());
}

// RFC 6887 s8.5, s14.1.3.
TEST(Restore, without_state_the_epoch_begins_anew_and_is_announced) {
  World world(config());
  const auto restored = world.server.restore(world.now, {}, {});
  EXPECT_FALSE(restored->epoch_goes_on);
  world.pass(Seconds{0});
  EXPECT_THAT(world.announced, SizeIs(1));
  ASSERT_TRUE(world.stored_epoch);
  EXPECT_EQ(world.stored_epoch->base, world.now) << "durable, to go on from";
}

TEST(Restore, an_epoch_from_the_future_is_not_believed) {
  World world(config());
  const std::vector<store::Row> rows{store::PutEpoch{world.now + Seconds{1}}};
  EXPECT_FALSE(world.server.restore(world.now, rows, {})->epoch_goes_on);
  EXPECT_EQ(world.server.epoch_time_s(world.now, {}), 0U);
}

TEST(Restore, mappings_without_an_epoch_are_announced_to_each_known_client_too) {
  World before(config());
  ASSERT_TRUE(before.server.restore(before.now, {}, {}));
  before.ask(MapAsk{});
  before.ask(MapAsk{.internal_port = 1});
  before.ask(MapAsk{.from = "2001:db8:113::2"});
  for (const bool is_from_the_future : {false, true}) {
    before.stored_epoch.reset();
    if (is_from_the_future) before.stored_epoch = store::PutEpoch{before.now + Seconds{1}};
    Second after(before);
    EXPECT_FALSE(after.restored->epoch_goes_on);
    std::map<IpAddress, int> told;
    for (int i = 0; i < 20; ++i) {
      after.world.pass(Milliseconds{250});
      while (!after.world.answers.empty()) {
        const Answer answer = after.world.take_answer();
        EXPECT_EQ(answer.response().opcode, wire::Opcode::announce);
        EXPECT_LE(answer.response().epoch_time_s, 5U);
        ++told[answer.client.address];
      }
    }
    EXPECT_EQ(told, (std::map<IpAddress, int>{{*IpAddress::parse("2001:db8:112::1"), 3},
                                              {*IpAddress::parse("2001:db8:113::2"), 3}}));
    EXPECT_THAT(after.world.announced, ::testing::Not(IsEmpty()));
  }
}

TEST(Restore, what_has_expired_is_dropped_from_the_store_too) {
  World before(config());
  ASSERT_TRUE(before.server.restore(before.now, {}, {}));
  before.ask(MapAsk{.lifetime_s = 600});
  before.ask(MapAsk{.from = "2001:db8:113::1", .lifetime_s = 1000});
  Second after(before, Seconds{600});
  EXPECT_EQ(after.restored->mappings, 1U);
  EXPECT_EQ(after.restored->expired, 1U);
  after.world.settle();
  EXPECT_THAT(after.world.stored, SizeIs(1));
  EXPECT_EQ(after.world.disagreement(), std::nullopt);
}

TEST(Restore, each_subscribers_epoch_goes_on) {
  World before(config(EpochScope::subscriber));
  ASSERT_TRUE(before.server.restore(before.now, {}, {}));
  before.ask(MapAsk{});
  before.pass(Seconds{100});
  before.ask(MapAsk{.from = "2001:db8:113::1"});
  before.ask(MapAsk{});
  Second after(before, Seconds{10}, config(EpochScope::subscriber));
  EXPECT_EQ(after.world.ask(MapAsk{}).response().epoch_time_s, 110U);
  EXPECT_EQ(after.world.ask(MapAsk{.from = "2001:db8:113::1"}).response().epoch_time_s, 10U);
}

TEST(Restore, clients_of_mappings_that_must_move_are_told_by_the_way_they_came) {
  World before(config());
  ASSERT_TRUE(before.server.restore(before.now, {}, {}));
  before.ask(MapAsk{});
  Second after(before, Seconds{0});
  after.world.restart_device({.pool = {*IpAddress::parse("192.0.2.15")}});
  after.world.connect();
  after.world.settle();
  after.world.pass(Seconds{0});
  ASSERT_THAT(after.world.answers, SizeIs(1));
  const Answer update = after.world.take_answer();
  EXPECT_EQ(update.client, (Endpoint{*IpAddress::parse("2001:db8:112::1"), Port{12345}}));
  EXPECT_EQ(update.map().assigned_external_address, *IpAddress::parse("192.0.2.15"));
  EXPECT_EQ(update.response().epoch_time_s, 0U) << "RFC 6887 s8.5: an external address changed";
}

TEST(Restore, of_an_interface_that_is_gone_nobody_is_told) {
  World before(config());
  ASSERT_TRUE(before.server.restore(before.now, {}, {}));
  before.ask(MapAsk{});
  Config other = config();
  other.inside[0].interface = "wifi0";
  Second after(before, Seconds{0}, other);
  after.world.restart_device({.pool = {*IpAddress::parse("192.0.2.15")}});
  after.world.connect();
  after.world.settle();
  after.world.pass(Seconds{1});
  EXPECT_THAT(after.world.answers, IsEmpty());
  EXPECT_EQ(after.world.server.counters().moved, 1U);
}

TEST(Restore, more_than_mappings_max_is_refused) {
  World before(config());
  ASSERT_TRUE(before.server.restore(before.now, {}, {}));
  before.ask(MapAsk{});
  before.ask(MapAsk{.from = "2001:db8:113::1"});
  Config smaller = config();
  for (const std::size_t maximum : {1U, 2U, 3U}) {
    smaller.mappings_max = maximum;
    const Second after(before, Seconds{0}, smaller);
    EXPECT_EQ(after.restored.has_value(), maximum >= 2U);
    if (!after.restored) {
      EXPECT_THAT(after.restored.error(), HasSubstr("more than mappings_max = 1"));
    }
  }
}

TEST(Restore, what_is_not_durable_yet_was_not_answered) {
  World before(config());
  ASSERT_TRUE(before.server.restore(before.now, {}, {}));
  before.settle();
  before.receive({MapAsk{}});
  before.apply_next();
  EXPECT_THAT(before.answers, IsEmpty());
  Second after(before, Seconds{0});
  EXPECT_EQ(after.restored->mappings, 0U);
  // The device of before had it.
  after.world.nat = before.nat;
  after.world.connect();
  after.world.settle();
  EXPECT_THAT(after.world.nat.inventory(after.world.now).mappings, IsEmpty());
}

}  // namespace
}  // namespace portolan::server
