// SPDX-License-Identifier: BSD-2-Clause
//
// What users are given reaches the device: at start, when the configuration changes, and when a device is
// back that forgot, missed, or was told by somebody else (RFC 6888 s3 REQ-4).
#include "server/device_profiles.h"

#include <set>

#include <gmock/gmock.h>

#include "server/server.h"
#include "server/test_world.h"

namespace portolan::server {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using wire::ResultCode;

auto prefix(std::string_view text) -> Prefix { return *Prefix::parse(text); }

/// A user with at most so many ports of its own traffic.
auto user(const std::string& text, std::uint32_t ports_max) -> Profile {
  Profile profile{.users = prefix(text)};
  profile.allotment.ports_max = ports_max;
  return profile;
}

auto table_of(const std::vector<Profile>& profiles) -> ProfileTable {
  SeededRandom random(1);
  Users users(100, random);
  for (const Profile& profile : profiles) PORTOLAN_CHECK(users.put({.profile = profile}));
  return profile_table(users);
}

auto config_of(std::vector<Profile> profiles) -> Config {
  Config config;
  config.profiles = std::move(profiles);
  return config;
}

/// The ports_max of all profiles that the device has, in order of prefix.
auto held_by(const World& world) -> std::vector<std::uint32_t> {
  std::vector<std::uint32_t> held;
  for (const device::PutProfile& profile : world.nat.profiles()) held.push_back(profile.ports_max);
  return held;
}

auto two_addresses() -> device::SimulatedConfig {
  return {.pool = {*IpAddress::parse("192.0.2.14"), *IpAddress::parse("192.0.2.15")}};
}

auto key_of(const MapAsk& ask) -> MappingKey {
  return {.realm = {},
          .internal_address = *IpAddress::parse(ask.from),
          .protocol = ask.protocol,
          .external_family = Family::ipv4,
          .internal_port = Port{ask.internal_port}};
}

TEST(ProfileTable, has_who_is_given_something_and_who_lies_within_them) {
  Profile numbered{.users = prefix("2001:db8:114::/48")};
  numbered.subscriber_prefix_length = 56;
  const ProfileTable table = table_of({{.users = prefix("2001:db8:112:5::/64")},
                                       user("2001:db8:112::/48", 7),
                                       {.users = prefix("2001:db8:113::/48"), .policy = {.mappings_max = 3}},
                                       numbered});
  ASSERT_THAT(table, SizeIs(3));
  EXPECT_EQ(table.at({Realm{}, prefix("2001:db8:112::/48")}).ports_max, 7U);
  EXPECT_EQ(table.at({Realm{}, prefix("2001:db8:112:5::/64")}).ports_max, 0U) << "not its neighbours' limit";
  EXPECT_EQ(table.at({Realm{}, prefix("2001:db8:114::/48")}).subscriber_prefix_length, 56U);
}

TEST(ProfileTable, no_subscriber_is_larger_than_its_profile) {
  Profile host = user("2001:db8:112::5/128", 7);
  EXPECT_EQ(table_of({host}).begin()->second.subscriber_prefix_length, 0U) << "the device sees to it";
  host.subscriber_prefix_length = 64;
  EXPECT_EQ(table_of({host}).begin()->second.subscriber_prefix_length, 128U);
}

TEST(ProfileTable, ports_that_traffic_never_gets_are_about_mappings_only) {
  Profile ranged = user("2001:db8:112::/48", 7);
  const auto given = [&](std::uint16_t first, std::uint16_t last) {
    ranged.allotment.external_ports = {.first = Port{first}, .last = Port{last}};
    return table_of({ranged}).begin()->second.external_ports;
  };
  EXPECT_EQ(given(80, 1023), PortRange{});
  EXPECT_EQ(given(80, 1024), (PortRange{.first = Port{80}, .last = Port{1024}}));
}

TEST(DeviceProfiles, are_put_at_start_and_traffic_obeys_them) {
  World world(config_of({user("2001:db8:112::1/128", 1), user("2001:db8:113::/48", 5)}));
  EXPECT_THAT(world.applying, IsEmpty()) << "nobody knows yet what the device has";
  world.connect();
  ASSERT_THAT(world.applying, SizeIs(1));
  EXPECT_TRUE(world.applying[0].reconciles);
  EXPECT_TRUE(world.server.is_reconciling());
  world.settle();
  EXPECT_FALSE(world.server.is_reconciling());
  EXPECT_THAT(held_by(world), ElementsAre(1, 5));
  const MapAsk host{};
  EXPECT_TRUE(world.nat.outbound(world.now, key_of(host)));
  EXPECT_FALSE(world.nat.outbound(world.now, key_of(MapAsk{.internal_port = 1}))) << "one port is the limit";
  EXPECT_EQ(world.ask(MapAsk{.internal_port = 2}).response().result, ResultCode::success) << "is no traffic";
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(DeviceProfiles, go_to_the_device_in_batches_of_which_few_are_under_way) {
  std::vector<Profile> users;
  const std::size_t count = repairs_per_batch_max * repair_batches_max + 1;
  users.reserve(count);
  for (std::size_t i = 0; i < count; ++i) users.push_back(user(fmt::format("2001:db8:{:x}::/48", i), 5));
  World world(config_of(users));
  world.connect();
  EXPECT_THAT(world.applying, SizeIs(repair_batches_max));
  EXPECT_THAT(world.applying[0].operations, SizeIs(repairs_per_batch_max));
  std::size_t most = 0;
  while (world.apply_next() || world.commit_next()) most = std::max(most, world.applying.size());
  EXPECT_LE(most, repair_batches_max);
  EXPECT_TRUE(world.is_reconciled);
  EXPECT_EQ(world.disagreement(), std::nullopt);
  // Of a change, one.
  world.server.reconfigure(world.now, config_of({}));
  world.pass({});
  EXPECT_THAT(held_by(world), IsEmpty());
}

TEST(DeviceProfiles, a_changed_configuration_puts_what_is_new_or_other_and_drops_the_rest) {
  World world(
      config_of({user("2001:db8:112::/48", 1), user("2001:db8:113::/48", 2), user("2001:db8:114::/48", 3)}));
  world.connect();
  world.settle();
  world.server.reconfigure(world.now, config_of({user("2001:db8:113::/48", 20), user("2001:db8:114::/48", 3),
                                                 user("2001:db8:115::/48", 4)}));
  world.receive(std::vector<MapAsk>{MapAsk{}});
  ASSERT_THAT(world.applying, SizeIs(2));
  const auto& operations = world.applying[0].operations;
  ASSERT_THAT(operations, SizeIs(3)) << "what stays as it is needs nothing";
  EXPECT_TRUE(std::holds_alternative<device::DropProfile>(operations[0])) << "makes room for the others";
  EXPECT_FALSE(world.applying[0].reconciles);
  EXPECT_TRUE(std::holds_alternative<device::Install>(world.applying[1].operations[0]))
      << "what is asked later goes by the new ones";
  world.settle();
  EXPECT_THAT(held_by(world), ElementsAre(20, 3, 4));
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(DeviceProfiles, a_device_that_kept_them_needs_no_operation) {
  World world(config_of({user("2001:db8:112::/48", 1)}));
  world.connect();
  world.settle();
  world.disconnect();
  world.connect();
  EXPECT_THAT(world.applying, IsEmpty());
  EXPECT_TRUE(world.is_reconciled);
}

TEST(DeviceProfiles, missing_other_and_unowned_ones_are_repaired_before_any_mapping) {
  World world(config_of({user("2001:db8:112::/48", 1), user("2001:db8:113::/48", 2)}));
  world.connect();
  world.settle();
  ASSERT_EQ(world.ask(MapAsk{}).response().result, ResultCode::success);
  world.restart_device(World::default_device());
  const auto put = [&](const char* users, std::uint32_t ports_max) {
    device::PutProfile profile{.realm = {}, .internal_prefix = prefix(users)};
    profile.ports_max = ports_max;
    ASSERT_TRUE(world.nat.apply(world.now, profile));
  };
  put("2001:db8:113::/48", 9);
  put("2001:db8:114::/48", 8);
  world.connect();
  std::vector<std::size_t> kinds;
  for (const Apply& apply : world.applying)
    for (const device::Operation& operation : apply.operations) kinds.push_back(operation.index());
  const auto kind = [](const device::Operation& operation) { return operation.index(); };
  EXPECT_THAT(kinds, ElementsAre(kind(device::DropProfile{}), kind(device::PutProfile{}),
                                 kind(device::PutProfile{}), kind(device::Install{})));
  world.settle();
  EXPECT_TRUE(world.is_reconciled);
  EXPECT_THAT(held_by(world), ElementsAre(1, 2));
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(DeviceProfiles, what_was_under_way_when_the_device_went_does_not_win_over_what_is_configured_now) {
  for (const bool has_done_it : {false, true}) {
    World world(config_of({user("2001:db8:112::/48", 1)}));
    world.connect();
    world.settle();
    world.server.reconfigure(world.now,
                             config_of({user("2001:db8:112::/48", 2), user("2001:db8:113::/48", 3)}));
    world.receive(std::vector<MapAsk>{});
    world.restart_device(World::default_device(), has_done_it);
    world.server.reconfigure(world.now, config_of({user("2001:db8:112::/48", 4)}));
    world.connect();
    world.settle();
    EXPECT_THAT(held_by(world), ElementsAre(4));
    EXPECT_EQ(world.disagreement(), std::nullopt);
  }
}

TEST(DeviceProfiles, a_change_while_the_device_is_out_of_reach_for_long_is_repaired) {
  World world(config_of({user("2001:db8:112::/48", 1)}));
  world.connect();
  world.settle();
  world.disconnect();
  world.server.reconfigure(world.now, config_of({user("2001:db8:113::/48", 2)}));
  world.pass({});
  world.give_up();
  EXPECT_EQ(world.server.broken_invariant(world.now), std::nullopt);
  EXPECT_THAT(held_by(world), ElementsAre(1));
  world.connect();
  world.settle();
  EXPECT_THAT(held_by(world), ElementsAre(2));
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(DeviceProfiles, going_out_of_reach_amid_repairs_begins_anew) {
  std::vector<Profile> users;
  users.reserve(600);
  for (int i = 0; i < 600; ++i) users.push_back(user(fmt::format("2001:db8:{:x}::/48", i), 5));
  World world(config_of(users));
  for (int round = 0; round < 8; ++round) {
    world.restart_device(World::default_device());
    world.connect();
    for (int i = 0; i < round % 4; ++i) world.apply_next();
    world.disconnect(round % 2 == 0);
    EXPECT_EQ(world.server.broken_invariant(world.now), std::nullopt);
  }
  world.connect();
  world.settle();
  EXPECT_TRUE(world.is_reconciled);
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(DeviceProfiles, an_answer_from_before_the_inventory_erases_nothing_of_it) {
  std::vector<Profile> users;
  const std::size_t count = repairs_per_batch_max * repair_batches_max + 1;
  users.reserve(count);
  for (std::size_t i = 0; i < count; ++i) users.push_back(user(fmt::format("2001:db8:{:x}::/48", i), 5));
  World world(config_of(users));
  world.connect();
  world.settle();
  users.front() = user("2001:db8::/48", 6);
  world.server.reconfigure(world.now, config_of(users));
  world.receive(std::vector<MapAsk>{});
  world.restart_device(World::default_device());
  world.connect();
  world.give_up();
  world.settle();
  EXPECT_TRUE(world.is_reconciled);
  EXPECT_THAT(held_by(world), SizeIs(count));
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(DeviceProfiles, what_the_device_refuses_is_told_once_and_leaves_nothing_of_before) {
  World world(config_of({user("2001:db8:112::/48", 1)}));
  world.connect();
  world.settle();
  Profile in_blocks = user("2001:db8:112::/48", 2);
  in_blocks.allotment.port_block_size = 64;
  const auto refused = [&] {
    world.settle();
    world.pass({});
    return std::exchange(world.refused_profiles, {});
  };
  world.server.reconfigure(world.now, config_of({in_blocks}));
  const auto told = refused();
  ASSERT_THAT(told, SizeIs(1));
  EXPECT_EQ(told[0].refusal, device::Refusal::profile_unsupported);
  EXPECT_THAT(held_by(world), IsEmpty()) << "rather none than one of before";
  EXPECT_EQ(world.disagreement(), std::nullopt);
  world.server.reconfigure(world.now, config_of({in_blocks}));
  world.disconnect();
  world.connect();
  EXPECT_THAT(refused(), IsEmpty()) << "it is known";
  in_blocks.allotment.port_block_size = 0;
  world.server.reconfigure(world.now, config_of({in_blocks}));
  EXPECT_THAT(refused(), IsEmpty());
  EXPECT_THAT(held_by(world), ElementsAre(2));
}

TEST(DeviceProfiles, what_there_was_no_room_for_is_tried_again_once_another_is_dropped) {
  DeviceProfiles profiles;
  const auto first = user("2001:db8:112::/48", 1);
  const auto second = user("2001:db8:113::/48", 2);
  // A device that has room for one profile.
  std::set<ProfileKey> held;
  const auto settle = [&] {
    int operations = 0;
    while (profiles.has_more() && operations < 20) {
      const auto taken = profiles.take(8);
      std::vector<device::Result> results;
      for (const device::Operation& operation : taken) {
        ++operations;
        if (const auto* const drop = std::get_if<device::DropProfile>(&operation))
          held.erase({drop->realm, drop->internal_prefix});
        const auto* const put = std::get_if<device::PutProfile>(&operation);
        const bool is_refused =
            put != nullptr && !held.empty() && !held.contains({put->realm, put->internal_prefix});
        if (put != nullptr && !is_refused) held.emplace(put->realm, put->internal_prefix);
        if (is_refused)
          results.emplace_back(std::unexpected(device::Refusal::no_resources));
        else
          results.emplace_back(device::Applied{});
      }
      profiles.applied(taken, results);
    }
    return operations;
  };
  profiles.want(table_of({first, second}));
  profiles.begin();
  profiles.knows_all();
  EXPECT_EQ(settle(), 3) << "two puts, and nothing of before is left of the one that was refused";
  EXPECT_THAT(profiles.take_refused(), SizeIs(1));
  profiles.want(table_of({second}));
  EXPECT_EQ(settle(), 2);
  EXPECT_THAT(held, ElementsAre(ProfileKey{Realm{}, second.users}));
  EXPECT_THAT(profiles.refused(), IsEmpty());
}

TEST(DeviceProfiles, a_user_maps_at_the_address_it_is_given) {
  Profile at{.users = prefix("2001:db8:112::/48")};
  at.allotment.external_address = *IpAddress::parse("192.0.2.15");
  World world(config_of({at}), two_addresses());
  world.connect();
  world.settle();
  const auto address_of = [](const Answer& answer) { return answer.map().assigned_external_address; };
  const MapAsk other{
      .internal_port = 1, .suggested_external_port = 5000, .suggested_external_address = "192.0.2.14"};
  EXPECT_EQ(address_of(world.ask(MapAsk{})), at.allotment.external_address);
  const Answer answer = world.ask(other);
  EXPECT_EQ(address_of(answer), at.allotment.external_address);
  EXPECT_EQ(answer.map().assigned_external_port, Port{5000});
  MapAsk binding = other;
  binding.internal_port = 2;
  binding.suggested_external_port = 5001;
  binding.prefer_failure = true;
  EXPECT_EQ(world.ask(binding).response().result, ResultCode::cannot_provide_external);
  binding.suggested_external_address = "192.0.2.15";
  EXPECT_EQ(world.ask(binding).response().result, ResultCode::success);
  binding.from = "2001:db8:113::1";
  binding.suggested_external_address = "192.0.2.14";
  EXPECT_EQ(world.ask(binding).response().result, ResultCode::success) << "others have any";
}

/// A world of two addresses whose first prefix of hosts is given `address`.
auto world_given(const char* address) -> World {
  Profile at{.users = prefix("2001:db8:112::/48")};
  at.allotment.external_address = *IpAddress::parse(address);
  return World(config_of({at}), two_addresses());
}

auto ask_peer(World& world, std::uint16_t internal_port, const char* suggested,
              std::uint16_t suggested_port = 0) -> Answer {
  const wire::Datagram datagram = wire::encode_request(
      {.opcode = wire::Opcode::peer,
       .requested_lifetime_s = 600,
       .client_address = *IpAddress::parse("2001:db8:112::1"),
       .body = wire::PeerRequest{.nonce = {},
                                 .protocol = Protocol::udp,
                                 .internal_port = Port{internal_port},
                                 .suggested_external_port = Port{suggested_port},
                                 .suggested_external_address = *IpAddress::parse(suggested),
                                 .remote_peer_port = Port{5060},
                                 .remote_peer_address = *IpAddress::parse("2001:db8:64:ff9b::198.51.100.7")},
       .options = {}});
  return world.ask("2001:db8:112::1", {datagram.octets().begin(), datagram.octets().end()});
}
const Endpoint asked_peer{*IpAddress::parse("2001:db8:64:ff9b::198.51.100.7"), Port{5060}};

TEST(DeviceProfiles, peer_does_not_lead_to_another_address_than_the_one_given) {
  World world = world_given("192.0.2.15");
  world.connect();
  world.settle();
  EXPECT_EQ(ask_peer(world, 1, "192.0.2.14").response().result, ResultCode::cannot_provide_external);
  EXPECT_EQ(ask_peer(world, 1, "192.0.2.14", 4000).response().result, ResultCode::cannot_provide_external);
  EXPECT_EQ(world.disagreement(), std::nullopt);
  const Answer any = ask_peer(world, 2, "0.0.0.0");
  ASSERT_EQ(any.response().result, ResultCode::success);
  EXPECT_EQ(any.peer().assigned_external_address, *IpAddress::parse("192.0.2.15"));
  EXPECT_EQ(ask_peer(world, 3, "192.0.2.15", 4000).peer().assigned_external_port, Port{4000});
}

// RFC 6887 s12.3: of a flow that exists the suggestion is ignored.
TEST(DeviceProfiles, peer_for_a_flow_of_before_succeeds_where_it_is_whatever_is_suggested) {
  World world = world_given("192.0.2.15");
  const auto flow = world.nat.outbound(world.now, key_of(MapAsk{.internal_port = 1}), asked_peer);
  ASSERT_TRUE(flow && flow->address == *IpAddress::parse("192.0.2.14"));
  world.connect();
  world.settle();
  for (const char* const suggested : {"192.0.2.14", "192.0.2.99", "0.0.0.0"}) {
    const Answer answer = ask_peer(world, 1, suggested);
    ASSERT_EQ(answer.response().result, ResultCode::success) << suggested;
    EXPECT_EQ(answer.peer().assigned_external_address, flow->address);
  }
}

// RFC 6887 s11.3: an outbound mapping becomes an inbound one besides.
TEST(DeviceProfiles, prefer_failure_makes_a_flow_of_before_explicit_where_it_is) {
  World world = world_given("192.0.2.15");
  MapAsk binding{.suggested_external_port = 0, .prefer_failure = true};
  std::vector<Endpoint> flows;
  for (binding.internal_port = 1; binding.internal_port < 4; ++binding.internal_port)
    flows.push_back(world.nat.outbound(world.now, key_of(binding), asked_peer).value_or(Endpoint{}));
  world.connect();
  world.settle();
  binding.internal_port = 1;
  for (const char* const suggested : {"0.0.0.0", "192.0.2.14"}) {
    binding.suggested_external_address = suggested;
    binding.suggested_external_port = flows[binding.internal_port - 1U].port.value;
    const Answer answer = world.ask(binding);
    ASSERT_EQ(answer.response().result, ResultCode::success) << suggested;
    EXPECT_EQ(answer.map().assigned_external_address, *IpAddress::parse("192.0.2.14"));
    ++binding.internal_port;
  }
  binding.suggested_external_address = "192.0.2.15";
  EXPECT_EQ(world.ask(binding).response().result, ResultCode::cannot_provide_external) << "it is elsewhere";
}

TEST(DeviceProfiles, an_address_given_that_the_device_has_not_is_as_if_none_were) {
  World world = world_given("192.0.2.99");
  world.connect();
  world.settle();
  MapAsk binding{
      .suggested_external_port = 5000, .suggested_external_address = "192.0.2.14", .prefer_failure = true};
  EXPECT_EQ(world.ask(binding).response().result, ResultCode::success);
  EXPECT_EQ(ask_peer(world, 1, "192.0.2.14").response().result, ResultCode::success);
  binding.internal_port = 2;
  binding.suggested_external_port = 5001;
  binding.suggested_external_address = "192.0.2.99";
  EXPECT_EQ(world.ask(binding).response().result, ResultCode::cannot_provide_external);
  // It stays where it is when the address is there.
  world.nat.set_pool(world.now, {*IpAddress::parse("192.0.2.14"), *IpAddress::parse("192.0.2.99")});
  EXPECT_EQ(world.ask(binding).response().result, ResultCode::success);
  binding.internal_port = MapAsk{}.internal_port;
  binding.suggested_external_port = 5000;
  binding.suggested_external_address = "192.0.2.14";
  EXPECT_EQ(world.ask(binding).map().assigned_external_address, *IpAddress::parse("192.0.2.14"));
}

}  // namespace
}  // namespace portolan::server
