// SPDX-License-Identifier: BSD-2-Clause
//
// What the server says unasked (RFC 6887 s14), and whose epoch it is (s8.5).
#include <map>

#include <gmock/gmock.h>

#include "server/server.h"
#include "server/test_world.h"

namespace portolan::server {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;
using wire::ResultCode;

/// Lets `time` pass from deadline to deadline, and notes when something was multicast or sent.
auto moments(World& world, Nanoseconds time, const auto& box) -> std::vector<Nanoseconds> {
  const TimePoint start = world.now;
  std::vector<Nanoseconds> seen;
  world.pass(Nanoseconds{0});
  for (;;) {
    for (; !box.empty() && seen.size() < box.size();) seen.push_back(world.now - start);
    const auto deadline = world.server.next_deadline();
    if (!deadline || *deadline > start + time) return seen;
    world.pass(std::max(*deadline - world.now, Nanoseconds{0}));
  }
}

/// Lets the store have what happened, and then the clients.
void commit_and_tell(World& world) {
  world.pass(Nanoseconds{0});
  world.pass(Nanoseconds{0});
}

auto key_of(const MapAsk& ask) -> MappingKey {
  return {.realm = {},
          .internal_address = *IpAddress::parse(ask.from),
          .protocol = ask.protocol,
          .external_family = Family::ipv4,
          .internal_port = Port{ask.internal_port}};
}

auto moved(const MapAsk& ask, const char* address, std::uint16_t port) -> device::Event {
  return device::Moved{.key = key_of(ask),
                       .port_count = 1,
                       .external_address = *IpAddress::parse(address),
                       .external_port = Port{port}};
}

TEST(Announcement, ten_at_intervals_that_double_with_the_epoch_of_each_moment) {
  World world;
  world.now += Seconds{500};
  world.server.announce_restart(world.now);
  using Ms = Milliseconds;
  EXPECT_THAT(moments(world, Seconds{200}, world.announced),
              ElementsAre(Ms{0}, Ms{250}, Ms{750}, Ms{1750}, Ms{3750}, Ms{7750}, Ms{15750}, Ms{31750},
                          Ms{63750}, Ms{127750}));
  EXPECT_EQ(world.announced.front().response().epoch_time_s, 0U);
  EXPECT_EQ(world.announced.front().response().lifetime_s, 0U);
  EXPECT_EQ(world.announced.back().response().epoch_time_s, 127U);
}

TEST(Announcement, none_if_the_operator_wants_none) {
  Config config;
  config.announcements = 0;
  World world(config);
  world.server.announce_restart(world.now);
  EXPECT_THAT(moments(world, Seconds{200}, world.announced), IsEmpty());
}

TEST(Update, a_moved_mapping_is_told_three_times_with_a_new_epoch) {
  World world;
  const MapAsk ask{};
  world.ask(ask);
  world.now += Seconds{100};
  const std::vector events{moved(ask, "192.0.2.15", 4444)};
  world.server.happened(world.now, events);
  using Ms = Milliseconds;
  EXPECT_THAT(moments(world, Seconds{10}, world.answers), ElementsAre(Ms{0}, Ms{250}, Ms{750}));
  const Answer update = world.take_answer();
  EXPECT_EQ(update.client, (Endpoint{*IpAddress::parse(ask.from), Port{12345}}));
  EXPECT_EQ(update.map().assigned_external_address, *IpAddress::parse("192.0.2.15"));
  EXPECT_EQ(update.map().assigned_external_port, Port{4444});
  EXPECT_EQ(update.map().nonce.octets[0], std::byte{1});
  EXPECT_EQ(update.response().lifetime_s, 3500U);
  EXPECT_EQ(update.response().epoch_time_s, 0U) << "RFC 6887 s8.5";
  EXPECT_THAT(world.announced, ::testing::Not(IsEmpty()));
  EXPECT_EQ(world.stored.begin()->second.external_port, Port{4444});
}

TEST(Update, stops_when_the_client_has_refreshed) {
  World world;
  const MapAsk ask{};
  world.ask(ask);
  const std::vector events{moved(ask, "192.0.2.14", 4444)};
  world.server.happened(world.now, events);
  commit_and_tell(world);
  EXPECT_THAT(world.answers, SizeIs(1));
  world.answers.clear();
  world.ask(ask);
  world.answers.clear();
  EXPECT_THAT(moments(world, Seconds{10}, world.answers), IsEmpty());
}

TEST(Update, waits_until_the_new_place_is_durable) {
  World world;
  const MapAsk ask{};
  world.ask(ask);
  const std::vector events{moved(ask, "192.0.2.15", 4444)};
  world.server.happened(world.now, events);
  world.server.advance(world.now);
  EXPECT_THAT(world.server.take_actions().send, IsEmpty());
}

TEST(Update, carries_third_party_and_filters_and_nothing_optional) {
  Config config;
  config.policy.third_party = true;
  World world(config);
  const MapAsk ask{.from = "2001:db8:113::2"};
  const wire::Filter filter{.prefix_length = 128,
                            .remote_port = Port{5},
                            .remote_address = *IpAddress::parse("2001:db8:64:ff9b::c000:201")};
  const std::string_view text = "x";
  world.ask("2001:db8:112::1",
            with(encode(MapAsk{}), wire::ThirdParty{.internal_address = *IpAddress::parse(ask.from)}, filter,
                 wire::Description{.text = std::as_bytes(std::span(text))}));
  const std::vector events{moved(ask, "192.0.2.15", 4444)};
  world.server.happened(world.now, events);
  commit_and_tell(world);
  const Answer update = world.take_answer();
  EXPECT_EQ(update.client.address, *IpAddress::parse("2001:db8:112::1"));
  EXPECT_THAT(update.options(), ElementsAre(wire::OptionCode::third_party, wire::OptionCode::filter));
}

TEST(Update, a_lost_mapping_is_told_as_an_error) {
  World world;
  world.ask(MapAsk{.suggested_external_port = 4000, .prefer_failure = true});
  const std::vector<device::Event> events{device::Lost{.key = key_of(MapAsk{})}};
  world.server.happened(world.now, events);
  EXPECT_THAT(moments(world, Seconds{10}, world.answers), SizeIs(3));
  EXPECT_EQ(world.take_answer().response().result, ResultCode::cannot_provide_external);
  EXPECT_EQ(world.server.contracts().size(), 0U);
  EXPECT_TRUE(world.stored.empty());
}

TEST(Update, a_lost_mapping_begins_a_new_epoch) {
  World world;
  world.ask(MapAsk{});
  world.ask(MapAsk{.from = "2001:db8:113::2"});
  world.now += Seconds{100};
  const std::vector<device::Event> events{device::Lost{.key = key_of(MapAsk{})}};
  world.server.happened(world.now, events);
  EXPECT_THAT(moments(world, Seconds{10}, world.announced), ::testing::Not(IsEmpty()));
  world.answers.clear();
  EXPECT_LE(world.ask(MapAsk{.from = "2001:db8:113::2"}).response().epoch_time_s, 10U) << "RFC 6887 s8.5";
  world.now += Seconds{100};
  world.server.happened(world.now, events);
  world.answers.clear();
  EXPECT_GE(world.ask(MapAsk{.from = "2001:db8:113::2"}).response().epoch_time_s, 100U)
      << "nobody was promised it any more";
}

TEST(Announcement, another_address_begins_a_new_epoch_and_the_same_one_none) {
  World world;
  const auto learn = [&](std::optional<Ipv4Address> address) {
    world.now += Seconds{100};
    world.server.learn_address(world.now, address);
    return world.ask(MapAsk{}).response().epoch_time_s;
  };
  const Ipv4Address first{0xc0000201};
  const Ipv4Address second{0xc0000202};
  EXPECT_GE(learn(first), 100U) << "the first one";
  EXPECT_GE(learn(std::nullopt), 200U);
  EXPECT_GE(learn(first), 300U) << "it is back, and nothing was lost";
  EXPECT_EQ(learn(second), 0U);
  EXPECT_GE(learn(std::nullopt), 100U);
  EXPECT_EQ(learn(first), 0U) << "another one than the last";
}

TEST(Update, a_mapping_that_preferred_failure_is_not_moved) {
  World world;
  world.ask(MapAsk{.suggested_external_port = 4000, .prefer_failure = true});
  world.ask(MapAsk{.from = "2001:db8:113::2", .suggested_external_port = 4001});
  world.set_pool({*IpAddress::parse("192.0.2.15")});
  commit_and_tell(world);
  std::map<IpAddress, wire::ResultCode> told;
  while (!world.answers.empty()) {
    const auto answer = world.take_answer();
    told[answer.client.address] = answer.response().result;
  }
  EXPECT_THAT(told,
              ElementsAre(Pair(*IpAddress::parse("2001:db8:112::1"), ResultCode::cannot_provide_external),
                          Pair(*IpAddress::parse("2001:db8:113::2"), ResultCode::success)));
  EXPECT_EQ(world.server.contracts().size(), 1U);
}

TEST(Epoch, of_a_subscriber_begins_with_its_first_mapping) {
  Config config;
  config.epoch_scope = EpochScope::subscriber;
  World world(config);
  world.now += Seconds{100};
  EXPECT_EQ(world.ask(MapAsk{}).response().epoch_time_s, 0U);
  world.now += Seconds{50};
  EXPECT_EQ(world.ask(MapAsk{.from = "2001:db8:113::2"}).response().epoch_time_s, 0U);
  EXPECT_EQ(world.ask(MapAsk{.internal_port = 2}).response().epoch_time_s, 50U);
}

TEST(Epoch, of_a_subscriber_that_begins_anew_is_told_to_its_other_clients_three_times) {
  Config config;
  config.epoch_scope = EpochScope::subscriber;
  World world(config);
  world.ask(MapAsk{});
  world.ask(MapAsk{.from = "2001:db8:112::2"});
  world.ask(MapAsk{.from = "2001:db8:112::2", .internal_port = 2});
  world.ask(MapAsk{.from = "2001:db8:113::2"});
  world.now += Seconds{100};
  const std::vector events{moved(MapAsk{}, "192.0.2.15", 4444)};
  world.server.happened(world.now, events);
  EXPECT_EQ(world.server.next_deadline(), world.now);
  EXPECT_THAT(moments(world, Seconds{10}, world.answers),
              ElementsAre(Milliseconds{0}, Milliseconds{0}, Milliseconds{250}, Milliseconds{250},
                          Milliseconds{750}, Milliseconds{750}));
  std::size_t announced = 0;
  for (const Answer& answer : world.answers) {
    EXPECT_EQ(answer.response().epoch_time_s, 0U);
    if (answer.response().opcode != wire::Opcode::announce) continue;
    ++announced;
    EXPECT_EQ(answer.client, (Endpoint{*IpAddress::parse("2001:db8:112::2"), Port{12345}}));
  }
  EXPECT_EQ(announced, 3U);
}

TEST(Epoch, of_one_subscriber_begins_anew_when_its_address_changes_and_nobody_else_hears) {
  Config config;
  config.epoch_scope = EpochScope::subscriber;
  World world(config);
  world.ask(MapAsk{});
  world.ask(MapAsk{.from = "2001:db8:113::2"});
  world.now += Seconds{100};
  const std::vector events{moved(MapAsk{}, "192.0.2.15", 4444)};
  world.server.happened(world.now, events);
  world.pass(Seconds{5});
  world.answers.clear();
  EXPECT_THAT(world.announced, IsEmpty());
  EXPECT_EQ(world.ask(MapAsk{}).response().epoch_time_s, 5U);
  EXPECT_EQ(world.ask(MapAsk{.from = "2001:db8:113::2"}).response().epoch_time_s, 105U);
}

TEST(Epoch, of_all_is_told_to_each_known_client_that_gets_no_update) {
  World world;
  const MapAsk moves{};
  world.ask(moves);
  // Two mappings of one client: it is told once.
  world.ask(MapAsk{.from = "2001:db8:113::2"});
  world.ask(MapAsk{.from = "2001:db8:113::2", .internal_port = 1});
  world.now += Seconds{100};
  const std::vector events{moved(moves, "192.0.2.15", 4444)};
  world.server.happened(world.now, events);
  EXPECT_THAT(moments(world, Seconds{5}, world.answers), SizeIs(6));
  std::size_t updates = 0;
  std::size_t announcements = 0;
  while (!world.answers.empty()) {
    const Answer answer = world.take_answer();
    const bool is_update = answer.response().opcode == wire::Opcode::map;
    ++(is_update ? updates : announcements);
    EXPECT_EQ(answer.client.address, *IpAddress::parse(is_update ? moves.from : "2001:db8:113::2"));
    EXPECT_EQ(answer.response().epoch_time_s, 0U);
  }
  EXPECT_EQ(updates, 3U);
  EXPECT_EQ(announcements, 3U);
}

// Found by the simulator: the server ended itself.
TEST(Loss, of_what_is_not_yet_durable_is_answered_as_refused) {
  World world;
  world.receive({MapAsk{}});
  world.apply_next();
  world.set_pool({});
  world.settle();
  EXPECT_EQ(world.take_answer().response().result, wire::ResultCode::network_failure);
  EXPECT_EQ(world.server.contracts().size(), 0U);
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(Loss, of_what_is_being_renewed_leaves_its_place_in_the_quota) {
  Config config;
  config.policy.mappings_max = 1;
  World world(config);
  world.ask(MapAsk{});
  world.receive({MapAsk{}});
  world.set_pool({});
  world.set_pool({*IpAddress::parse("192.0.2.14")});
  world.receive({MapAsk{.internal_port = 1}});
  world.settle();
  EXPECT_EQ(world.server.contracts().size(), 1U);
  EXPECT_EQ(world.server.broken_invariant(world.now), std::nullopt);
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(Moved, what_is_then_undone_leaves_no_row) {
  World world;
  world.receive({MapAsk{.internal_port = 1}});
  world.apply_next();
  world.receive({MapAsk{.internal_port = 2}});
  world.store_fails = true;
  world.commit_next();
  world.set_pool({*IpAddress::parse("192.0.2.15")});
  world.settle();
  world.store_fails = false;
  world.pass(Seconds{1});
  EXPECT_EQ(world.server.contracts().size(), 0U);
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

}  // namespace
}  // namespace portolan::server
