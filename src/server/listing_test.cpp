// SPDX-License-Identifier: BSD-2-Clause
//
// What an operator sees: pages of users and mappings, and what changes.
#include <set>

#include <gmock/gmock.h>

#include "server/server.h"
#include "server/test_world.h"

namespace portolan::server {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

auto prefix(std::string_view text) -> Prefix { return *Prefix::parse(text); }

auto static_of(std::uint16_t internal_port, std::uint16_t external_port) -> StaticMapping {
  return {.key = {.realm = {},
                  .internal_address = *IpAddress::parse("2001:db8:112::1"),
                  .protocol = Protocol::udp,
                  .external_family = Family::ipv4,
                  .internal_port = Port{internal_port}},
          .external_address = *IpAddress::parse("192.0.2.14"),
          .external_port = Port{external_port}};
}

auto prefixes_of(const std::vector<UserView>& users) -> std::vector<std::string> {
  std::vector<std::string> texts;
  texts.reserve(users.size());
  for (const UserView& user : users) texts.push_back(to_string(user.prefix));
  return texts;
}

TEST(ListOfUsers, has_configured_ones_those_added_by_hand_and_dynamic_ones) {
  Config config;
  config.profiles = {{.users = prefix("2001:db8:112::/64"), .policy = {.mappings_max = 5}}};
  World world(config);
  world.now += Seconds{7};
  ASSERT_EQ(world.reason_of(world.server.add_user(world.now, {.users = prefix("2001:db8:113::/48")})),
            std::nullopt);
  world.ask(MapAsk{});
  world.ask(MapAsk{.internal_port = 1});
  world.ask(MapAsk{.from = "2001:db8:113::1"});
  const auto all = world.users();
  EXPECT_THAT(prefixes_of(all),
              UnorderedElementsAre("2001:db8:112::/64", "2001:db8:113::/48", "2001:db8:113::/64"));
  const auto user = world.server.find_user(world.now, prefix("2001:db8:112::/64"));
  ASSERT_TRUE(user);
  EXPECT_EQ(user->origin, Origin::configured);
  EXPECT_EQ(user->policy.mappings_max, 5U);
  EXPECT_EQ(user->mappings, 2U);
  EXPECT_EQ(user->ports, 2U);
  EXPECT_EQ(user->epoch_time_s, 7U);
  EXPECT_EQ(user->external_address, *IpAddress::parse("192.0.2.14"));
  EXPECT_EQ(world.server.find_user(world.now, prefix("2001:db8:113::/64"))->origin, Origin::dynamic);
  EXPECT_THAT(prefixes_of(world.users({.origin = Origin::by_hand})), ElementsAre("2001:db8:113::/48"));
  EXPECT_THAT(prefixes_of(world.users({.origin = Origin::dynamic})), ElementsAre("2001:db8:113::/64"));
  EXPECT_THAT(prefixes_of(world.users({.within = prefix("2001:db8:113::/48")})),
              UnorderedElementsAre("2001:db8:113::/48", "2001:db8:113::/64"));
  EXPECT_THAT(world.users({.within = prefix("2001:db8:114::/48")}), IsEmpty());
}

TEST(ListOfUsers, comes_in_pages_of_bounded_work) {
  Config config;
  const std::size_t many = page_looks_max + page_rows_max + 10;
  for (std::size_t i = 0; i < many; ++i)
    config.profiles.push_back(
        {.users = Prefix(IpAddress{Ipv4Address{0x0a000000U + static_cast<std::uint32_t>(i)}}, 128)});
  World world(config);
  EXPECT_THAT(world.users(), SizeIs(many));
  std::size_t pages = 0;
  std::size_t rows = 0;
  for (std::optional<Cursor> cursor = Cursor{}; cursor; ++pages) {
    const auto page = world.server.list_users(world.now, {.within = prefix("10.0.16.0/20")}, *cursor);
    rows += page.rows.size();
    cursor = page.next;
  }
  EXPECT_EQ(rows, many - 4096);
  EXPECT_GE(pages, 3U) << "the first one has looked at many, and found none";
}

TEST(ListOfUsers, shows_once_whoever_is_there_all_the_time) {
  SeededRandom random(3);
  World world;
  std::set<Prefix> lasting;
  std::vector<Prefix> fleeting;
  const auto prefix_of = [](std::uint32_t number) {
    return Prefix(IpAddress{Ipv4Address{0x0a000000U + number}}, 128);
  };
  for (std::uint32_t i = 0; i < 700; ++i) {
    ASSERT_EQ(world.reason_of(world.server.add_user(world.now, {.users = prefix_of(i)})), std::nullopt);
    if (i % 3 == 0)
      fleeting.push_back(prefix_of(i));
    else
      lasting.insert(prefix_of(i));
  }
  std::map<Prefix, int> shown;
  std::uint32_t next = 1000;
  for (std::optional<Cursor> cursor = Cursor{}; cursor;) {
    const auto page = world.server.list_users(world.now, {}, *cursor);
    for (const UserView& user : page.rows) ++shown[user.prefix];
    cursor = page.next;
    for (int i = 0; i < 20; ++i) {
      const std::size_t victim = random.below(fleeting.size());
      ASSERT_EQ(world.reason_of(world.server.delete_user(world.now, fleeting[victim])), std::nullopt);
      fleeting[victim] = prefix_of(next++);
      ASSERT_EQ(world.reason_of(world.server.add_user(world.now, {.users = fleeting[victim]})), std::nullopt);
    }
  }
  for (const Prefix& each : lasting) EXPECT_EQ(shown[each], 1) << to_string(each);
}

TEST(ListOfMappings, tells_of_clients_and_of_the_operators) {
  Config config;
  config.static_mappings = {static_of(80, 8080)};
  World world(config);
  world.pass({});
  ASSERT_EQ(world.reason_of(world.server.add_mapping(world.now, static_of(81, 8081))), std::nullopt);
  world.ask(MapAsk{.lifetime_s = 600});
  world.ask(MapAsk{.from = "2001:db8:113::1", .suggested_external_port = 9000, .protocol = Protocol::tcp});
  world.now += Seconds{10};
  EXPECT_THAT(world.mappings(), SizeIs(4));
  const auto of = [&](const MappingFilter& filter) { return world.mappings(filter); };
  ASSERT_THAT(of({.origin = Origin::by_hand}), SizeIs(1));
  EXPECT_EQ(of({.origin = Origin::by_hand})[0].remaining, std::nullopt);
  EXPECT_TRUE(of({.origin = Origin::by_hand})[0].is_in_force);
  ASSERT_THAT(of({.origin = Origin::configured}), SizeIs(1));
  ASSERT_THAT(of({.internal_port = Port{3938}}), SizeIs(2));
  ASSERT_THAT(of({.user = prefix("2001:db8:112::/64"), .internal_port = Port{3938}}), SizeIs(1));
  EXPECT_EQ(of({.user = prefix("2001:db8:112::/64"), .internal_port = Port{3938}})[0].remaining,
            Seconds{590});
  ASSERT_THAT(of({.protocol = Protocol::tcp}), SizeIs(1));
  ASSERT_THAT(of({.external_port = Port{9000}}), SizeIs(1));
  EXPECT_THAT(of({.external_address = IpAddress::parse("192.0.2.15")}), IsEmpty());
  EXPECT_THAT(of({.realm = Realm{1}}), IsEmpty());
}

TEST(ListOfMappings, a_port_set_is_found_by_each_of_its_ports) {
  World world;
  const wire::PortSet set{.size = 3, .first_internal_port = Port{3938}, .parity = false};
  world.ask("2001:db8:112::1", with(encode(MapAsk{.suggested_external_port = 4000}), set));
  for (const std::uint16_t port : {std::uint16_t{3938}, std::uint16_t{3940}})
    EXPECT_THAT(world.mappings({.internal_port = Port{port}}), SizeIs(1)) << port;
  for (const std::uint16_t port : {std::uint16_t{3937}, std::uint16_t{3941}})
    EXPECT_THAT(world.mappings({.internal_port = Port{port}}), IsEmpty()) << port;
}

TEST(ListOfMappings, says_which_static_ones_are_not_in_force_and_why) {
  World world;
  world.ask(MapAsk{.from = "2001:db8:113::1", .suggested_external_port = 8080});
  Config config;
  config.static_mappings = {static_of(80, 8080), static_of(81, 8081)};
  world.server.reconfigure(world.now, config);
  world.pass({});
  world.pass(Seconds{1});
  const auto configured = world.mappings({.origin = Origin::configured});
  ASSERT_THAT(configured, SizeIs(2));
  const MappingView& waiting = configured[0].is_in_force ? configured[1] : configured[0];
  EXPECT_FALSE(waiting.is_in_force);
  EXPECT_EQ(waiting.refusal, device::Refusal::cannot_provide_external);
  EXPECT_EQ(waiting.contract.external_port, Port{8080});
  const auto found = world.server.find_mapping(world.now, waiting.contract.key);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->refusal, device::Refusal::cannot_provide_external);
  EXPECT_EQ(world.server.gauges().statics_not_in_force, 1U);
}

/// Kinds of what was recorded since `first`, which goes on.
auto kinds(const World& world, std::uint64_t& first) -> std::vector<std::string> {
  const EventPage page = world.server.events_from(first, 1000);
  std::vector<std::string> texts;
  texts.reserve(page.events.size());
  for (const Event& event : page.events) texts.emplace_back(to_string(event.kind));
  first = page.next;
  return texts;
}

TEST(Events, tell_the_life_of_mappings_and_users) {
  World world;
  world.ask(MapAsk{});
  std::uint64_t next = 1;
  EXPECT_THAT(kinds(world, next), IsEmpty()) << "nobody asked for them";
  world.server.record_events(true);
  world.ask(MapAsk{});
  world.ask(MapAsk{.internal_port = 1, .lifetime_s = 120});
  EXPECT_THAT(kinds(world, next), ElementsAre("mapping-renewed", "mapping-created"));
  world.pass(Seconds{130});
  EXPECT_THAT(kinds(world, next), ElementsAre("mapping-expired"));
  world.set_pool({*IpAddress::parse("192.0.2.15")});
  world.settle();
  EXPECT_THAT(kinds(world, next), ElementsAre("mapping-moved"));
  world.set_pool({});
  world.settle();
  EXPECT_THAT(kinds(world, next), ElementsAre("mapping-lost"));
  world.set_pool({*IpAddress::parse("192.0.2.14")});
  ASSERT_EQ(world.reason_of(world.server.add_user(world.now, {.users = prefix("2001:db8:112::/48")})),
            std::nullopt);
  ASSERT_EQ(world.reason_of(world.server.change_user(world.now, {.users = prefix("2001:db8:112::/48")})),
            std::nullopt);
  world.ask(MapAsk{});
  ASSERT_EQ(world.reason_of(world.server.delete_user(world.now, prefix("2001:db8:112::/48"))), std::nullopt);
  EXPECT_THAT(kinds(world, next), ElementsAre("user-added", "user-changed", "mapping-created", "user-deleted",
                                              "mapping-deleted"));
  const EventPage last = world.server.events_from(next - 1, 1);
  ASSERT_THAT(last.events, SizeIs(1));
  EXPECT_EQ(last.events[0].contract->external_address, *IpAddress::parse("192.0.2.14"));
}

TEST(Events, a_refused_or_undone_request_is_none) {
  World world;
  world.server.record_events(true);
  world.device_refuses = device::Refusal::no_resources;
  world.ask(MapAsk{});
  world.device_refuses.reset();
  world.store_fails = true;
  world.ask(MapAsk{});
  std::uint64_t next = 1;
  EXPECT_THAT(kinds(world, next), IsEmpty());
}

TEST(EventLog, who_falls_behind_is_told_how_much_it_missed) {
  EventLog log;
  log.record({});
  log.set_on(true);
  const std::uint64_t begin = log.from(0, 10).next;
  for (std::size_t i = 0; i < events_kept; ++i) log.record({});
  EXPECT_EQ(log.from(begin, 1).missed, 0U);
  EXPECT_EQ(log.from(begin, 1).events.at(0).sequence, begin);
  log.record({});
  const EventPage page = log.from(begin, 10);
  EXPECT_EQ(page.missed, 1U);
  EXPECT_EQ(page.events.at(0).sequence, begin + 1);
  EXPECT_EQ(page.next, begin + 11);
  EXPECT_THAT(log.from(page.next, events_kept).events, SizeIs(events_kept - 10));
  EXPECT_THAT(log.from(begin + events_kept + 1, 10).events, IsEmpty());
  EXPECT_EQ(log.from(begin + events_kept + 500, 10).next, begin + events_kept + 1) << "of another run";
}

}  // namespace
}  // namespace portolan::server
