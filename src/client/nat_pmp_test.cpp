// SPDX-License-Identifier: BSD-2-Clause
//
// The engine with a server that speaks NAT-PMP, which is a small one of its own here.
#include "wire/nat_pmp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/engine.h"
#include "client/test_world.h"
#include "wire/test_octets.h"

namespace portolan::client {
namespace {

using testing::ElementsAre;
namespace nat_pmp = wire::nat_pmp;

/// A NAT-PMP gateway and an engine; what is sent and what happens are lines.
class Gateway {
 public:
  explicit Gateway(Speech speech = Speech::automatic) : engine(config(speech), random_) {}

  static auto config(Speech speech) -> Config {
    Config config;
    config.server = {*IpAddress::parse("192.0.2.1"), Port{5351}};
    config.client_address = *IpAddress::parse("192.0.2.2");
    config.speech = speech;
    return config;
  }

  void run(Nanoseconds duration) {
    const TimePoint end = now + duration;
    carry_out();
    for (int turns = 0;; ++turns) {
      ASSERT_LT(turns, 20000) << "the engine does not come to rest";
      const TimePoint next = std::min(engine.next_deadline().value_or(end), end);
      now = std::max(now, next);
      engine.advance(now);
      carry_out();
      if (now >= end && engine.next_deadline().value_or(end + 1s) > now) break;
    }
  }

  void deliver(std::span<const std::byte> datagram) {
    last = engine.receive(now, config(Speech::automatic).server, datagram);
  }
  void announce() {
    deliver(octets_of({.epoch_time_s = epoch(), .body = nat_pmp::AddressResponse{address}}));
  }

  static auto octets_of(const nat_pmp::Response& response) -> std::vector<std::byte> {
    std::vector<std::byte> octets(16);
    octets.resize(nat_pmp::write_response(response, octets));
    return octets;
  }

  [[nodiscard]] auto epoch() const -> std::uint32_t {
    return static_cast<std::uint32_t>(std::chrono::floor<Seconds>(now - started).count());
  }
  [[nodiscard]] auto count(std::string_view text) const -> std::ptrdiff_t {
    return std::ranges::count_if(lines, [text](const std::string& line) { return line.starts_with(text); });
  }

 private:
  SeededRandom random_{1};

 public:
  TimePoint now{1h};
  TimePoint started = now - 1000s;
  Engine engine;
  Ipv4Address address = *Ipv4Address::parse("203.0.113.7");
  nat_pmp::ResultCode result = nat_pmp::ResultCode::success;
  bool is_silent = false;
  bool speaks_pcp = false;
  std::vector<std::string> lines;
  Reception last = Reception::accepted;

 private:
  void carry_out() {
    while (true) {
      Actions actions = engine.take_actions();
      if (actions.send.empty() && actions.events.empty()) break;
      for (const Event& event : actions.events) std::visit([this](const auto& told) { note(told); }, event);
      for (const Send& send : actions.send) serve(send.datagram.octets());
      const auto broken = engine.broken_invariant();
      ASSERT_FALSE(broken) << *broken;
    }
  }

  void serve(std::span<const std::byte> datagram) {
    if (datagram[0] != std::byte{0}) {
      lines.emplace_back("PCP");
      if (is_silent) return;
      if (speaks_pcp)
        deliver(wire::encode_error(datagram, wire::ResultCode::not_authorized, 30s, epoch(), true).octets());
      else
        deliver(wire::octets("00 00 0001 00000010"));
      return;
    }
    const auto request = nat_pmp::decode_request(datagram);
    ASSERT_TRUE(request);
    nat_pmp::Response response{.result = result, .epoch_time_s = epoch(), .body = nat_pmp::AddressResponse{}};
    if (const auto* map = std::get_if<nat_pmp::MapRequest>(&*request)) {
      lines.push_back(fmt::format("map {} {} -> {} for {} s", map->protocol, map->internal_port,
                                  map->suggested_external_port, map->requested_lifetime_s));
      const bool grants = map->requested_lifetime_s != 0 && result == nat_pmp::ResultCode::success;
      response.body = nat_pmp::MapResponse{.protocol = map->protocol,
                                           .internal_port = map->internal_port,
                                           .mapped_external_port = grants ? Port{40000} : Port{},
                                           .lifetime_s = grants ? 120U : 0U};
    } else {
      lines.emplace_back("address");
      if (result == nat_pmp::ResultCode::success) response.body = nat_pmp::AddressResponse{address};
    }
    if (is_silent) return;
    if (speaks_pcp)
      deliver(wire::octets("02 80 00 01 00000000 00000000 000000000000000000000000"));
    else
      deliver(octets_of(response));
  }

  void note(const Granted& event) { lines.push_back(fmt::format("granted {}", event.mapping.external)); }
  void note(const Renewed& event) { lines.push_back(fmt::format("renewed {}", event.mapping.external)); }
  void note(const Changed& event) {
    lines.push_back(fmt::format("changed {} to {}", event.previous_external, event.mapping.external));
  }
  void note(const Refused& event) {
    lines.push_back(
        fmt::format("refused {} for {} s", wire::to_string(event.result), event.lifetime.count()));
  }
  void note(const Lost&) { lines.emplace_back("lost"); }
  void note(const Deleted&) { lines.emplace_back("deleted"); }
  void note(const Announced& event) { lines.push_back("announced " + wire::to_string(event.result)); }
  void note(const ServerRestarted&) { lines.emplace_back("restarted"); }
  void note(const FellBackToNatPmp&) { lines.emplace_back("NAT-PMP from now on"); }
  void note(const VersionRefused&) { lines.emplace_back("version refused"); }
  void note(const Retransmitted&) {}
  void note(const NoAnswer&) { lines.emplace_back("no answer"); }
  void note(const Unresponsive&) {}
  void note(const Nat64PrefixesLearned&) {}
};

const std::string map_line = "map tcp 8080 -> 8080 for 120 s";
const std::string again_line = "map tcp 8080 -> 40000 for 120 s";

TEST(NatPmp, follows_the_refusal_of_version_2) {
  Gateway gateway;
  const Handle handle = gateway.engine.map(gateway.now, web_wish());
  gateway.run(100s);
  EXPECT_THAT(gateway.lines,
              ElementsAre("PCP", "NAT-PMP from now on", "address", map_line, "granted 203.0.113.7:40000",
                          "address", again_line, "renewed 203.0.113.7:40000"));
  EXPECT_TRUE(gateway.engine.mapping(handle)->is_nat_pmp);
}

TEST(NatPmp, deletes_with_zeros) {
  Gateway gateway;
  const Handle handle = gateway.engine.map(gateway.now, web_wish());
  gateway.run(1s);
  gateway.lines.clear();
  gateway.engine.remove(gateway.now, handle);
  gateway.run(1s);
  EXPECT_THAT(gateway.lines, ElementsAre("map tcp 8080 -> 0 for 0 s", "deleted"));
  EXPECT_TRUE(gateway.engine.is_idle());
}

TEST(NatPmp, announce_is_the_question_for_the_address) {
  Gateway gateway;
  gateway.engine.announce(gateway.now);
  gateway.run(1s);
  EXPECT_THAT(gateway.lines, ElementsAre("PCP", "NAT-PMP from now on", "address", "announced SUCCESS"));
}

TEST(NatPmp, a_new_address_is_a_change_of_every_mapping) {
  Gateway gateway;
  gateway.engine.map(gateway.now, web_wish());
  gateway.run(10s);
  gateway.lines.clear();
  gateway.address = *Ipv4Address::parse("203.0.113.8");
  gateway.announce();
  gateway.run(0s);
  EXPECT_THAT(gateway.lines, ElementsAre("changed 203.0.113.7:40000 to 203.0.113.8:40000"));
}

TEST(NatPmp, a_restart_brings_all_mappings_back_one_by_one) {
  Gateway gateway;
  for (std::uint16_t port = 8080; port < 8083; ++port) {
    Wish wish = web_wish();
    wish.internal_port = Port{port};
    gateway.engine.map(gateway.now, wish);
  }
  gateway.run(10s);
  EXPECT_EQ(gateway.count("granted"), 3);
  gateway.lines.clear();
  gateway.started = gateway.now;
  gateway.announce();
  gateway.run(6s);
  EXPECT_EQ(gateway.count("restarted"), 1);
  EXPECT_EQ(gateway.count("renewed"), 3);
}

TEST(NatPmp, asks_one_at_a_time) {
  Gateway gateway(Speech::nat_pmp);
  gateway.is_silent = true;
  for (std::uint16_t port = 8080; port < 8083; ++port) {
    Wish wish = web_wish();
    wish.internal_port = Port{port};
    gateway.engine.map(gateway.now, wish);
  }
  gateway.run(200ms);
  EXPECT_EQ(gateway.count("address"), 1);
  gateway.run(300ms);
  EXPECT_EQ(gateway.count("address"), 2);
  gateway.is_silent = false;
  gateway.run(3s);
  EXPECT_EQ(gateway.count("granted"), 3);
}

TEST(NatPmp, nine_attempts_in_vain_lead_back_to_pcp) {
  Gateway gateway;
  gateway.engine.map(gateway.now, web_wish());
  gateway.run(1s);
  gateway.is_silent = true;
  gateway.run(125s);
  EXPECT_EQ(gateway.lines.back(), "address") << "lost, and asked for again";
  EXPECT_EQ(gateway.count("lost"), 1);
  gateway.run(150s);
  EXPECT_EQ(gateway.lines.back(), "PCP");
  EXPECT_FALSE(gateway.engine.speaks_nat_pmp());
}

TEST(NatPmp, an_answer_in_pcp_leads_back_to_pcp) {
  Gateway gateway;
  gateway.engine.map(gateway.now, web_wish());
  gateway.run(1s);
  EXPECT_TRUE(gateway.engine.speaks_nat_pmp());
  gateway.speaks_pcp = true;
  gateway.run(100s);
  EXPECT_FALSE(gateway.engine.speaks_nat_pmp());
}

TEST(NatPmp, what_it_has_no_words_for_is_refused_and_tried_in_pcp_later) {
  struct Case {
    std::string_view refusal;
    std::function<void(Wish&)> change;
  };
  const std::vector<Case> cases = {
      {"refused UNSUPP_OPCODE for 1800 s",
       [](Wish& wish) { wish.remote_peer = Endpoint{*IpAddress::parse("198.51.100.1"), Port{443}}; }},
      {"refused UNSUPP_PROTOCOL for 1800 s", [](Wish& wish) { wish.protocol = Protocol::sctp; }},
      {"refused UNSUPP_PROTOCOL for 1800 s", [](Wish& wish) { wish.internal_port = Port{0}; }},
      {"refused UNSUPP_OPTION for 1800 s", [](Wish& wish) { wish.prefer_failure = true; }},
      {"refused UNSUPP_OPTION for 1800 s",
       [](Wish& wish) { wish.third_party = *IpAddress::parse("192.0.2.3"); }},
      {"refused UNSUPP_OPTION for 1800 s",
       [](Wish& wish) {
         wish.filters = {{.remote_peers = *Prefix::parse("198.51.100.0/24"), .remote_port = Port{0}}};
       }},
      {"refused CANNOT_PROVIDE_EXTERNAL for 1800 s",
       [](Wish& wish) { wish.suggested_external_address = IpAddress{}; }},
  };
  for (const Case& unspeakable : cases) {
    Gateway gateway;
    Wish wish = web_wish();
    unspeakable.change(wish);
    gateway.engine.map(gateway.now, wish);
    gateway.run(1799s);
    EXPECT_THAT(gateway.lines, ElementsAre("PCP", "NAT-PMP from now on", unspeakable.refusal));
    gateway.run(2s);
    EXPECT_EQ(gateway.count("PCP"), 2);
    EXPECT_EQ(gateway.count("refused"), 2);

    Gateway only(Speech::nat_pmp);
    only.engine.map(only.now, wish);
    only.run(10s);
    EXPECT_THAT(only.lines, ElementsAre(unspeakable.refusal));
  }
}

TEST(NatPmp, every_refusal_of_the_gateway_is_told_in_the_words_of_pcp) {
  for (const auto& [result, told] :
       {std::pair{nat_pmp::ResultCode::not_authorized, "refused NOT_AUTHORIZED for 1800 s"},
        {nat_pmp::ResultCode::network_failure, "refused NETWORK_FAILURE for 30 s"},
        {nat_pmp::ResultCode::out_of_resources, "refused NO_RESOURCES for 30 s"},
        {static_cast<nat_pmp::ResultCode>(77), "refused MALFORMED_REQUEST for 1800 s"}}) {
    Gateway gateway(Speech::nat_pmp);
    gateway.result = result;
    gateway.engine.map(gateway.now, web_wish());
    gateway.run(10s);
    EXPECT_THAT(gateway.lines, ElementsAre("address", told));
  }
}

TEST(NatPmp, is_not_spoken_where_it_must_not_be) {
  Gateway gateway(Speech::pcp);
  gateway.engine.map(gateway.now, web_wish());
  gateway.run(60s);
  EXPECT_THAT(gateway.lines, ElementsAre("PCP", "version refused"));
}

TEST(NatPmp, malformed_answers_change_nothing) {
  Gateway gateway(Speech::nat_pmp);
  gateway.is_silent = true;
  gateway.engine.map(gateway.now, web_wish());
  gateway.run(100ms);
  for (const char* hex : {"00", "00 80 0000", "00 80 0000 00000000 cb0071", "00 81 0000 00000000 1f90 9c40",
                          "00 83 0000 00000000 00000000", "07 80 0000 00000000 cb007107"}) {
    gateway.deliver(wire::octets(hex));
    EXPECT_NE(gateway.last, Reception::accepted) << hex;
  }
  EXPECT_THAT(gateway.lines, ElementsAre("address"));
}

TEST(NatPmp, epoch_counts_as_rfc_6886_says) {
  NatPmpEpochCheck check;
  TimePoint now{1h};
  EXPECT_TRUE(check.is_valid(now, 1000));
  now += 800s;
  EXPECT_TRUE(check.is_valid(now, 1698)) << "7/8 of the time, less 2 s";
  now += 800s;
  EXPECT_FALSE(check.is_valid(now, 2395));
  EXPECT_TRUE(check.is_valid(now, 4'000'000'000)) << "a clock that runs ahead lost nothing";
}

}  // namespace
}  // namespace portolan::client
