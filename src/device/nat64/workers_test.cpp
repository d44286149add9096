// SPDX-License-Identifier: BSD-2-Clause
//
// Several workers at once. That they are one NAT64 to everybody outside is the device suite's to prove
// (nat64_device_test.cpp); here are their own promises.
#include "device/nat64/workers.h"

#include <array>
#include <future>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "device/nat64/memory_link_test.h"
#include "io/system.h"

namespace portolan::device {
namespace {

using nat::test::Octets;
using nat::test::PacketBuilder;

constexpr const char* pool = "192.0.2.14";
constexpr const char* near6 = "2001:db8:112::2";
constexpr const char* far6 = "2001:db8:64:ff9b::198.51.100.7";
constexpr const char* far4 = "198.51.100.7";
constexpr const char* pool6 = "2001:db8:64:ff9b::192.0.2.14";

auto test_config() -> nat::Config {
  nat::Config config;
  config.prefix = *Prefix::parse("2001:db8:64:ff9b::/96");
  config.pool = {*Ipv4Address::parse(pool)};
  config.limits.bindings = config.limits.sessions = 4096;
  config.timeouts.fragment = Seconds{2};
  return config;
}

template <std::size_t Count>
struct Crew {
  std::array<Wire, Count> wires;
  Workers workers{test_config(), links_to(wires), std::make_unique<SeededRandom>(1), io::monotonic_now};

  /// What `ask` says of the engine.
  template <typename Ask>
  auto ask(Ask ask) {
    std::promise<decltype(ask(std::declval<nat::Nat64&>()))> answer;
    workers.submit([&](TimePoint, nat::Nat64& engine) { answer.set_value(ask(engine)); });
    return answer.get_future().get();
  }
  auto engine_counters() {
    return ask([](const nat::Nat64& engine) { return engine.counters(); });
  }
};

auto port_at(const Octets& packet, std::size_t at) -> std::uint16_t {
  return static_cast<std::uint16_t>(packet.at(at) << 8U | packet.at(at + 1));
}

/// The only packet of `sent`, which is sound.
auto only(const std::vector<Octets>& sent) -> Octets {
  EXPECT_EQ(sent.size(), 1U);
  if (sent.size() != 1) return Octets(80);
  EXPECT_EQ(nat::test::find_fault(sent[0]), "");
  return sent[0];
}

/// The IPv6 UDP packet `whole` in two fragments.
auto halves(const Octets& whole, std::uint16_t identification) -> std::array<Octets, 2> {
  const auto half = static_cast<std::size_t>((whole.size() - 40) / 2 / 8 * 8);
  std::array<Octets, 2> parts;
  for (std::size_t part = 0; part < 2; ++part) {
    const std::size_t from = part == 0 ? 0 : half;
    const std::size_t to = part == 0 ? half : whole.size() - 40;
    Octets& packet = parts[part];
    packet.assign(whole.begin(), whole.begin() + 40);
    packet[4] = static_cast<std::uint8_t>((8 + to - from) >> 8U);
    packet[5] = static_cast<std::uint8_t>(8 + to - from);
    packet[6] = 44;
    const auto field = static_cast<std::uint16_t>(from | (part == 0 ? 1U : 0U));
    packet.insert(
        packet.end(),
        {17, 0, static_cast<std::uint8_t>(field >> 8U), static_cast<std::uint8_t>(field), 0, 0,
         static_cast<std::uint8_t>(identification >> 8U), static_cast<std::uint8_t>(identification)});
    packet.insert(packet.end(), whole.begin() + 40 + static_cast<std::ptrdiff_t>(from),
                  whole.begin() + 40 + static_cast<std::ptrdiff_t>(to));
  }
  return parts;
}

TEST(Workers, an_answer_passes_that_another_worker_reads) {
  Crew<2> crew;
  const Octets out = only(crew.wires[0].exchange(PacketBuilder(near6, far6).udp(3000, 53).build()));
  const Octets back =
      only(crew.wires[1].exchange(PacketBuilder(far4, pool).udp(53, port_at(out, 20)).build()));
  EXPECT_EQ(port_at(back, 42), 3000);
  EXPECT_EQ(crew.engine_counters().sessions, 1U);
}

TEST(Workers, a_packet_comes_back_in_to_a_host_of_another_worker) {
  Crew<2> crew;
  const Octets out = only(crew.wires[0].exchange(PacketBuilder(near6, far6).udp(3000, 53).build()));
  const Octets inside = only(
      crew.wires[1].exchange(PacketBuilder("2001:db8:113::3", pool6).udp(4000, port_at(out, 20)).build()));
  EXPECT_EQ(inside[0] >> 4U, 6);
  EXPECT_EQ(port_at(inside, 42), 3000);
  EXPECT_EQ(crew.engine_counters().hairpinned, 1U);
}

TEST(Workers, fragments_are_put_together_that_several_workers_read) {
  Crew<2> crew;
  const Octets payload(3000, 0x5a);
  const auto parts = halves(PacketBuilder(near6, far6).udp(3000, 53).payload(payload).build(), 7);
  EXPECT_TRUE(crew.wires[0].exchange(parts[1]).empty());
  const Octets whole = only(crew.wires[1].exchange(parts[0]));
  EXPECT_EQ(nat::test::payload_of(whole), payload);
}

TEST(Workers, what_one_began_ends_in_time_while_all_sleep) {
  Crew<3> crew;
  // The others sleep since before, without any deadline.
  const auto parts = halves(PacketBuilder(near6, far6).udp(3000, 53).payload(Octets(3000)).build(), 7);
  EXPECT_TRUE(crew.wires[2].exchange(parts[0]).empty());
  const auto incomplete = [&] {
    return crew.workers.counters().nat.drops(nat::DropReason::fragments_incomplete);
  };
  while (incomplete() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(incomplete(), 1U);
}

TEST(Workers, who_finds_the_engine_taken_waits_and_counts_it) {
  Crew<2> crew;
  // Sooner or later the second worker gets its packet while the first one is at its task.
  while (crew.workers.counters().turns_waited == 0) {
    crew.wires[1].send(PacketBuilder(near6, far6).udp(3000, 53).build());
    crew.ask([](const nat::Nat64&) {
      for (int i = 0; i < 1000; ++i) std::this_thread::yield();
      return true;
    });
  }
}

TEST(Workers, counters_say_who_read_how_much) {
  Crew<2> crew;
  for (int i = 0; i < 3; ++i)
    static_cast<void>(crew.wires[1].exchange(PacketBuilder(near6, far6).udp(3000, 53).build()));
  crew.wires[0].send_raw(Octets(PacketLink::header_size - 1));
  while (crew.workers.counters().packets_unread == 0) std::this_thread::yield();
  const WorkerCounters counters = crew.workers.counters();
  EXPECT_EQ(counters.packets_read, 4U);
  EXPECT_EQ(counters.read_by_worker, (std::vector<std::uint64_t>{1, 3}));
}

TEST(Workers, as_many_as_the_limit_translate) {
  auto crew = std::make_unique<Crew<Workers::workers_max>>();
  EXPECT_EQ(crew->workers.size(), Workers::workers_max);
  for (Wire& wire : crew->wires) only(wire.exchange(PacketBuilder(near6, far6).udp(3000, 53).build()));
  EXPECT_EQ(crew->engine_counters().sessions, 1U);
}

TEST(WorkersDeathTest, none_and_more_than_the_limit_are_a_mistake) {
  const auto start = [](std::size_t count) {
    std::vector<Wire> wires(count);
    const Workers workers{test_config(), links_to(wires), std::make_unique<SeededRandom>(1),
                          io::monotonic_now};
  };
  EXPECT_DEATH(start(0), "links");
  EXPECT_DEATH(start(Workers::workers_max + 1), "links");
}

TEST(Workers, all_translate_at_once_while_the_server_works_and_the_pool_changes) {
  constexpr std::size_t workers = 4;
  constexpr std::uint16_t rounds = 300;
  Crew<workers> crew;
  std::vector<std::jthread> senders;
  senders.reserve(workers);
  for (std::size_t worker = 0; worker < workers; ++worker)
    senders.emplace_back([&, worker] {
      const std::string host = "2001:db8:112::" + std::to_string(worker + 10);
      for (std::uint16_t round = 0; round < rounds; ++round) {
        const auto port = static_cast<std::uint16_t>(2000 + round);
        // Some come in fragments, which the engine puts together in memory that all share.
        const Octets payload(1400U + round, static_cast<std::uint8_t>(worker << 6U | (round & 0x3fU)));
        const Octets packet = PacketBuilder(host, far6).udp(port, 53).payload(payload).build();
        Octets out;
        if (round % 2 == 0) {
          out = only(crew.wires[worker].exchange(packet));
        } else {
          const auto parts = halves(packet, round);
          EXPECT_TRUE(crew.wires[worker].exchange(parts[0]).empty());
          out = only(crew.wires[worker].exchange(parts[1]));
        }
        ASSERT_EQ(nat::test::payload_of(out), payload);
      }
    });
  const auto key = [](std::uint16_t port) {
    return MappingKey{.realm = {},
                      .internal_address = *IpAddress::parse("2001:db8:112::99"),
                      .protocol = Protocol::tcp,
                      .external_family = Family::ipv4,
                      .internal_port = Port{port}};
  };
  for (std::uint16_t port = 1; port <= rounds; ++port) {
    const bool is_fine = crew.ask([&](nat::Nat64& engine) {
      const TimePoint now = io::monotonic_now();
      const auto installed = engine.install(now, key(port), {}, Seconds{600});
      // A second address comes and goes.
      std::vector<nat::PoolRange> addresses{*Ipv4Address::parse(pool)};
      if (port % 2 == 0) addresses.emplace_back(*Ipv4Address::parse("192.0.2.15"));
      engine.set_pool(now, addresses);
      return installed.has_value();
    });
    ASSERT_TRUE(is_fine);
    static_cast<void>(crew.workers.counters());
  }
  senders.clear();
  crew.ask([](const nat::Nat64& engine) {
    engine.check_invariants();
    return true;
  });
  const nat::Counters counters = crew.engine_counters();
  EXPECT_EQ(counters.explicit_bindings, rounds);
  EXPECT_EQ(counters.packets(nat::Direction::from_ipv6, nat::Kind::udp), workers * rounds);
  EXPECT_EQ(counters.reassembled, workers * rounds / 2);
}

TEST(Workers, the_end_comes_while_all_translate) {
  auto crew = std::make_unique<Crew<3>>();
  for (int i = 0; i < 200; ++i)
    for (Wire& wire : crew->wires) wire.send(PacketBuilder(near6, far6).udp(3000, 53).build());
  crew.reset();
}

}  // namespace
}  // namespace portolan::device
