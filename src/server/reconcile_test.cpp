// SPDX-License-Identifier: BSD-2-Clause
//
// A device that was out of reach, or began anew, is brought to what was promised.
#include <gmock/gmock.h>

#include "server/server.h"
#include "server/test_world.h"
#include "wire/nat_pmp.h"

namespace portolan::server {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;
using wire::ResultCode;

/// Any of 60,000 hosts in one subscriber each.
auto host(int number) -> std::string { return fmt::format("2001:db8:112:{:x}::1", number); }

auto external_ports(const World& world) -> std::map<ContractKey, std::uint16_t> {
  std::map<ContractKey, std::uint16_t> ports;
  world.server.contracts().for_each(
      [&](const Contract& contract) { ports[contract.key] = contract.external_port.value; });
  return ports;
}

auto key_of(const MapAsk& ask) -> MappingKey {
  return {.realm = {},
          .internal_address = *IpAddress::parse(ask.from),
          .protocol = ask.protocol,
          .external_family = Family::ipv4,
          .internal_port = Port{ask.internal_port}};
}

/// The keys of all that the device has.
auto held_by(const World& world) -> std::vector<MappingKey> {
  const device::Inventory inventory = world.nat.inventory(world.now);
  std::vector<MappingKey> keys;
  keys.reserve(inventory.mappings.size() + inventory.peers.size());
  for (const auto& held : inventory.mappings) keys.push_back(held.key);
  for (const auto& held : inventory.peers) keys.push_back(held.key);
  return keys;
}

auto by_nat_pmp(Protocol protocol, std::uint16_t internal_port, Port suggested_external_port)
    -> std::vector<std::byte> {
  std::vector<std::byte> octets(wire::nat_pmp::map_request_octets);
  octets.resize(wire::nat_pmp::write_request(
      wire::nat_pmp::MapRequest{.protocol = protocol,
                                .internal_port = Port{internal_port},
                                .suggested_external_port = suggested_external_port,
                                .requested_lifetime_s = 3600},
      octets));
  return octets;
}

void fill(World& world, int hosts) {
  for (int i = 0; i < hosts; ++i) {
    const std::string from = host(i);
    ASSERT_EQ(world.ask(MapAsk{.from = from.c_str()}).response().result, ResultCode::success);
  }
}

TEST(Reconcile, a_device_that_kept_everything_needs_no_operation) {
  World world;
  fill(world, 5);
  world.disconnect();
  world.now += Seconds{100};
  world.connect();
  EXPECT_THAT(world.applying, IsEmpty());
  EXPECT_TRUE(world.is_reconciled);
  EXPECT_FALSE(world.server.is_reconciling());
}

TEST(Reconcile, a_device_that_forgot_gets_all_back_with_the_same_external_ports) {
  World world;
  fill(world, 600);
  const auto before = external_ports(world);
  world.restart_device(World::default_device());
  world.now += Seconds{10};
  world.connect();
  EXPECT_FALSE(world.is_reconciled);
  ASSERT_THAT(world.applying, SizeIs(3));
  for (const Apply& apply : world.applying) {
    EXPECT_TRUE(apply.reconciles);
    EXPECT_LE(apply.operations.size(), repairs_per_batch_max);
  }
  world.settle();
  EXPECT_TRUE(world.is_reconciled);
  EXPECT_EQ(external_ports(world), before);
  EXPECT_EQ(world.server.counters().reinstalled, 600U);
  EXPECT_EQ(world.disagreement(), std::nullopt);
  EXPECT_THAT(world.answers, IsEmpty());
}

TEST(Reconcile, at_most_so_many_batches_of_so_many_are_with_the_device) {
  World world;
  const int hosts = static_cast<int>(repairs_per_batch_max * repair_batches_max) + 1;
  fill(world, hosts);
  world.restart_device(World::default_device());
  world.connect();
  EXPECT_THAT(world.applying, SizeIs(repair_batches_max));
  std::size_t most = 0;
  while (world.apply_next() || world.commit_next()) most = std::max(most, world.applying.size());
  EXPECT_LE(most, repair_batches_max);
  EXPECT_TRUE(world.is_reconciled);
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(Reconcile, what_nobody_owns_is_removed) {
  World world;
  fill(world, 2);
  const MapAsk stranger{.from = "2001:db8:113::1"};
  ASSERT_TRUE(world.nat.apply(
      world.now,
      device::Install{
          .key = key_of(stranger), .external_address = {}, .external_port = {}, .lifetime = Seconds{600}}));
  ASSERT_TRUE(world.nat.apply(world.now,
                              device::InstallPeer{.key = key_of(MapAsk{.from = "2001:db8:114::1"}),
                                                  .remote_peer = {*IpAddress::parse("2001:db8::9"), Port{9}},
                                                  .external_address = {},
                                                  .external_port = {},
                                                  .lifetime = Seconds{600}}));
  ASSERT_THAT(held_by(world), SizeIs(4));
  world.disconnect();
  world.connect(1);
  world.settle();
  EXPECT_TRUE(world.is_reconciled);
  EXPECT_THAT(held_by(world), SizeIs(2));
  EXPECT_EQ(world.server.counters().unowned_removed, 2U);
  EXPECT_EQ(world.server.counters().reinstalled, 0U);
}

TEST(Reconcile, lifetimes_filters_and_parity_are_corrected) {
  World world;
  const wire::Filter filter{.prefix_length = 128,
                            .remote_port = Port{5},
                            .remote_address = *IpAddress::parse("2001:db8:64:ff9b::c000:201")};
  world.ask("2001:db8:112::1", with(encode(MapAsk{}), filter));
  const device::MappingRecord right = world.nat.inventory(world.now).mappings.at(0);
  ASSERT_THAT(right.filters, SizeIs(1));
  const auto put = [&](Seconds lifetime, std::vector<RemoteFilter> filters) {
    ASSERT_TRUE(world.nat.apply(world.now, device::Install{.key = right.key,
                                                           .external_address = {},
                                                           .external_port = {},
                                                           .lifetime = lifetime,
                                                           .filters = std::move(filters)}));
  };
  const auto reconcile = [&] {
    const auto before = world.server.counters().reinstalled;
    world.disconnect();
    world.connect();
    world.settle();
    const device::MappingRecord held = world.nat.inventory(world.now).mappings.at(0);
    EXPECT_EQ(held.remaining, right.remaining);
    EXPECT_EQ(held.filters, right.filters);
    return world.server.counters().reinstalled - before;
  };
  EXPECT_EQ(reconcile(), 0U);
  put(right.remaining + Seconds{3}, right.filters);
  EXPECT_EQ(reconcile(), 1U);
  put(right.remaining - Seconds{3}, right.filters);
  EXPECT_EQ(reconcile(), 1U);
  put(right.remaining, {});
  EXPECT_EQ(reconcile(), 1U);
  ASSERT_TRUE(world.nat.apply(world.now, device::Install{.key = right.key,
                                                         .external_address = {},
                                                         .external_port = {},
                                                         .lifetime = right.remaining,
                                                         .filters = right.filters,
                                                         .preserve_parity = true}));
  EXPECT_EQ(reconcile(), 1U);
  EXPECT_FALSE(world.nat.inventory(world.now).mappings.at(0).preserve_parity);
}

TEST(Reconcile, a_mapping_whose_port_is_taken_moves_and_its_client_is_told) {
  World world;
  const Answer answer = world.ask(MapAsk{});
  const Port promised = answer.map().assigned_external_port;
  world.restart_device(World::default_device());
  // A device that gave it away before it was reconciled.
  const MapAsk other{.from = "2001:db8:113::1"};
  ASSERT_TRUE(world.nat.apply(world.now, device::Install{.key = key_of(other),
                                                         .external_address = *IpAddress::parse("192.0.2.14"),
                                                         .external_port = promised,
                                                         .lifetime = Seconds{60}}));
  world.connect();
  world.settle();
  world.pass(Seconds{0});
  world.pass(Seconds{0});
  EXPECT_TRUE(world.is_reconciled);
  ASSERT_THAT(world.answers, SizeIs(1));
  const Answer update = world.take_answer();
  EXPECT_NE(update.map().assigned_external_port, promised) << "in hold-down for the other";
  EXPECT_EQ(update.response().lifetime_s, 3600U);
  EXPECT_EQ(world.server.counters().moved, 1U);
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(Reconcile, what_moves_takes_no_place_that_was_promised_to_another) {
  // Both have the same port, at two addresses of which one is gone with the restart. Who was there first in
  // the table is the one that moves.
  const IpAddress gone = *IpAddress::parse("192.0.2.14");
  const IpAddress stays = *IpAddress::parse("192.0.2.15");
  World world({}, {.pool = {gone, stays}});
  const MapAsk moves{
      .from = "2001:db8:114::1", .suggested_external_port = 4000, .suggested_external_address = "192.0.2.14"};
  ASSERT_EQ(world.ask(moves).map().assigned_external_address, gone);
  fill(world, static_cast<int>(repairs_per_batch_max * repair_batches_max));
  const MapAsk other{
      .from = "2001:db8:113::1", .suggested_external_port = 4000, .suggested_external_address = "192.0.2.15"};
  ASSERT_EQ(world.ask(other).map().assigned_external_address, stays);
  world.restart_device({.pool = {stays}});
  world.connect();
  // The first batch is answered before the last contract is looked at.
  ASSERT_THAT(world.applying, SizeIs(repair_batches_max));
  world.settle();
  const auto* kept = world.server.contracts().find({.mapping = key_of(other), .remote_peer = {}});
  ASSERT_NE(kept, nullptr);
  EXPECT_EQ(kept->external_address, stays);
  EXPECT_EQ(kept->external_port, Port{4000});
  const auto* moved = world.server.contracts().find({.mapping = key_of(moves), .remote_peer = {}});
  ASSERT_NE(moved, nullptr);
  EXPECT_EQ(moved->external_address, stays);
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(Reconcile, a_mapping_asked_for_with_prefer_failure_is_lost_instead) {
  World world;
  world.ask(MapAsk{.suggested_external_port = 4000, .prefer_failure = true});
  world.restart_device({.pool = {*IpAddress::parse("192.0.2.15")}});
  world.connect();
  world.settle();
  world.pass(Seconds{0});
  EXPECT_EQ(world.server.contracts().size(), 0U);
  EXPECT_EQ(world.take_answer().response().result, ResultCode::cannot_provide_external);
}

TEST(Reconcile, a_mapping_that_the_device_moved_out_of_reach_stays_where_it_is_now) {
  World world;
  world.ask(MapAsk{});
  world.disconnect();
  // The event is lost.
  static_cast<void>(world.nat.set_pool(world.now, {*IpAddress::parse("192.0.2.15")}));
  const device::MappingRecord held = world.nat.inventory(world.now).mappings.at(0);
  world.connect();
  world.settle();
  const auto contract = *world.server.contracts().find({.mapping = held.key, .remote_peer = {}});
  EXPECT_EQ(contract.external_address, held.external_address);
  EXPECT_EQ(contract.external_port, held.external_port);
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(Reconcile, a_peer_tuple_comes_back_or_is_lost) {
  World world;
  const auto octets = encode(PeerAsk{.lifetime_s = 600});
  const Answer answer = world.ask("2001:db8:112::1", {octets.octets().begin(), octets.octets().end()});
  ASSERT_EQ(answer.response().result, ResultCode::success);
  world.restart_device(World::default_device());
  world.connect();
  world.settle();
  ASSERT_THAT(held_by(world), SizeIs(1));
  EXPECT_EQ(world.nat.inventory(world.now).peers[0].external_port, answer.peer().assigned_external_port);
  world.restart_device({.pool = {*IpAddress::parse("192.0.2.15")}});
  world.connect();
  world.settle();
  EXPECT_EQ(world.server.contracts().size(), 0U) << "a five-tuple never moves";
}

// Found by the simulator: the set came back with one port.
TEST(Reconcile, a_port_set_comes_back_before_a_peer_tuple_in_its_midst) {
  World world;
  const auto octets_of = [](const wire::Datagram& datagram) {
    return std::vector<std::byte>{datagram.octets().begin(), datagram.octets().end()};
  };
  // Its place in the table is the tuple's later.
  world.ask(MapAsk{.internal_port = 1});
  wire::Datagram set = encode(MapAsk{.internal_port = 5000});
  ASSERT_TRUE(
      wire::append_option(set, wire::PortSet{.size = 4, .first_internal_port = Port{5000}, .parity = true}));
  ASSERT_EQ(world.ask("2001:db8:112::1", octets_of(set)).response().result, ResultCode::success);
  world.ask(MapAsk{.internal_port = 1, .lifetime_s = 0});
  const auto peer = octets_of(encode(PeerAsk{.internal_port = 5001}));
  ASSERT_EQ(world.ask("2001:db8:112::1", peer).response().result, ResultCode::success);
  const auto before = external_ports(world);
  world.restart_device(World::default_device());
  world.connect();
  world.settle();
  EXPECT_EQ(external_ports(world), before);
  EXPECT_EQ(world.server.counters().moved, 0U);
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(Reconcile, new_mappings_wait_and_renewals_do_not) {
  World world;
  const MapAsk known{};
  const Port port = world.ask(known).map().assigned_external_port;
  world.restart_device(World::default_device());
  world.connect();
  ASSERT_TRUE(world.server.is_reconciling());
  const MapAsk taker{.from = "2001:db8:113::1", .suggested_external_port = port.value};
  world.receive({taker, known});
  EXPECT_EQ(world.server.counters().dropped_overload, 1U);
  world.settle();
  EXPECT_EQ(world.take_answer().map().assigned_external_port, port);
  EXPECT_EQ(world.ask(taker).response().result, ResultCode::success);
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

// Found by scripts/bench pcp: the device waited for as long as one client went on.
TEST(Reconcile, a_client_that_asks_without_end_keeps_nobody_waiting) {
  World world;
  constexpr int hosts = static_cast<int>(repairs_per_batch_max * repair_batches_max) + 1;
  fill(world, hosts);
  const std::uint64_t before = world.server.counters().map_requests;
  world.restart_device(World::default_device());
  world.connect();
  // The one whose turn has not come.
  const std::string last = host(hosts - 1);
  const MapAsk again{.from = last.c_str()};
  std::uint64_t asked = 0;
  for (int turn = 0; turn < 20 && !world.is_reconciled; ++turn) {
    world.receive({again, again});
    asked += 2;
    world.apply_next();
    world.commit_next();
  }
  EXPECT_TRUE(world.is_reconciled);
  world.settle();
  EXPECT_EQ(world.server.counters().map_requests, before + asked) << "each once, however long it waited";
  EXPECT_THAT(world.answers, SizeIs(asked));
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(Reconcile, batches_that_were_not_answered_are_carried_out_afterwards) {
  for (const bool has_done_it : {false, true}) {
    for (const bool has_forgotten : {false, true}) {
      World world;
      const MapAsk known{};
      const Port port = world.ask(known).map().assigned_external_port;
      const MapAsk fresh{.from = "2001:db8:113::1", .suggested_external_port = port.value};
      world.receive({fresh, MapAsk{.lifetime_s = 1000}});
      if (has_forgotten)
        world.restart_device(World::default_device(), has_done_it);
      else
        world.disconnect(has_done_it);
      world.connect();
      world.settle();
      EXPECT_THAT(world.parked, IsEmpty());
      ASSERT_THAT(world.answers, SizeIs(2));
      EXPECT_NE(world.take_answer().map().assigned_external_port, port);
      const Answer renewed = world.take_answer();
      EXPECT_EQ(renewed.map().assigned_external_port, port);
      EXPECT_EQ(renewed.response().lifetime_s, 1000U);
      EXPECT_EQ(world.disagreement(), std::nullopt);
      EXPECT_THAT(held_by(world), SizeIs(2));
    }
  }
}

// Found by the simulator. NAT-PMP gives nobody else the same port of the other protocol (RFC 6886 s3.3).
TEST(Reconcile, what_a_batch_under_way_made_gives_way_to_what_was_promised) {
  World world({.nat_pmp_addresses = {*Ipv4Address::parse("192.0.2.14")}});
  const Port port = world.ask(MapAsk{.protocol = Protocol::tcp}).map().assigned_external_port;
  // The device frees the port and gives it to another in one batch, and its answer is lost.
  const MapAsk other{.from = "198.51.100.2", .internal_port = 3000};
  const wire::Datagram deletion = encode(MapAsk{.lifetime_s = 0, .protocol = Protocol::tcp});
  world.receive({{Endpoint{*IpAddress::parse("2001:db8:112::1"), Port{12345}},
                  {deletion.octets().begin(), deletion.octets().end()}},
                 {Endpoint{*IpAddress::parse(other.from), Port{12345}},
                  by_nat_pmp(Protocol::udp, other.internal_port, port)}});
  world.disconnect(true);
  ASSERT_EQ(world.nat.explicit_mappings(world.now).at(key_of(other)),
            (Endpoint{*IpAddress::parse("192.0.2.14"), port}));
  world.connect();
  world.settle();
  EXPECT_EQ(world.server.counters().moved, 0U) << "of the first one, which is being deleted";
  EXPECT_THAT(held_by(world), SizeIs(1));
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

// Found by the simulator.
TEST(Reconcile, what_was_promised_comes_back_where_another_wishes_a_companion) {
  World world({.nat_pmp_addresses = {*Ipv4Address::parse("192.0.2.14")}});
  const char* const host = "198.51.100.1";
  world.ask(host, by_nat_pmp(Protocol::tcp, 5000, Port{5000}));
  world.restart_device(World::default_device());
  world.connect();
  world.settle();
  const MapAsk promised{.from = "198.51.100.2", .suggested_external_port = 5000};
  ASSERT_EQ(world.ask(promised).map().assigned_external_port, Port{5000}) << "reserved by the next renewal";
  world.ask(host, by_nat_pmp(Protocol::tcp, 5000, Port{5000}));

  world.receive({MapAsk{.from = promised.from, .lifetime_s = 0}});
  world.disconnect(true);
  ASSERT_THAT(held_by(world), SizeIs(1));
  world.now += Seconds{1000};  // longer than the device holds the port
  world.give_up();
  world.connect();
  world.settle();
  EXPECT_EQ(world.server.counters().moved, 0U);
  EXPECT_EQ(world.nat.explicit_mappings(world.now).at(key_of(promised)).port, Port{5000});
  EXPECT_EQ(world.disagreement(), std::nullopt);
}
TEST(Reconcile, out_of_reach_for_too_long_is_a_network_failure_and_nothing_is_lost) {
  World world;
  const MapAsk known{};
  const Port port = world.ask(known).map().assigned_external_port;
  world.receive({MapAsk{.from = "2001:db8:113::1"}, MapAsk{.lifetime_s = 0}});
  world.disconnect(true);
  world.give_up();
  world.settle();
  EXPECT_EQ(world.take_answer().response().result, ResultCode::network_failure);
  EXPECT_EQ(world.take_answer().response().result, ResultCode::network_failure) << "it may be there still";
  world.connect();
  world.settle();
  EXPECT_EQ(world.disagreement(), std::nullopt);
  EXPECT_THAT(held_by(world), SizeIs(1));
  EXPECT_EQ(world.nat.inventory(world.now).mappings[0].external_port, port);
}

TEST(Reconcile, going_out_of_reach_meanwhile_begins_anew) {
  World world;
  fill(world, 600);
  const auto before = external_ports(world);
  for (int round = 0; round < 20; ++round) {
    world.restart_device(World::default_device());
    world.connect(100);
    for (int i = 0; i < round % 4; ++i) world.apply_next();
    const std::string from = host(round);
    world.receive({MapAsk{.from = from.c_str()}});
    world.disconnect(round % 2 == 0);
    EXPECT_EQ(world.server.broken_invariant(world.now), std::nullopt);
    EXPECT_FALSE(world.server.is_reconciling());
  }
  world.connect();
  world.settle();
  EXPECT_TRUE(world.is_reconciled);
  EXPECT_EQ(external_ports(world), before);
  EXPECT_THAT(world.answers, SizeIs(20));
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(Reconcile, a_commit_that_fails_meanwhile_is_undone_on_what_was_restored) {
  World world;
  const Port port = world.ask(MapAsk{}).map().assigned_external_port;
  world.store_fails = true;
  world.receive({MapAsk{.lifetime_s = 0}, MapAsk{.from = "2001:db8:113::1"}});
  world.apply_next();
  world.restart_device(World::default_device());
  world.connect();
  world.commit_next();
  world.settle();
  world.store_fails = false;
  world.pass(Seconds{2});
  world.pass(Seconds{2});
  EXPECT_FALSE(world.server.is_read_only());
  EXPECT_EQ(world.disagreement(), std::nullopt);
  ASSERT_THAT(held_by(world), SizeIs(1));
  EXPECT_EQ(world.nat.inventory(world.now).mappings[0].external_port, port);
}

TEST(Reconcile, an_undo_that_the_device_could_not_do_keeps_the_promise) {
  World world;
  const Port port = world.ask(MapAsk{}).map().assigned_external_port;
  world.store_fails = true;
  world.receive({MapAsk{.lifetime_s = 0}});
  world.apply_next();
  world.commit_next();  // the undo is on its way
  world.disconnect();
  world.give_up();
  EXPECT_EQ(world.server.contracts().size(), 1U);
  EXPECT_EQ(world.server.counters().refused_undos, 0U);
  world.store_fails = false;
  world.connect();
  world.settle();
  world.pass(Seconds{2});
  world.pass(Seconds{2});
  EXPECT_EQ(world.disagreement(), std::nullopt);
  EXPECT_EQ(world.nat.inventory(world.now).mappings.at(0).external_port, port);
}

TEST(Reconcile, the_operators_mappings_come_back) {
  Config config;
  config.static_mappings = {{.key = key_of(MapAsk{.from = "2001:db8:115::1"}),
                             .external_address = *IpAddress::parse("192.0.2.14"),
                             .external_port = Port{80}}};
  device::SimulatedConfig device = World::default_device();
  device.first_port = Port{80};
  World world(config, device);
  world.pass(Seconds{1});
  ASSERT_EQ(world.server.contracts().size(), 1U);
  world.restart_device(device);
  world.connect();
  world.settle();
  ASSERT_THAT(held_by(world), SizeIs(1));
  EXPECT_EQ(world.nat.inventory(world.now).mappings[0].external_port, Port{80});
  // A server that begins anew finds it at the device, and leaves it there.
  World second(config, device);
  second.nat = world.nat;
  second.connect();
  EXPECT_TRUE(std::ranges::none_of(second.applying, &Apply::reconciles)) << "nothing is repaired";
  second.settle();
  EXPECT_EQ(second.server.counters().unowned_removed, 0U);
  EXPECT_EQ(second.disagreement(), std::nullopt);
}

}  // namespace
}  // namespace portolan::server
