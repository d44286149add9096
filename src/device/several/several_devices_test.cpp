// SPDX-License-Identifier: BSD-2-Clause
#include "device/several/several_devices.h"

#include <map>

#include <gmock/gmock.h>

#include "device/contract_test.h"
#include "device/pool_contract_test.h"
#include "device/port_range_contract_test.h"
#include "device/profile_contract_test.h"
#include "device/simulated/simulated_nat.h"

namespace portolan::device {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

auto address(std::string_view text) -> IpAddress { return *IpAddress::parse(text); }

/// A part of the test's: carries a batch out when it is let to.
class SlowDevice final : public Device {
 public:
  SlowDevice(SimulatedConfig config, SeveralDevices::Place place, const TimePoint& now)
      : nat(std::move(config)), place_(std::move(place)), now_(now) {}

  void apply(BatchId batch, std::vector<Operation> operations) override {
    waiting.emplace_back(batch, std::move(operations));
  }
  void reconcile(BatchId batch, std::vector<Operation> operations) override {
    ++reconciles;
    apply(batch, std::move(operations));
  }
  void reconciled() override { ++times_reconciled; }

  /// Answers its next batch.
  auto answer() -> bool {
    if (waiting.empty()) return false;
    auto [batch, operations] = std::move(waiting.front());
    waiting.pop_front();
    std::vector<Result> results;
    for (const Operation& operation : operations)
      results.push_back(is_there ? nat.apply(now_, operation)
                                 : Result(std::unexpected(Refusal::unreachable)));
    place_.completion(batch, std::move(results));
    return true;
  }
  auto set_pool(std::vector<IpAddress> pool) -> std::vector<Event> {
    auto events = nat.set_pool(now_, std::move(pool));
    place_.events(events);
    return events;
  }
  void tell(Inventory inventory) const { place_.inventory(std::move(inventory)); }

  SimulatedNat nat;
  std::deque<std::pair<BatchId, std::vector<Operation>>> waiting;
  bool is_there = true;
  int reconciles = 0;
  int times_reconciled = 0;

 private:
  SeveralDevices::Place place_;
  const TimePoint& now_;
};

/// A NAT44, a NAT64, and something that gives IPv6 hosts IPv6 addresses; and what they have said.
class World {
 public:
  explicit World(bool has_nat66 = true) {
    nat44 = make({.internal_family = Family::ipv4,
                  .external_family = Family::ipv4,
                  .inside = {*Prefix::parse("198.51.100.0/24"), *Prefix::parse("203.0.113.0/24")}},
                 "192.0.2.1");
    nat64 = make({.internal_family = Family::ipv6, .external_family = Family::ipv4, .keeps_profiles = true},
                 "192.0.2.14");
    if (!has_nat66) return;
    nat66 = make({.internal_family = Family::ipv6,
                  .external_family = Family::ipv6,
                  .inside = {*Prefix::parse("2001:db8:112::/48")}},
                 "2001:db8:f::1");
  }

  auto apply(std::vector<Operation> operations) -> BatchId {
    const BatchId batch{++last_batch};
    devices.apply(batch, std::move(operations));
    return batch;
  }
  auto reconcile(std::vector<Operation> operations) -> BatchId {
    const BatchId batch{++last_batch};
    devices.reconcile(batch, std::move(operations));
    return batch;
  }
  void run_posted() {
    while (!posted.empty()) {
      auto task = std::move(posted.front());
      posted.pop_front();
      task();
    }
  }
  void settle() {
    run_posted();
    while (nat44->answer() || nat64->answer() || (nat66 != nullptr && nat66->answer())) run_posted();
  }
  /// Applies a batch, lets all answer, and returns its results.
  auto results(std::vector<Operation> operations) -> std::vector<Result> {
    const BatchId batch = apply(std::move(operations));
    settle();
    return answers.at(batch);
  }

  TimePoint now{Seconds{1000}};
  std::uint64_t last_batch = 0;
  std::deque<std::function<void()>> posted;
  /// What came out, in order: "3" is the answer to batch 3.
  std::vector<std::string> told;
  std::map<BatchId, std::vector<Result>> answers;
  std::vector<Inventory> inventories;
  SeveralDevices devices{{.completion =
                              [this](BatchId batch, std::vector<Result> results) {
                                told.push_back(std::to_string(batch.value));
                                answers[batch] = std::move(results);
                              },
                          .events =
                              [this](const std::vector<Event>& events) {
                                for (std::size_t i = 0; i < events.size(); ++i) told.emplace_back("event");
                              },
                          .inventory =
                              [this](Inventory inventory) {
                                told.emplace_back("inventory");
                                inventories.push_back(std::move(inventory));
                              },
                          .post = [this](std::function<void()> task) { posted.push_back(std::move(task)); }}};
  SlowDevice* nat44 = nullptr;
  SlowDevice* nat64 = nullptr;
  SlowDevice* nat66 = nullptr;

 private:
  auto make(Served served, std::string_view pool) -> SlowDevice* {
    auto place = devices.add(std::move(served));
    const std::size_t number = place.number;
    auto device =
        std::make_unique<SlowDevice>(SimulatedConfig{.pool = {address(pool)}}, std::move(place), now);
    SlowDevice* const made = device.get();
    devices.put(number, std::move(device), [made] { return made->is_there; });
    return made;
  }
};

auto key(std::string_view internal, Family external, std::uint16_t port = 3000) -> MappingKey {
  return {.realm = {},
          .internal_address = address(internal),
          .protocol = Protocol::udp,
          .external_family = external,
          .internal_port = Port{port}};
}
auto install(const MappingKey& mapping, std::uint16_t port = 4000) -> Install {
  return {.key = mapping,
          .external_address = IpAddress::unspecified(mapping.external_family),
          .external_port = Port{port},
          .match = Match::suggested,
          .lifetime = Seconds{1000}};
}

constexpr const char* ipv4_host = "198.51.100.1";
constexpr const char* ipv6_host = "2001:db8:112::1";

TEST(SeveralDevices, each_operation_goes_to_the_device_of_its_families) {
  World world;
  const auto results =
      world.results({install(key(ipv6_host, Family::ipv6)), install(key(ipv4_host, Family::ipv4)),
                     install(key(ipv6_host, Family::ipv4)), Remove{key(ipv4_host, Family::ipv4)},
                     install(key("2001:db8:113::1", Family::ipv4), 4001)});
  ASSERT_THAT(results, SizeIs(5));
  EXPECT_EQ(results[0]->external_address, address("2001:db8:f::1"));
  EXPECT_EQ(results[1]->external_address, address("192.0.2.1"));
  EXPECT_EQ(results[2]->external_address, address("192.0.2.14"));
  EXPECT_EQ(results[3]->external_address, address("192.0.2.1")) << "what was installed before is removed";
  EXPECT_EQ(results[4]->external_address, address("192.0.2.14")) << "that one serves all IPv6 hosts";
  EXPECT_THAT(world.nat44->nat.explicit_mappings(world.now), IsEmpty());
  EXPECT_THAT(world.nat64->nat.explicit_mappings(world.now), SizeIs(2));
}

TEST(SeveralDevices, only_devices_that_are_concerned_see_a_batch) {
  World world;
  world.apply({install(key(ipv6_host, Family::ipv4)), install(key(ipv6_host, Family::ipv6)),
               install(key(ipv6_host, Family::ipv4, 3001), 4001)});
  EXPECT_THAT(world.nat44->waiting, IsEmpty());
  ASSERT_THAT(world.nat64->waiting, SizeIs(1));
  EXPECT_THAT(world.nat64->waiting[0].second, SizeIs(2));
  EXPECT_THAT(world.nat66->waiting, SizeIs(1));
}

TEST(SeveralDevices, what_nobody_serves_is_refused_and_its_removal_succeeds) {
  World world;
  const MappingKey stranger = key("192.0.2.200", Family::ipv4);
  const MappingKey across = key(ipv4_host, Family::ipv6);
  const BatchId batch = world.apply({install(stranger), install(across), Remove{.key = stranger},
                                     InstallPeer{.key = key("2001:db8:113::1", Family::ipv6),
                                                 .remote_peer = {},
                                                 .external_address = {},
                                                 .external_port = {},
                                                 .lifetime = Seconds{1}},
                                     ReleasePeer{.key = stranger, .remote_peer = {}}});
  EXPECT_THAT(world.told, IsEmpty()) << "never from inside apply()";
  world.settle();
  const auto results = world.answers.at(batch);
  EXPECT_EQ(results.at(0), Result(std::unexpected(Refusal::not_inside)));
  EXPECT_EQ(results.at(1), Result(std::unexpected(Refusal::unsupported_protocol)));
  ASSERT_TRUE(results.at(2));
  EXPECT_EQ(results[2]->external_address, IpAddress::unspecified(Family::ipv4));
  EXPECT_EQ(results.at(3), Result(std::unexpected(Refusal::not_inside)));
  EXPECT_TRUE(results.at(4));
}

TEST(SeveralDevices, batches_are_answered_in_order_whoever_is_slow) {
  World world;
  const Install in44 = install(key(ipv4_host, Family::ipv4));
  const Install in64 = install(key(ipv6_host, Family::ipv4));
  world.apply({in44, in64});
  world.apply({in44});
  world.apply({install(key("192.0.2.200", Family::ipv4))});
  world.run_posted();
  world.nat44->answer();
  world.nat44->answer();
  EXPECT_THAT(world.told, IsEmpty());
  world.nat64->answer();
  EXPECT_THAT(world.told, ElementsAre("1", "2", "3"));
  world.apply({});
  world.settle();
  EXPECT_THAT(world.told, ElementsAre("1", "2", "3", "4")) << "one without operations too";
}

TEST(SeveralDevices, events_come_behind_the_answers_that_were_given_before) {
  World world;
  world.results({install(key(ipv4_host, Family::ipv4)), install(key(ipv6_host, Family::ipv4))});
  world.told.clear();
  world.apply({install(key(ipv4_host, Family::ipv4)), install(key(ipv6_host, Family::ipv4))});
  world.apply({install(key(ipv4_host, Family::ipv4, 3001), 4001)});
  world.nat44->answer();
  world.nat44->set_pool({address("192.0.2.2")});
  world.nat44->answer();
  EXPECT_THAT(world.told, IsEmpty()) << "the first batch waits for the NAT64";
  world.nat64->set_pool({address("192.0.2.15")});
  EXPECT_THAT(world.told, ElementsAre("event")) << "which has answered nothing";
  world.nat64->answer();
  EXPECT_THAT(world.told, ElementsAre("event", "2", "event", "3"));
}

TEST(SeveralDevices, one_that_is_out_of_reach_does_not_stop_the_others) {
  World world;
  world.nat64->is_there = false;
  const BatchId batch =
      world.apply({install(key(ipv4_host, Family::ipv4)), install(key(ipv6_host, Family::ipv4)),
                   Remove{key(ipv6_host, Family::ipv4)}});
  EXPECT_THAT(world.nat64->waiting, IsEmpty()) << "it would answer when it is back";
  world.settle();
  const auto results = world.answers.at(batch);
  EXPECT_TRUE(results.at(0));
  EXPECT_EQ(results.at(1), Result(std::unexpected(Refusal::unreachable)));
  EXPECT_EQ(results.at(2), Result(std::unexpected(Refusal::unreachable)));
}

TEST(SeveralDevices, profiles_are_the_ones_that_keeps_them) {
  World world;
  const auto profile = [](std::string_view prefix) {
    return PutProfile{.realm = {}, .internal_prefix = *Prefix::parse(prefix), .ports_max = 7};
  };
  const auto results =
      world.results({profile("2001:db8:112::/48"), profile("198.51.100.0/24"),
                     DropProfile{.realm = {}, .internal_prefix = *Prefix::parse("198.51.100.0/24")}});
  EXPECT_TRUE(results.at(0));
  EXPECT_EQ(results.at(1), Result(std::unexpected(Refusal::profile_unsupported)));
  EXPECT_TRUE(results.at(2));
  EXPECT_THAT(world.nat64->nat.profiles(), SizeIs(1));
  EXPECT_THAT(world.nat66->nat.profiles(), IsEmpty());
}

TEST(SeveralDevices, an_inventory_is_about_its_device_and_what_nobody_serves) {
  World world;
  world.nat64->tell({});
  ASSERT_THAT(world.inventories, SizeIs(1));
  EXPECT_TRUE(world.inventories[0].is_about_profiles);
  const auto is_about = world.inventories[0].is_about;
  EXPECT_TRUE(is_about(key(ipv6_host, Family::ipv4)));
  EXPECT_FALSE(is_about(key(ipv6_host, Family::ipv6)));
  EXPECT_FALSE(is_about(key(ipv4_host, Family::ipv4)));
  EXPECT_TRUE(is_about(key("192.0.2.200", Family::ipv4)));
  world.devices.reconciled();
  EXPECT_EQ(world.nat64->times_reconciled, 1);
  EXPECT_EQ(world.nat44->times_reconciled, 0);
  world.nat44->tell({});
  EXPECT_FALSE(world.inventories.at(1).is_about_profiles);
}

TEST(SeveralDevices, without_one_that_keeps_profiles_the_first_tells_that_there_are_none) {
  std::vector<bool> about_profiles;
  std::deque<std::function<void()>> posted;
  SeveralDevices devices(
      {.completion = {},
       .events = {},
       .inventory = [&](const Inventory& each) { about_profiles.push_back(each.is_about_profiles); },
       .post = [&](std::function<void()> task) { posted.push_back(std::move(task)); }});
  TimePoint now;
  for (const Family family : {Family::ipv4, Family::ipv6}) {
    auto place = devices.add({.internal_family = family, .external_family = family});
    const auto tell = place.inventory;
    const std::size_t number = place.number;
    devices.put(number, std::make_unique<SlowDevice>(SimulatedConfig{.pool = {address("192.0.2.1")}},
                                                     std::move(place), now));
    tell({});
    devices.reconciled();
  }
  EXPECT_THAT(about_profiles, ElementsAre(true, false));
}

TEST(SeveralDevices, inventories_come_one_device_after_the_other) {
  World world;
  world.nat64->tell({.is_last = false});
  world.nat44->tell({});
  world.nat64->tell({.is_first = false});
  EXPECT_THAT(world.inventories, SizeIs(2)) << "both parts of the one, none of the other";
  const BatchId repair = world.reconcile({install(key(ipv6_host, Family::ipv4))});
  EXPECT_EQ(world.nat64->reconciles, 1);
  world.settle();
  EXPECT_TRUE(world.answers.at(repair).at(0));
  EXPECT_THAT(world.inventories, SizeIs(2));
  world.devices.reconciled();
  EXPECT_THAT(world.inventories, SizeIs(2)) << "never from inside reconciled()";
  world.run_posted();
  EXPECT_THAT(world.inventories, SizeIs(3));
  world.devices.reconciled();
  EXPECT_EQ(world.nat44->times_reconciled, 1);
}

TEST(SeveralDevices, one_that_is_lost_while_it_is_reconciled_makes_way_for_the_next) {
  World world;
  world.nat64->tell({});
  world.nat44->tell({});
  world.reconcile({install(key(ipv6_host, Family::ipv4))});
  world.nat64->is_there = false;
  world.settle();
  EXPECT_THAT(world.inventories, SizeIs(2)) << "the answer was unreachable, and the server is done with it";
  world.nat64->is_there = true;
  world.nat64->tell({});
  EXPECT_THAT(world.inventories, SizeIs(2));
  world.devices.reconciled();
  world.run_posted();
  EXPECT_THAT(world.inventories, SizeIs(3));
}

TEST(SeveralDevices, one_that_is_lost_amid_its_inventory_makes_way_for_the_next) {
  World world;
  world.nat64->tell({.is_last = false});
  world.nat64->is_there = false;
  world.nat44->tell({});
  EXPECT_THAT(world.inventories, SizeIs(2));
}

TEST(SeveralDevices, one_that_waits_for_one_that_is_lost_gets_its_turn_with_the_next_batch) {
  World world;
  world.nat64->tell({.is_last = false});
  world.nat44->tell({});
  world.nat64->is_there = false;
  EXPECT_THAT(world.inventories, SizeIs(1));
  world.apply({install(key(ipv4_host, Family::ipv4))});
  world.settle();
  EXPECT_THAT(world.inventories, SizeIs(2));
}

TEST(SeveralDevices, a_late_answer_about_one_that_was_lost_ends_no_later_reconciliation) {
  World world;
  world.nat64->tell({});
  world.nat64->is_there = false;
  world.apply({});
  world.settle();
  // The server does not know that nobody waits for this.
  world.reconcile({install(key(ipv6_host, Family::ipv4))});
  world.settle();
  world.nat64->is_there = true;
  world.nat64->tell({.is_last = false});
  world.nat64->tell({.is_first = false});
  EXPECT_THAT(world.inventories, SizeIs(3)) << "all parts of the later one";
  world.devices.reconciled();
  EXPECT_EQ(world.nat64->times_reconciled, 1);
}

TEST(SeveralDevices, the_end_of_a_reconciliation_that_nobody_waits_for_says_nothing) {
  World world;
  world.nat64->tell({});
  world.nat64->is_there = false;
  world.apply({});
  world.settle();
  world.devices.reconciled();
  EXPECT_EQ(world.nat64->times_reconciled, 0);
  world.nat64->is_there = true;
  world.nat64->tell({});
  world.devices.reconciled();
  EXPECT_EQ(world.nat64->times_reconciled, 1);
}

TEST(SeveralDevices, the_end_of_a_reconciliation_is_not_that_of_another_that_waits) {
  World world;
  world.nat64->tell({});
  world.nat64->is_there = false;
  world.apply({});
  world.settle();
  world.reconcile({install(key("192.0.2.200", Family::ipv4))});
  world.nat44->tell({});
  EXPECT_THAT(world.inventories, SizeIs(1)) << "the answer comes first";
  world.devices.reconciled();
  EXPECT_EQ(world.nat44->times_reconciled, 0);
  world.settle();
  EXPECT_THAT(world.inventories, SizeIs(2));
  world.devices.reconciled();
  EXPECT_EQ(world.nat44->times_reconciled, 1);
}

TEST(SeveralDevices, one_awaits_reconciliation_from_its_inventory_on) {
  World world;
  const auto of_nat44 = [&] { return world.devices.standing_of(key(ipv4_host, Family::ipv4)); };
  const auto of_nat64 = [&] { return world.devices.standing_of(key(ipv6_host, Family::ipv4)); };
  EXPECT_EQ(of_nat64(), Standing::there);
  world.nat44->tell({});
  world.nat64->tell({.is_last = false});
  EXPECT_EQ(of_nat44(), Standing::awaits_reconciliation);
  EXPECT_EQ(of_nat64(), Standing::awaits_reconciliation) << "though the server does not have it";
  EXPECT_EQ(world.devices.standing_of(key("192.0.2.200", Family::ipv4)), Standing::there);
  world.devices.reconciled();
  EXPECT_EQ(of_nat44(), Standing::there);
  world.run_posted();
  ASSERT_THAT(world.inventories, SizeIs(2));
  EXPECT_EQ(of_nat64(), Standing::awaits_reconciliation);
  world.nat64->is_there = false;
  EXPECT_EQ(of_nat64(), Standing::out_of_reach);
  world.nat64->is_there = true;
  world.nat64->tell({});
  EXPECT_EQ(of_nat64(), Standing::awaits_reconciliation);
  world.devices.reconciled();
  EXPECT_EQ(of_nat64(), Standing::there);
}

TEST(SeveralDevices, an_inventory_anew_waits_for_answers_about_the_one_before) {
  World world;
  world.nat64->tell({});
  // Of a device that is no longer configured: nobody is asked, and the answer comes later.
  world.reconcile({install(key("192.0.2.200", Family::ipv4))});
  world.nat64->tell({});
  EXPECT_THAT(world.told, ElementsAre("inventory"));
  world.settle();
  EXPECT_THAT(world.told, ElementsAre("inventory", "1", "inventory"));
}

TEST(SeveralDevices, an_inventory_comes_behind_the_answers_that_were_given_before) {
  World world;
  world.apply({install(key(ipv4_host, Family::ipv4)), install(key(ipv6_host, Family::ipv4))});
  world.nat64->answer();
  world.nat64->tell({});
  EXPECT_THAT(world.told, IsEmpty());
  world.nat44->answer();
  EXPECT_THAT(world.told, ElementsAre("1", "inventory"));
}

TEST(SeveralDevices, what_was_posted_by_one_that_is_gone_does_nothing) {
  std::deque<std::function<void()>> posted;
  {
    SeveralDevices devices({.completion = [](BatchId, const std::vector<Result>&) { FAIL(); },
                            .events = {},
                            .inventory = {},
                            .post = [&](std::function<void()> task) { posted.push_back(std::move(task)); }});
    devices.apply({1}, {});
  }
  ASSERT_THAT(posted, SizeIs(1));
  posted.front()();
}

/// The contract of a device holds for one among others. What the suite sends is its NAT44's.
class AmongOthers : public DeviceUnderTest {
 public:
  auto apply(std::vector<Operation> operations) -> std::vector<Result> override {
    return world.results(std::move(operations));
  }
  void pass(Seconds time) override { world.now += time; }
  auto send_outbound(const MappingKey& from, unsigned peer) -> std::optional<Endpoint> override {
    return world.nat44->nat.outbound(world.now, from, remote_peer(peer));
  }
  auto send_inbound(Protocol protocol, const Endpoint& external, unsigned peer)
      -> std::optional<Endpoint> override {
    return world.nat44->nat.inbound(world.now, protocol, external, remote_peer(peer));
  }
  auto set_pool(const std::vector<IpAddress>& pool) -> std::vector<Event> override {
    return world.nat44->set_pool(pool);
  }
  auto inside_address(unsigned host) const -> IpAddress override {
    return IpAddress{Ipv4Address{0xc6336400U + host}};
  }
  auto external_address() const -> IpAddress override { return address("192.0.2.1"); }
  auto other_external_address() const -> IpAddress override { return address("192.0.2.2"); }
  auto remote_peer(unsigned peer) const -> Endpoint override {
    return {IpAddress{Ipv4Address{0xc0000280U + peer}}, Port{5555}};
  }
  auto unreachable_peer() const -> Endpoint override { return {address("127.0.0.1"), Port{5555}}; }

  AmongOthers() : AmongOthers(true) {}

 protected:
  explicit AmongOthers(bool has_nat66) : world(has_nat66) {}

  World world;
};

/// The same of its NAT64, which keeps profiles.
class AmongOthersNat64 final : public AmongOthers {
 public:
  AmongOthersNat64() : AmongOthers(false) {}
  auto send_outbound(const MappingKey& from, unsigned peer) -> std::optional<Endpoint> override {
    return world.nat64->nat.outbound(world.now, from, remote_peer(peer));
  }
  auto send_inbound(Protocol protocol, const Endpoint& external, unsigned peer)
      -> std::optional<Endpoint> override {
    return world.nat64->nat.inbound(world.now, protocol, external, remote_peer(peer));
  }
  auto set_pool(const std::vector<IpAddress>& pool) -> std::vector<Event> override {
    return world.nat64->set_pool(pool);
  }
  auto inside_address(unsigned host) const -> IpAddress override {
    return address("2001:db8:112::" + std::to_string(host));
  }
  auto external_address() const -> IpAddress override { return address("192.0.2.14"); }
  auto other_external_address() const -> IpAddress override { return address("192.0.2.15"); }
  auto remote_peer(unsigned peer) const -> Endpoint override {
    return {address("2001:db8:64:ff9b::" + std::to_string(peer)), Port{5555}};
  }
  auto unreachable_peer() const -> Endpoint override { return {address("::1"), Port{5555}}; }
};

INSTANTIATE_TYPED_TEST_SUITE_P(AmongOthers, DeviceContract, AmongOthers);
INSTANTIATE_TYPED_TEST_SUITE_P(AmongOthers, DevicePoolContract, AmongOthers);
INSTANTIATE_TYPED_TEST_SUITE_P(AmongOthers, DevicePortRangeContract, AmongOthers);
INSTANTIATE_TYPED_TEST_SUITE_P(AmongOthersNat64, DeviceContract, AmongOthersNat64);
INSTANTIATE_TYPED_TEST_SUITE_P(AmongOthersNat64, DeviceProfileContract, AmongOthersNat64);

}  // namespace
}  // namespace portolan::device
