// SPDX-License-Identifier: BSD-2-Clause
//
// A home router: NAT44, a firewall for IPv6, and a NAT64, as one device of the server.
#include "device/several/several_devices.h"

#include <gmock/gmock.h>

#include "server/test_world.h"

namespace portolan::server {
namespace {

using device::SeveralDevices;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using wire::ResultCode;

constexpr const char* ipv4_host = "198.51.100.1";
constexpr const char* ipv6_host = "2001:db8:112::1";

/// Pinholes: external is internal.
class Firewall final : public device::Device {
 public:
  explicit Firewall(SeveralDevices::Place place) : place_(std::move(place)) {}
  void apply(device::BatchId batch, std::vector<device::Operation> operations) override {
    std::vector<device::Result> results;
    for (const device::Operation& operation : operations) {
      if (const auto* install = std::get_if<device::Install>(&operation)) {
        pinholes.insert(install->key);
        results.emplace_back(device::Applied{.external_address = install->key.internal_address,
                                             .external_port = install->key.internal_port,
                                             .lifetime = install->lifetime});
      } else {
        const MappingKey& key = std::get<device::Remove>(operation).key;
        pinholes.erase(key);
        results.emplace_back(
            device::Applied{.external_address = key.internal_address, .external_port = key.internal_port});
      }
    }
    waiting_.emplace_back(batch, std::move(results));
  }
  auto answer() -> bool {
    if (waiting_.empty()) return false;
    auto [batch, results] = std::move(waiting_.front());
    waiting_.pop_front();
    place_.completion(batch, std::move(results));
    return true;
  }

  std::set<MappingKey> pinholes;

 private:
  std::deque<std::pair<device::BatchId, std::vector<device::Result>>> waiting_;
  SeveralDevices::Place place_;
};

class Nat final : public device::Device {
 public:
  Nat(device::SimulatedConfig config, SeveralDevices::Place place, const TimePoint& now)
      : nat(std::move(config)), place_(std::move(place)), now_(now) {}
  void apply(device::BatchId batch, std::vector<device::Operation> operations) override {
    waiting.emplace_back(batch, std::move(operations));
  }
  void reconciled() override { ++times_reconciled; }
  auto answer() -> bool {
    if (waiting.empty()) return false;
    auto [batch, operations] = std::move(waiting.front());
    waiting.pop_front();
    std::vector<device::Result> results;
    for (const device::Operation& operation : operations)
      results.push_back(is_there ? nat.apply(now_, operation)
                                 : device::Result(std::unexpected(device::Refusal::unreachable)));
    place_.completion(batch, std::move(results));
    return true;
  }
  /// It is there (again), and tells all it has.
  void connect() {
    is_there = true;
    place_.inventory(nat.inventory(now_));
  }
  void tell(device::Inventory inventory) const { place_.inventory(std::move(inventory)); }
  void set_pool(std::vector<IpAddress> pool) { place_.events(nat.set_pool(now_, std::move(pool))); }

  device::SimulatedNat nat;
  bool is_there = true;
  int times_reconciled = 0;
  std::deque<std::pair<device::BatchId, std::vector<device::Operation>>> waiting;

 private:
  SeveralDevices::Place place_;
  const TimePoint& now_;
};

class HomeRouter {
 public:
  explicit HomeRouter(std::vector<Profile> profiles = {}, bool has_nat44 = true,
                      std::vector<Config::StaticMapping> statics = {})
      : random_(1),
        server(config_of(std::move(profiles), std::move(statics)), random_,
               [this](const MappingKey& key) { return devices.standing_of(key); }) {
    if (has_nat44) {
      auto place = devices.add({.internal_family = Family::ipv4,
                                .external_family = Family::ipv4,
                                .inside = {*Prefix::parse("198.51.100.0/24")}});
      nat44 = put<Nat>(place, nat_config("192.0.2.1"), place, now);
    }
    {
      auto place = devices.add(
          {.internal_family = Family::ipv6, .external_family = Family::ipv4, .keeps_profiles = true});
      const std::size_t number = place.number;
      auto made = std::make_unique<Nat>(nat_config("192.0.2.14"), std::move(place), now);
      nat64 = made.get();
      devices.put(number, std::move(made), [this] { return nat64->is_there; });
    }
    auto place = devices.add({.internal_family = Family::ipv6,
                              .external_family = Family::ipv6,
                              .inside = {*Prefix::parse("2001:db8:112::/48")}});
    firewall = put<Firewall>(place, place);
  }

  static auto nat_config(const char* address) -> device::SimulatedConfig {
    return {.pool = {*IpAddress::parse(address)}};
  }

  void receive(const MapAsk& ask) {
    const auto octets = encode(ask);
    const Inbound inbound{.client = {*IpAddress::parse(ask.from), Port{12345}},
                          .path = {.local_address = {}, .interface_index = 0, .inside = 0},
                          .payload = octets.octets()};
    server.receive(now, std::span(&inbound, 1));
    carry_out();
  }
  /// Lets devices and store do all they have; the named one does nothing.
  void settle(const Nat* held = nullptr) {
    for (;;) {
      if (!posted.empty()) {
        const auto task = std::move(posted.front());
        posted.pop_front();
        task();
      } else if (committing) {
        const Commit commit = *std::exchange(committing, std::nullopt);
        std::ranges::copy(commit.rows, std::back_inserter(rows));
        server.committed(now, commit.commit, true);
        carry_out();
      } else if (!a_device_answers(held)) {
        return;
      }
    }
  }
  [[nodiscard]] auto a_device_answers(const Nat* held) const -> bool {
    if (nat44 != nullptr && nat44 != held && nat44->answer()) return true;
    if (nat64 != held && nat64->answer()) return true;
    return firewall->answer();
  }
  auto ask(const MapAsk& ask) -> Answer {
    receive(ask);
    settle();
    PORTOLAN_CHECK(!answers.empty());
    return take_answer();
  }
  auto take_answer() -> Answer {
    Answer answer = std::move(answers.front());
    answers.pop_front();
    return answer;
  }
  void carry_out() {
    Actions actions = server.take_actions();
    for (Apply& apply : actions.apply) {
      if (apply.reconciles)
        devices.reconcile(apply.batch, std::move(apply.operations));
      else
        devices.apply(apply.batch, std::move(apply.operations));
    }
    if (actions.reconciled) devices.reconciled();
    for (Commit& commit : actions.commit) committing = std::move(commit);
    for (const Send& send : actions.send) {
      const auto octets = actions.octets_of(send.message);
      answers.push_back({.client = send.client, .octets = {octets.begin(), octets.end()}});
    }
    std::ranges::copy(actions.refused_profiles, std::back_inserter(refused_profiles));
  }
  [[nodiscard]] auto all_agree() const -> bool { return !server.broken_invariant(now); }

  TimePoint now{Seconds{1000}};

 private:
  SeededRandom random_;

 public:
  Server server;
  std::deque<std::function<void()>> posted;
  std::optional<Commit> committing;
  std::vector<store::Row> rows;
  std::deque<Answer> answers;
  std::vector<RefusedProfile> refused_profiles;
  SeveralDevices devices{{.completion =
                              [this](device::BatchId batch, const std::vector<device::Result>& results) {
                                server.applied(now, batch, results);
                                carry_out();
                              },
                          .events =
                              [this](const std::vector<device::Event>& events) {
                                server.happened(now, events);
                                carry_out();
                              },
                          .inventory =
                              [this](const device::Inventory& inventory) {
                                server.connected(now, inventory);
                                carry_out();
                              },
                          .post = [this](std::function<void()> task) { posted.push_back(std::move(task)); }}};
  Nat* nat44 = nullptr;
  Nat* nat64 = nullptr;
  Firewall* firewall = nullptr;

 private:
  static auto config_of(std::vector<Profile> profiles, std::vector<Config::StaticMapping> statics) -> Config {
    Config config;
    config.static_mappings = std::move(statics);
    config.profiles = std::move(profiles);
    config.epoch_base = TimePoint{Seconds{1000}};
    config.external_families = {Family::ipv4, Family::ipv6};
    config.external_family_of = {
        {Family::ipv4, Family::ipv4}, {Family::ipv6, Family::ipv4}, {Family::ipv6, Family::ipv6}};
    return config;
  }
  template <typename Kind, typename... Arguments>
  auto put(const SeveralDevices::Place& place, Arguments&&... arguments) -> Kind* {
    auto made = std::make_unique<Kind>(std::forward<Arguments>(arguments)...);
    Kind* const kind = made.get();
    devices.put(place.number, std::move(made));
    return kind;
  }
};

const MapAsk pinhole{.suggested_external_address = "::"};
const MapAsk mapping{.suggested_external_address = "0.0.0.0"};
const MapAsk nat44_mapping{.from = ipv4_host, .suggested_external_address = "0.0.0.0"};

TEST(HomeRouter, the_suggested_family_says_which_device_a_host_asks) {
  HomeRouter router;
  const wire::MapResponse hole = router.ask(pinhole).map();
  EXPECT_EQ(hole.assigned_external_address, *IpAddress::parse(ipv6_host));
  EXPECT_EQ(hole.assigned_external_port, hole.internal_port);
  const wire::MapResponse mapped = router.ask(mapping).map();
  EXPECT_EQ(mapped.assigned_external_address, *IpAddress::parse("192.0.2.14"));
  const wire::MapResponse translated = router.ask(nat44_mapping).map();
  EXPECT_EQ(translated.assigned_external_address, *IpAddress::parse("192.0.2.1"));
  EXPECT_THAT(router.firewall->pinholes, SizeIs(1));
  EXPECT_THAT(router.nat64->nat.explicit_mappings(router.now), SizeIs(1));
  EXPECT_THAT(router.nat44->nat.explicit_mappings(router.now), SizeIs(1));
  EXPECT_EQ(router.server.contracts().size(), 3U);
  EXPECT_TRUE(router.all_agree());
}

TEST(HomeRouter, a_deletion_is_about_the_family_it_names) {
  HomeRouter router;
  router.ask(pinhole);
  router.ask(mapping);
  MapAsk deletion = pinhole;
  deletion.lifetime_s = 0;
  EXPECT_EQ(router.ask(deletion).response().result, ResultCode::success);
  EXPECT_THAT(router.firewall->pinholes, IsEmpty());
  EXPECT_THAT(router.nat64->nat.explicit_mappings(router.now), SizeIs(1));
  EXPECT_EQ(router.server.contracts().size(), 1U);
}

TEST(HomeRouter, who_is_served_by_none_of_them_hears_so) {
  HomeRouter router;
  MapAsk across = pinhole;
  across.from = ipv4_host;
  EXPECT_EQ(router.ask(across).response().result, ResultCode::no_resources)
      << "no such family for IPv4 hosts";
  MapAsk elsewhere = nat44_mapping;
  elsewhere.from = "203.0.113.7";
  EXPECT_EQ(router.ask(elsewhere).response().result, ResultCode::not_authorized) << "not among nat44.inside";
  MapAsk foreign = pinhole;
  foreign.from = "2001:db8:113::1";
  EXPECT_EQ(router.ask(foreign).response().result, ResultCode::not_authorized);
  foreign.lifetime_s = 0;
  EXPECT_EQ(router.ask(foreign).response().result, ResultCode::success) << "it is not there";
  EXPECT_EQ(router.server.contracts().size(), 0U);
}

TEST(HomeRouter, one_request_for_each_device_in_one_datagram_batch) {
  HomeRouter router;
  std::vector<wire::Datagram> octets;
  for (const MapAsk& ask : {pinhole, mapping, nat44_mapping}) octets.push_back(encode(ask));
  std::vector<Inbound> inbound;
  inbound.reserve(octets.size());
  for (std::size_t i = 0; i < octets.size(); ++i)
    inbound.push_back({.client = {*IpAddress::parse(i == 2 ? ipv4_host : ipv6_host), Port{12345}},
                       .path = {},
                       .payload = octets[i].octets()});
  router.server.receive(router.now, inbound);
  router.carry_out();
  router.settle();
  ASSERT_THAT(router.answers, SizeIs(3));
  EXPECT_EQ(router.answers[0].map().assigned_external_address, *IpAddress::parse(ipv6_host));
  EXPECT_EQ(router.answers[1].map().assigned_external_address, *IpAddress::parse("192.0.2.14"));
  EXPECT_EQ(router.answers[2].map().assigned_external_address, *IpAddress::parse("192.0.2.1"));
}

TEST(HomeRouter, a_nat64_out_of_reach_leaves_the_others_serving) {
  HomeRouter router;
  router.ask(mapping);
  router.nat64->is_there = false;
  EXPECT_EQ(router.ask(nat44_mapping).response().result, ResultCode::success);
  EXPECT_EQ(router.ask(pinhole).response().result, ResultCode::success);
  EXPECT_EQ(router.ask(mapping).response().result, ResultCode::network_failure);
  EXPECT_EQ(router.server.contracts().size(), 3U) << "what was promised stays so";
  EXPECT_TRUE(router.all_agree());
}

TEST(HomeRouter, a_nat64_that_is_back_is_brought_to_what_was_promised_and_it_alone) {
  HomeRouter router;
  const wire::MapResponse mapped = router.ask(mapping).map();
  router.ask(nat44_mapping);
  router.ask(pinhole);
  router.nat64->is_there = false;
  router.nat64->nat = device::SimulatedNat(HomeRouter::nat_config("192.0.2.14"));
  router.nat64->connect();
  router.settle();
  EXPECT_EQ(router.server.counters().reinstalled, 1U);
  EXPECT_EQ(router.nat64->times_reconciled, 1);
  EXPECT_EQ(router.nat44->times_reconciled, 0);
  EXPECT_FALSE(router.server.is_reconciling());
  EXPECT_EQ(router.nat64->nat.explicit_mappings(router.now).begin()->second,
            (Endpoint{mapped.assigned_external_address, mapped.assigned_external_port}));
  EXPECT_EQ(router.server.counters().unowned_removed, 0U);
  EXPECT_TRUE(router.all_agree());
}

TEST(HomeRouter, while_one_is_reconciled_new_mappings_of_the_others_are_made) {
  HomeRouter router;
  router.ask(mapping);
  router.nat64->nat = device::SimulatedNat(HomeRouter::nat_config("192.0.2.14"));
  router.nat64->connect();
  ASSERT_TRUE(router.server.is_reconciling());
  router.receive(nat44_mapping);
  router.receive(pinhole);
  MapAsk another = mapping;
  another.internal_port = 1;
  router.receive(another);
  router.settle(router.nat64);
  ASSERT_THAT(router.answers, SizeIs(2)) << "the NAT64's waits until the client asks again";
  EXPECT_EQ(router.take_answer().response().result, ResultCode::success);
  EXPECT_EQ(router.take_answer().response().result, ResultCode::success);
  router.settle();
  EXPECT_FALSE(router.server.is_reconciling());
  EXPECT_EQ(router.ask(another).response().result, ResultCode::success);
}

/// The NAT44 is being reconciled, with a repair under way; the NAT64, which has nothing, is next.
struct WaitingNat64 : HomeRouter {
  explicit WaitingNat64(const HomeRouter& before, std::vector<Config::StaticMapping> statics = {})
      : HomeRouter({}, true, std::move(statics)) {
    PORTOLAN_CHECK(server.restore(now, before.rows, {}));
    nat44->connect();
    nat64->connect();
    settle(nat44);
  }
};

TEST(HomeRouter, a_device_that_awaits_its_turn_gives_nothing_away_that_was_promised) {
  HomeRouter before;
  before.ask(nat44_mapping);
  const wire::MapResponse promised = before.ask(mapping).map();
  WaitingNat64 router(before);
  MapAsk other = mapping;
  other.from = "2001:db8:112::2";
  other.suggested_external_port = promised.assigned_external_port.value;
  router.receive(other);
  router.settle(router.nat44);
  EXPECT_THAT(router.answers, IsEmpty()) << "the client asks again";
  EXPECT_EQ(router.ask(pinhole).response().result, ResultCode::success) << "that device has begun nothing";
  router.settle();
  EXPECT_EQ(router.server.counters().reinstalled, 2U);
  EXPECT_EQ(router.server.counters().moved, 0U);
  EXPECT_EQ(router.ask(mapping).map().assigned_external_port, promised.assigned_external_port);
  EXPECT_NE(router.ask(other).map().assigned_external_port, promised.assigned_external_port);
  EXPECT_TRUE(router.all_agree());
}

TEST(HomeRouter, a_device_that_awaits_its_turn_renews) {
  HomeRouter before;
  before.ask(nat44_mapping);
  const wire::MapResponse promised = before.ask(mapping).map();
  WaitingNat64 router(before);
  router.receive(mapping);
  router.settle(router.nat44);
  ASSERT_THAT(router.answers, SizeIs(1));
  EXPECT_EQ(router.take_answer().map().assigned_external_port, promised.assigned_external_port);
}

TEST(HomeRouter, the_operators_mappings_wait_for_the_turn_of_their_device) {
  HomeRouter before;
  before.ask(nat44_mapping);
  const wire::MapResponse promised = before.ask(mapping).map();
  MappingKey key{.realm = {},
                 .internal_address = *IpAddress::parse("2001:db8:112::2"),
                 .protocol = Protocol::udp,
                 .external_family = Family::ipv4,
                 .internal_port = Port{77}};
  MappingKey free_key = key;
  free_key.internal_port = Port{78};
  WaitingNat64 router(before, {{.key = key,
                                .external_address = promised.assigned_external_address,
                                .external_port = promised.assigned_external_port},
                               {.key = free_key,
                                .external_address = promised.assigned_external_address,
                                .external_port = Port{8080}}});
  router.server.advance(router.now);
  router.carry_out();
  router.settle(router.nat44);
  EXPECT_THAT(router.nat64->nat.explicit_mappings(router.now), IsEmpty());
  router.settle();
  EXPECT_EQ(router.server.counters().reinstalled, 2U);
  EXPECT_EQ(router.nat64->nat.explicit_mappings(router.now).at(free_key).port, Port{8080})
      << "before anybody else asks";
  EXPECT_EQ(router.ask(mapping).map().assigned_external_port, promised.assigned_external_port);
}

TEST(HomeRouter, a_device_that_tells_anew_awaits_its_turn_behind_answers_of_others) {
  HomeRouter router;
  router.receive(nat44_mapping);
  router.settle(router.nat44);
  router.receive(mapping);
  router.settle(router.nat44);
  ASSERT_THAT(router.answers, IsEmpty()) << "given behind the NAT44's";
  router.nat64->connect();
  EXPECT_FALSE(router.server.is_reconciling()) << "told behind it too";
  MapAsk another = mapping;
  another.internal_port = 1;
  router.receive(another);
  router.settle();
  EXPECT_THAT(router.answers, SizeIs(2));
  EXPECT_EQ(router.nat64->times_reconciled, 1);
  EXPECT_TRUE(router.all_agree());
}

TEST(HomeRouter, a_nat64_lost_amid_its_inventory_says_so_at_once) {
  HomeRouter router;
  router.nat64->tell({.is_last = false});
  ASSERT_TRUE(router.server.is_reconciling());
  router.nat64->is_there = false;
  EXPECT_EQ(router.ask(mapping).response().result, ResultCode::network_failure);
  EXPECT_EQ(router.ask(nat44_mapping).response().result, ResultCode::success);
  router.nat64->connect();
  router.settle();
  EXPECT_EQ(router.nat64->times_reconciled, 1);
  EXPECT_EQ(router.ask(mapping).response().result, ResultCode::success);
  EXPECT_TRUE(router.all_agree());
}

TEST(HomeRouter, what_a_device_has_without_anybodys_promise_is_removed_there) {
  HomeRouter router;
  router.ask(nat44_mapping);
  MappingKey unowned{.realm = {},
                     .internal_address = *IpAddress::parse(ipv6_host),
                     .protocol = Protocol::udp,
                     .external_family = Family::ipv4,
                     .internal_port = Port{77}};
  static_cast<void>(router.nat64->nat.apply(
      router.now, device::Install{.key = unowned,
                                  .external_address = IpAddress::unspecified(Family::ipv4),
                                  .external_port = {},
                                  .lifetime = Seconds{100}}));
  router.nat64->connect();
  router.settle();
  EXPECT_EQ(router.server.counters().unowned_removed, 1U);
  EXPECT_THAT(router.nat64->nat.explicit_mappings(router.now), IsEmpty());
  EXPECT_THAT(router.nat44->nat.explicit_mappings(router.now), SizeIs(1));
}

TEST(HomeRouter, at_start_each_device_gets_what_was_promised_of_it) {
  HomeRouter before;
  before.ask(nat44_mapping);
  before.ask(mapping);
  before.ask(pinhole);
  HomeRouter router;
  ASSERT_TRUE(router.server.restore(router.now, before.rows, {}));
  router.nat44->connect();
  router.settle();
  EXPECT_THAT(router.nat44->nat.explicit_mappings(router.now), SizeIs(1));
  EXPECT_THAT(router.nat64->nat.explicit_mappings(router.now), IsEmpty()) << "its turn is to come";
  router.nat64->connect();
  router.settle();
  EXPECT_THAT(router.nat64->nat.explicit_mappings(router.now), SizeIs(1));
  EXPECT_EQ(router.server.counters().reinstalled, 2U);
}

TEST(HomeRouter, what_was_promised_by_a_device_that_is_gone_ends_and_its_client_is_told) {
  HomeRouter before;
  before.ask(nat44_mapping);
  before.ask(mapping);
  HomeRouter router({}, false);
  ASSERT_TRUE(router.server.restore(router.now, before.rows, {}));
  EXPECT_EQ(router.server.contracts().size(), 2U);
  router.nat64->connect();
  router.settle();
  EXPECT_EQ(router.server.contracts().size(), 1U);
  EXPECT_EQ(router.server.counters().lost, 1U);
  EXPECT_TRUE(router.all_agree());
}

TEST(HomeRouter, profiles_go_to_the_nat64_and_only_with_its_inventory) {
  const auto user = [](const char* prefix) {
    Profile profile{.users = *Prefix::parse(prefix)};
    profile.allotment.ports_max = 7;
    return profile;
  };
  HomeRouter router({user("2001:db8:112::/48"), user("198.51.100.0/24")});
  router.nat64->is_there = false;
  router.nat44->connect();
  router.settle();
  EXPECT_FALSE(router.server.is_reconciling()) << "profiles are none of its business";
  EXPECT_EQ(router.nat44->times_reconciled, 1);
  EXPECT_THAT(router.refused_profiles, IsEmpty());
  router.nat64->connect();
  router.settle();
  EXPECT_THAT(router.nat64->nat.profiles(), SizeIs(1));
  ASSERT_THAT(router.refused_profiles, SizeIs(1)) << "no device does that for IPv4 hosts";
  EXPECT_EQ(router.refused_profiles[0].users, *Prefix::parse("198.51.100.0/24"));
  EXPECT_EQ(router.refused_profiles[0].refusal, device::Refusal::profile_unsupported);
  // Another one tells nothing about them.
  router.nat44->connect();
  router.settle();
  EXPECT_THAT(router.nat64->nat.profiles(), SizeIs(1));
  EXPECT_TRUE(router.all_agree());
}

TEST(HomeRouter, a_nat44_whose_address_changes_moves_its_mappings_alone) {
  HomeRouter router;
  router.ask(nat44_mapping);
  router.ask(mapping);
  router.nat44->set_pool({*IpAddress::parse("192.0.2.2")});
  router.settle();
  EXPECT_EQ(router.server.counters().moved, 1U);
  EXPECT_EQ(router.ask(nat44_mapping).map().assigned_external_address, *IpAddress::parse("192.0.2.2"));
  EXPECT_EQ(router.ask(mapping).map().assigned_external_address, *IpAddress::parse("192.0.2.14"));
}

}  // namespace
}  // namespace portolan::server
