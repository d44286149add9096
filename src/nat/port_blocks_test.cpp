// SPDX-License-Identifier: BSD-2-Clause
//
// Blocks of ports (RFC 6888 s5 REQ-14), through the engine.
#include "nat/port_blocks.h"

#include <set>

#include "nat/testing/engine_fixture.h"

namespace portolan::nat::test {
namespace {

class PortBlocksTest : public Engine {
 protected:
  PortBlocksTest() {
    config.allowance.port_block_size = 64;
    config.allowance.subscriber_prefix_length = 64;
    restart();
  }
  /// The external port of a packet of `host`, 0 if it is dropped.
  auto udp(const char* host, std::uint16_t port) -> std::uint16_t {
    const auto sent = send_raw(PacketBuilder(host, far6).udp(port, 53).build());
    return sent ? static_cast<std::uint16_t>((*sent)[20] << 8U | (*sent)[21]) : std::uint16_t{0};
  }
  auto tcp(const char* host, std::uint16_t port) -> std::uint16_t {
    const auto sent = send_raw(PacketBuilder(host, far6).tcp(port, 80, "S").build());
    return sent ? static_cast<std::uint16_t>((*sent)[20] << 8U | (*sent)[21]) : std::uint16_t{0};
  }
  auto install(const char* host, std::uint16_t port, std::uint16_t suggested, bool exact = true)
      -> std::uint16_t {
    const auto installed = engine->install(
        now, key(Protocol::udp, port, host),
        {.external_address = {}, .external_port = Port{suggested}, .exact = exact}, Seconds{1000});
    engine->check_invariants();
    return installed ? installed->external.port.value : std::uint16_t{0};
  }
  void pass(Seconds time) {
    now += time;
    engine->advance(now);
    engine->check_invariants();
  }
};

TEST_F(PortBlocksTest, ports_of_all_protocols_come_from_one_block_until_it_is_full) {
  const auto block = udp("2001:db8:112::1", 4000) / 64;
  EXPECT_EQ(tcp("2001:db8:112::2", 4000) / 64, block) << "the same subscriber";
  std::set<std::uint16_t> ports;
  for (std::uint16_t port = 4001; port < 4064; ++port) {
    const auto external = udp("2001:db8:112::1", port);
    EXPECT_EQ(external / 64, block);
    EXPECT_TRUE(ports.insert(external).second);
  }
  EXPECT_EQ(engine->counters().port_blocks, 1U);
  const auto next = udp("2001:db8:112::1", 4064);
  EXPECT_NE(next / 64, block);
  EXPECT_EQ(engine->counters().port_blocks, 2U);
  EXPECT_NE(udp("2001:db8:113::1", 4000) / 64, block) << "another subscriber";
  EXPECT_GE(next, 1024);
}

TEST_F(PortBlocksTest, a_block_is_taken_as_a_whole_until_nobody_has_it) {
  constexpr std::size_t protocols = 3;
  const auto taken = [&](std::uint64_t each) {
    for (std::size_t protocol = 0; protocol < protocols; ++protocol)
      EXPECT_EQ(engine->counters().pool_ports_taken[protocol], each);
  };
  taken(0);
  ASSERT_NE(udp(inside, 4000), 0);
  taken(64);
  for (const Seconds time : {config.timeouts.udp, config.timeouts.hold_down}) {
    pass(time + Seconds{1});
    taken(64);
  }
  pass(config.timeouts.hold_down + Seconds{1});
  taken(0);
}

TEST_F(PortBlocksTest, blocks_end_with_the_ports_a_subscriber_may_have) {
  config.allowance.ports_max = 100;
  restart();
  for (std::uint16_t port = 0; port < 100; ++port) EXPECT_NE(udp(inside, 4000 + port), 0);
  EXPECT_EQ(engine->counters().port_blocks, 2U);
  EXPECT_EQ(udp(inside, 4100), 0);
  EXPECT_EQ(verdict.reason, DropReason::subscriber_ports_exhausted);
  // The rest of its blocks is for mappings that it asks for, and then there is what nobody has.
  for (std::uint16_t port = 0; port < 28; ++port) EXPECT_NE(install(inside, 5000 + port, 0, false), 0);
  EXPECT_EQ(engine->counters().port_blocks, 2U);
  EXPECT_NE(install(inside, 5100, 0, false), 0);
  EXPECT_EQ(engine->counters().port_blocks, 2U);
}

TEST_F(PortBlocksTest, a_suggested_port_is_given_unless_it_is_in_another_ones_block) {
  const auto theirs = udp(other_inside, 4000);
  const auto own = udp(inside, 4000);
  const auto in = [](std::uint16_t port) {
    return static_cast<std::uint16_t>(port / 64 * 64 + (port + 1) % 64);
  };
  EXPECT_EQ(install(inside, 5000, in(theirs)), 0);
  EXPECT_NE(install(inside, 5000, in(theirs), false), 0) << "another one will do";
  EXPECT_EQ(install(inside, 5001, in(own)), in(own));
  std::uint16_t elsewhere = 20000;
  while (elsewhere / 64 == theirs / 64 || elsewhere / 64 == own / 64) elsewhere += 64;
  EXPECT_EQ(install(inside, 5002, elsewhere), elsewhere);
}

TEST_F(PortBlocksTest, an_empty_block_waits_for_its_subscriber_and_is_taken_back_then) {
  const auto block = tcp(inside, 4000) / 64;
  EXPECT_TRUE(send_raw(PacketBuilder(inside, far6).tcp(4000, 80, "R").build()));
  pass(Seconds{241});
  EXPECT_EQ(engine->counters().bindings, 0U);
  EXPECT_EQ(engine->counters().port_blocks, 1U);
  EXPECT_EQ(engine->counters().subscribers, 1U);
  pass(config.timeouts.hold_down - Seconds{1});
  EXPECT_EQ(tcp(inside, 4001) / 64, block) << "it has it as long as it waits";
  pass(Seconds{241});
  EXPECT_EQ(engine->counters().port_blocks, 1U);
  pass(config.timeouts.hold_down + Seconds{1});
  EXPECT_EQ(engine->counters().port_blocks, 0U);
  EXPECT_EQ(engine->counters().subscribers, 0U);
}

TEST_F(PortBlocksTest, ports_in_hold_down_keep_their_block) {
  ASSERT_NE(udp(inside, 4000), 0);
  pass(config.timeouts.udp + Seconds{1});
  EXPECT_EQ(engine->counters().hold_downs, 1U);
  pass(config.timeouts.hold_down + Seconds{1});
  EXPECT_EQ(engine->counters().hold_downs, 0U);
  EXPECT_EQ(engine->counters().port_blocks, 1U);
  pass(config.timeouts.hold_down + Seconds{1});
  EXPECT_EQ(engine->counters().port_blocks, 0U);
}

TEST_F(PortBlocksTest, every_block_is_given_and_then_there_is_none) {
  config.pool = {*PoolRange::parse(pool)};
  config.pool[0].ports = {.first = Port{1000}, .last = Port{1300}};  // 1024 to 1279 are whole blocks
  restart();
  const char* const hosts[] = {"2001:db8:1::1", "2001:db8:2::1", "2001:db8:3::1", "2001:db8:4::1",
                               "2001:db8:5::1"};
  std::set<int> blocks;
  for (int i = 0; i < 4; ++i) blocks.insert(udp(hosts[i], 4000) / 64);
  EXPECT_EQ(blocks, (std::set<int>{16, 17, 18, 19}));
  EXPECT_EQ(udp(hosts[4], 4000), 0);
  EXPECT_EQ(verdict.reason, DropReason::ports_exhausted);
  EXPECT_NE(take_output().find("icmp 1/3"), std::string::npos);
  EXPECT_EQ(engine->counters().subscribers, 4U) << "and nothing is left behind";
  // Who has none by blocks takes what is in none.
  ASSERT_TRUE(
      engine->put_profile(*Prefix::parse("2001:db8:5::/64"), {.port_block_size = Allowance::no_port_blocks}));
  const auto single = udp(hosts[4], 4000);
  EXPECT_GE(single, 1280);
  EXPECT_LE(single, 1300);
}

TEST_F(PortBlocksTest, the_table_of_blocks_has_a_limit) {
  config.limits.port_blocks = 2;
  restart();
  EXPECT_NE(udp("2001:db8:1::1", 4000), 0);
  EXPECT_NE(udp("2001:db8:2::1", 4000), 0);
  EXPECT_EQ(udp("2001:db8:3::1", 4000), 0);
  EXPECT_EQ(verdict.reason, DropReason::ports_exhausted);
}

TEST_F(PortBlocksTest, blocks_of_an_address_that_leaves_go_with_it) {
  ASSERT_NE(udp(inside, 4000), 0);
  ASSERT_NE(install(inside, 4001, 0, false), 0);
  const auto changes = engine->set_pool(now, {*Ipv4Address::parse("192.0.2.15")});
  engine->check_invariants();
  ASSERT_EQ(changes.size(), 1U);
  EXPECT_EQ(changes[0].kind, PoolChange::Kind::moved);
  EXPECT_EQ(engine->counters().port_blocks, 0U) << "the mapping is at its port, in no block";
  EXPECT_NE(udp(inside, 4000), 0);
}

TEST_F(PortBlocksTest, parity_is_kept_in_a_block_as_far_as_it_goes) {
  for (std::uint16_t port = 4000; port < 4064; ++port) EXPECT_EQ(udp(inside, port) % 2, port % 2);
}

TEST_F(PortBlocksTest, a_profile_has_blocks_as_everybody_has_unless_it_says_otherwise) {
  const auto put = [&](std::uint16_t size) {
    return engine
        ->put_profile(*Prefix::parse("2001:db8::/32"), {.subscriber_prefix_length = 0,
                                                        .port_block_size = size,
                                                        .ports_max = 100,
                                                        .sessions_max = 0,
                                                        .sessions_per_second_max = 0})
        .has_value();
  };
  ASSERT_TRUE(put(0));
  EXPECT_NE(udp(inside, 4000), 0);
  EXPECT_EQ(engine->counters().port_blocks, 1U) << "a limit of ports alone takes no blocks away";
  restart();
  ASSERT_TRUE(put(Allowance::no_port_blocks));
  EXPECT_NE(udp(inside, 4000), 0);
  EXPECT_EQ(engine->counters().port_blocks, 0U);
  restart();
  ASSERT_TRUE(put(128));
  const auto port = udp(inside, 4000);
  EXPECT_EQ(udp(inside, 4001) / 128, port / 128);
  EXPECT_FALSE(put(2));
  EXPECT_FALSE(put(63));
}

TEST_F(PortBlocksTest, what_is_no_block_size_is_refused) {
  for (const auto& [size, is_fine] : std::vector<std::pair<std::uint16_t, bool>>{
           {0, true}, {63, false}, {64, true}, {65, false}, {16384, true}, {16448, false}}) {
    Allowance allowance;
    allowance.port_block_size = size;
    EXPECT_EQ(check(allowance).has_value(), is_fine) << size;
  }
}

/// A history of everything that has to do with blocks; check_invariants() is the judge.
TEST_F(PortBlocksTest, any_history_leaves_the_tables_in_agreement) {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    SeededRandom dice(seed);
    config.pool = {*PoolRange::parse("192.0.2.14-192.0.2.15")};
    config.pool[0].ports = {.first = Port{1024}, .last = Port{2047}};
    config.limits.port_blocks = 24;
    restart();
    const auto host = [&] {
      return fmt::format("2001:db8:{:x}::{:x}", dice.below(6) + 1, dice.below(3) + 1);
    };
    for (int step = 0; step < 400; ++step) {
      const std::string from = host();
      const auto port = static_cast<std::uint16_t>(1024 + dice.below(200));
      switch (dice.below(10)) {
        case 0:
          static_cast<void>(install(from.c_str(), port, static_cast<std::uint16_t>(dice.below(2048)), false));
          break;
        case 1: static_cast<void>(engine->remove(now, key(Protocol::udp, port, from.c_str()))); break;
        case 2: {
          Allowance allowance;
          const std::uint16_t sizes[] = {0, Allowance::no_port_blocks, 64, 128, 192};
          allowance.port_block_size = sizes[dice.below(5)];
          allowance.subscriber_prefix_length = dice.below(2) == 0 ? 64 : 128;
          allowance.ports_max = static_cast<std::uint32_t>(1 + dice.below(150));
          ASSERT_TRUE(engine->put_profile(Prefix(*IpAddress::parse(from), 64), allowance));
          break;
        }
        case 3: engine->drop_profile(Prefix(*IpAddress::parse(from), 64)); break;
        case 4: pass(Seconds{static_cast<std::int64_t>(dice.below(200))}); break;
        case 5:
          if (dice.below(10) == 0) {
            PoolRange changed =
                *PoolRange::parse(dice.below(2) == 0 ? "192.0.2.14" : "192.0.2.15-192.0.2.16");
            changed.ports = {.first = Port{static_cast<std::uint16_t>(1024 + dice.below(100))},
                             .last = Port{static_cast<std::uint16_t>(1500 + dice.below(500))}};
            static_cast<void>(engine->set_pool(now, {changed}));
          }
          break;
        case 6: static_cast<void>(tcp(from.c_str(), port)); break;
        default: static_cast<void>(udp(from.c_str(), port)); break;
      }
      engine->check_invariants();
    }
    pass(Seconds{10'000});
    for (int i = 0; i < 10; ++i) pass(Seconds{130});
    EXPECT_EQ(engine->counters().bindings, 0U);
    EXPECT_EQ(engine->counters().port_blocks, 0U);
    EXPECT_EQ(engine->counters().subscribers, 0U);
  }
}

}  // namespace
}  // namespace portolan::nat::test
