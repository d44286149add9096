// SPDX-License-Identifier: BSD-2-Clause
//
// Pools: ranges, weights, ports of the host's own, and what a large one costs.
#include "nat/pool.h"

#include <cstdint>
#include <fstream>
#include <map>

#include "nat/testing/engine_fixture.h"

namespace portolan::nat::test {
namespace {

auto address(const char* text) -> std::uint32_t { return Ipv4Address::parse(text)->value; }

auto range(const char* text, std::uint32_t weight = 1, PortRange ports = {}) -> PoolRange {
  PoolRange parsed = *PoolRange::parse(text);
  parsed.weight = weight;
  parsed.ports = ports;
  return parsed;
}

TEST(PoolRanges, are_addresses_ranges_and_prefixes) {
  EXPECT_EQ(to_string(range("192.0.2.14")), "192.0.2.14");
  EXPECT_EQ(to_string(range("192.0.2.16-192.0.2.31")), "192.0.2.16-192.0.2.31");
  EXPECT_EQ(to_string(range("192.0.2.0/24")), "192.0.2.0-192.0.2.255");
  EXPECT_EQ(to_string(range("192.0.2.7/32")), "192.0.2.7");
  EXPECT_EQ(range("192.0.2.0/24").size(), 256U);
  for (const char* wrong : {"", "192.0.2", "192.0.2.31-192.0.2.16", "192.0.2.1/24", "192.0.2.0/33",
                            "-192.0.2.1", "192.0.2.1-", "192.0.2.0-192.0.2.0/24", "2001:db8::/32", "::/0"})
    EXPECT_FALSE(PoolRange::parse(wrong)) << wrong;
}

TEST(Pools, what_no_pool_can_be_is_refused_in_words) {
  Config config;
  config.prefix = *Prefix::parse("2001:db8:64::/96");
  const auto error = [&](std::vector<PoolRange> pool) {
    config.pool = std::move(pool);
    const auto checked = check(config);
    return checked ? std::string() : checked.error();
  };
  EXPECT_EQ(error({range("192.0.2.0/24"), range("198.51.100.0/24")}), "");
  EXPECT_EQ(error({range("198.51.100.0/24"), range("192.0.2.0/24"), range("192.0.2.255")}),
            "pool address 192.0.2.255 is listed twice");
  EXPECT_EQ(error({range("10.0.0.0/17")}), "") << "the limit";
  EXPECT_EQ(error({range("10.0.0.0/17"), range("10.1.0.0")}),
            "pool has 32769 addresses, at most 32768 are possible");
  EXPECT_EQ(error({range("192.0.2.1", 0)}), "pool: weight 0 of 192.0.2.1 is not 1 to 1000");
  EXPECT_EQ(error({range("192.0.2.1", 1000)}), "");
  EXPECT_EQ(error({range("192.0.2.1", 1001)}), "pool: weight 1001 of 192.0.2.1 is not 1 to 1000");
  EXPECT_EQ(error({range("192.0.2.1", 1, {.first = Port{2}, .last = Port{1}})}),
            "pool: ports of 192.0.2.1 are in the wrong order");
  EXPECT_EQ(error({range("223.255.255.0-224.0.0.1")}), "pool address 224.0.0.1 is not a unicast address");
}

TEST(Pools, an_address_is_chosen_by_its_weight) {
  const Pool pool({range("192.0.2.0-192.0.2.3", 3), range("198.51.100.1"), range("203.0.113.0/30", 2)});
  SeededRandom random(3);
  std::map<std::uint32_t, int> chosen;
  constexpr int draws = 21'000;  // of a sum of weights of 21
  for (int i = 0; i < draws; ++i)
    ++chosen[pool.address(pool.at(pool.place_for(static_cast<std::uint32_t>(random.next())))).value];
  ASSERT_EQ(chosen.size(), 9U);
  const auto near = [&](const char* which, int expected) {
    EXPECT_GT(chosen[address(which)], expected * 9 / 10) << which;
    EXPECT_LT(chosen[address(which)], expected * 11 / 10) << which;
  };
  near("192.0.2.0", 3000);
  near("192.0.2.3", 3000);
  near("198.51.100.1", 1000);
  near("203.0.113.0", 2000);
  near("203.0.113.3", 2000);
  EXPECT_EQ(pool.place_for(0), 0U);
  EXPECT_EQ(pool.place_for(0xffffffffU), pool.size() - 1);
}

TEST(Pools, an_index_is_kept_while_its_address_stays_and_used_again_when_it_is_gone) {
  Pool pool({range("192.0.2.0-192.0.2.3")});
  const auto index = *pool.index_of(address("192.0.2.2"));
  const auto gone = pool.set({range("192.0.2.2-192.0.2.5", 7)});
  EXPECT_EQ(gone.size(), 2U);
  EXPECT_EQ(pool.index_of(address("192.0.2.2")), index);
  EXPECT_EQ(pool.index_of(address("192.0.2.0")), std::nullopt);
  for (const std::uint16_t each : gone) pool.forget(each);
  const std::size_t indices = pool.index_count();
  EXPECT_TRUE(pool.set({range("192.0.2.2-192.0.2.7")}).empty());
  EXPECT_EQ(pool.index_count(), indices);
}

auto resident_octets() -> std::size_t {
  std::ifstream statm("/proc/self/statm");
  std::size_t pages = 0;
  statm >> pages >> pages;
  return pages * 4096;
}

TEST(Pools, a_large_one_costs_little_until_it_is_used) {
  constexpr std::size_t little = std::size_t{8} << 20U;
  const std::size_t before = resident_octets();
  const Pool pool({range("192.0.2.0/24"), range("198.51.100.0/24"), range("203.0.113.0/24")});
  EXPECT_EQ(pool.size(), 768U);
  EXPECT_LT(resident_octets(), before + little);
}

class PoolTest : public Engine {};

TEST_F(PoolTest, ports_that_are_not_the_translators_are_not_given) {
  config.pool = {range(pool, 1, {.first = Port{40000}, .last = Port{40003}})};
  restart();
  std::set<std::string> seen;
  for (std::uint16_t port = 4000; port < 4004; ++port) {
    const auto sent = send(PacketBuilder(inside, far6).udp(port, 53).build());
    const auto external = sent.substr(0, sent.find(' '));
    EXPECT_TRUE(external.starts_with("192.0.2.14:4000")) << sent;
    EXPECT_TRUE(seen.insert(external).second);
  }
  EXPECT_EQ(send(PacketBuilder(inside, far6).udp(4004, 53).build()), "dropped: ports_exhausted");
  EXPECT_FALSE(engine->install(now, key(Protocol::udp, 4005),
                               {.external_address = {}, .external_port = Port{39999}, .exact = true},
                               Seconds{100}));
  // More ports come while it runs; what exists is not touched.
  static_cast<void>(engine->set_pool(now, {range(pool, 1, {.first = Port{40002}, .last = Port{40005}})}));
  engine->check_invariants();
  EXPECT_TRUE(send(PacketBuilder(inside, far6).udp(4000, 53).build()).starts_with("192.0.2.14:4000"));
  EXPECT_TRUE(send(PacketBuilder(inside, far6).udp(4004, 53).build()).starts_with("192.0.2.14:4000"));
  EXPECT_TRUE(send(PacketBuilder(inside, far6).udp(4005, 53).build()).starts_with("192.0.2.14:4000"));
  EXPECT_EQ(send(PacketBuilder(inside, far6).udp(4006, 53).build()), "dropped: ports_exhausted");
}

TEST_F(PoolTest, a_pool_that_is_used_up_is_counted_as_taken) {
  constexpr std::size_t udp = 0;
  constexpr std::size_t tcp = 1;
  constexpr std::size_t icmp = 2;
  config.pool = {range(pool, 1, {.first = Port{1020}, .last = Port{1029}}),
                 range("203.0.113.1", 1, {.first = Port{5350}, .last = Port{5353}})};
  restart();
  const auto ports = engine->counters().pool_ports;
  EXPECT_EQ(ports[udp], 6U + 2U) << "neither those below first_port nor PCP's";
  EXPECT_EQ(ports[tcp], 6U + 4U);
  EXPECT_EQ(ports[icmp], 10U + 4U);
  EXPECT_EQ(engine->counters().pool_ports_taken[udp], 0U);
  for (unsigned host = 1; host <= 40; ++host)
    send(PacketBuilder(fmt::format("2001:db8:112::{:x}", host), far6).udp(4000, 53).build());
  EXPECT_EQ(send(PacketBuilder(inside, far6).udp(4001, 53).build()), "dropped: ports_exhausted");
  engine->check_invariants();
  EXPECT_EQ(engine->counters().pool_ports_taken[udp], ports[udp]);
  EXPECT_EQ(engine->counters().pool_ports_taken[tcp], 0U);
  // Held down they are nobody else's.
  now += config.timeouts.udp + Seconds{1};
  engine->advance(now);
  EXPECT_EQ(engine->counters().bindings, 0U);
  EXPECT_EQ(engine->counters().pool_ports_taken[udp], ports[udp]);
  now += config.timeouts.hold_down + Seconds{1};
  engine->advance(now);
  EXPECT_EQ(engine->counters().pool_ports_taken[udp], 0U);
  static_cast<void>(engine->set_pool(now, {range(pool)}));
  EXPECT_EQ(engine->counters().pool_ports[tcp], 65'536U - 1024U);
}

TEST_F(PoolTest, a_new_subscriber_finds_the_one_address_that_is_not_full) {
  const PortRange one{.first = Port{2000}, .last = Port{2000}};
  config.pool = {range("203.0.113.0-203.0.113.79", 1, one)};
  config.limits.subscribers = config.limits.bindings = config.limits.sessions = 100;
  restart();
  // Each address has one port, and every one of them is found. One packet looks at 64 addresses; what it
  // finds full the next one need not look at.
  for (unsigned host = 0; host < 80; ++host) {
    const auto packet = PacketBuilder(fmt::format("2001:db8:112::{:x}", host + 1), far6).udp(9, 53).build();
    EXPECT_TRUE(send_raw(packet) || send_raw(packet)) << host;
  }
  EXPECT_FALSE(send_raw(PacketBuilder("2001:db8:112::ffff", far6).udp(9, 53).build()));
  EXPECT_EQ(verdict.reason, DropReason::ports_exhausted);
  now += config.timeouts.udp + config.timeouts.hold_down + Seconds{2};
  for (int i = 0; i < 8; ++i) engine->advance(now);
  now += config.timeouts.hold_down + Seconds{1};
  for (int i = 0; i < 8; ++i) engine->advance(now);
  EXPECT_TRUE(send_raw(PacketBuilder("2001:db8:112::ffff", far6).udp(9, 53).build()))
      << "what was full is looked at again";
}

}  // namespace
}  // namespace portolan::nat::test
