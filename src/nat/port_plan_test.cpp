// SPDX-License-Identifier: BSD-2-Clause
//
// Ports by a plan (RFC 7422 s2): both functions against each other and against the RFC's example, and the
// engine that keeps to it.
#include "nat/port_plan.h"

#include <rapidcheck.h>

#include <array>
#include <set>

#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

#include "nat/testing/engine_fixture.h"

namespace portolan::nat {
namespace {

using ::testing::HasSubstr;
using Whose = PortHolder::Kind;

auto address(std::string_view text) -> Ipv6Address { return *Ipv6Address::parse(text); }
auto ipv4(std::string_view text) -> Ipv4Address { return *Ipv4Address::parse(text); }
auto range(std::uint16_t first, std::uint16_t last) -> PortRange {
  return {.first = Port{first}, .last = Port{last}};
}

auto error_of(const Deterministic& wanted, const std::vector<PoolRange>& pool, std::uint8_t length = 64)
    -> std::string {
  const auto plan = PortPlan::make(wanted, pool, length);
  return plan ? "none" : plan.error();
}

TEST(PortPlan, the_example_of_the_rfc) {
  // RFC 7422 s2.3: 14 subscribers at one address, D = 2; theirs are numbered from 1.
  const auto plan = PortPlan::make({.inside = *Prefix::parse("2001:db8:112::/60"), .dynamic_factor = 2},
                                   {ipv4("192.0.2.1")}, 64, 14);
  ASSERT_TRUE(plan) << plan.error();
  EXPECT_EQ(plan->ports_of(address("2001:db8:112::1"))->ports, range(1024, 5055));
  EXPECT_EQ(plan->ports_of(address("2001:db8:112:1::1"))->ports, range(5056, 9087));
  EXPECT_EQ(plan->ports_of(address("2001:db8:112:d::1"))->ports, range(53440, 57471));
  EXPECT_EQ(plan->ports_of(address("2001:db8:112:e::1")), std::nullopt);
  EXPECT_EQ(plan->dynamic_at(ipv4("192.0.2.1")), range(57472, 65535));
  EXPECT_EQ(plan->holder_of(ipv4("192.0.2.1"), Port{2001}),
            (PortHolder{.kind = Whose::subscriber, .subscriber = *Prefix::parse("2001:db8:112::/64")}));
  EXPECT_EQ(plan->holder_of(ipv4("192.0.2.1"), Port{58204}).kind, Whose::dynamic);
  EXPECT_EQ(plan->holder_of(ipv4("192.0.2.1"), Port{1023}).kind, Whose::reserved);
  EXPECT_EQ(plan->holder_of(ipv4("192.0.2.2"), Port{2001}).kind, Whose::elsewhere);
  EXPECT_THAT(
      plan->describe(5040),
      HasSubstr("inside 2001:db8:112::/60, subscribers /64, outside 192.0.2.1 ports 1024-65535, dynamic "
                "factor 2, most ports 5040, algorithm 0, reserved ports 0-1023: 4032 ports"));
}

TEST(PortPlan, the_first_block_goes_to_the_first_address_and_the_second_to_the_second) {
  const auto plan =
      PortPlan::make({.inside = *Prefix::parse("2001:db8:112::/62")},
                     {PoolRange(ipv4("192.0.2.30"), ipv4("192.0.2.31")), ipv4("192.0.2.1")}, 64);
  ASSERT_TRUE(plan) << plan.error();
  EXPECT_EQ(*plan->ports_of(address("2001:db8:112::")),
            (PlannedPorts{ipv4("192.0.2.30"), range(1024, 33279)}));
  EXPECT_EQ(*plan->ports_of(address("2001:db8:112:1::")),
            (PlannedPorts{ipv4("192.0.2.31"), range(1024, 33279)}));
  EXPECT_EQ(*plan->ports_of(address("2001:db8:112:2::")),
            (PlannedPorts{ipv4("192.0.2.1"), range(1024, 33279)}));
  EXPECT_EQ(*plan->ports_of(address("2001:db8:112:3::")),
            (PlannedPorts{ipv4("192.0.2.30"), range(33280, 65535)}));
  EXPECT_EQ(plan->dynamic_at(ipv4("192.0.2.1")), std::nullopt) << "D is 0";
  EXPECT_EQ(plan->holder_of(ipv4("192.0.2.1"), Port{40000}).kind, Whose::nobody);
}

/// A plan that can be made, and its pool.
struct Drawn {
  PortPlan plan;
  std::vector<PoolRange> pool;
  Deterministic wanted;
  std::uint8_t length;
  std::uint32_t subscribers;
};

auto draw() -> std::optional<Drawn> {
  const auto length = *rc::gen::inRange<std::uint8_t>(40, 129);
  const auto bits = *rc::gen::inRange<unsigned>(0, 9);
  Ipv6Address base = address("2001:db8:112:55aa:a55a:c33c:7e81:18e7");
  Deterministic wanted{.inside = Prefix(IpAddress{base}, length - bits),
                       .dynamic_factor = *rc::gen::inRange<std::uint32_t>(0, 4),
                       .first_port = Port{*rc::gen::inRange<std::uint16_t>(1024, 9000)}};
  std::vector<PoolRange> pool;
  const auto ranges = *rc::gen::inRange<std::uint32_t>(1, 5);
  for (std::uint32_t i = 0; i < ranges; ++i) {
    // In no order.
    const std::uint32_t first = 0xc6336400U + ((i * 3) % 5) * 40;
    PoolRange each(Ipv4Address{first}, Ipv4Address{first + *rc::gen::inRange<std::uint32_t>(0, 40)});
    each.ports =
        range(*rc::gen::inRange<std::uint16_t>(0, 3000), *rc::gen::inRange<std::uint16_t>(40000, 65535));
    pool.push_back(each);
  }
  auto plan = PortPlan::make(wanted, pool, length);
  if (!plan) return std::nullopt;
  return Drawn{*std::move(plan), std::move(pool), wanted, length, std::uint32_t{1} << bits};
}

RC_GTEST_PROP(PortPlan, every_port_leads_back_to_whom_it_was_given, ()) {
  const auto drawn = draw();
  RC_PRE(drawn.has_value());
  const PortPlan& plan = drawn->plan;
  std::set<std::pair<std::uint32_t, std::uint16_t>> taken;
  // Walks the subscribers by adding one to their number, in the octets.
  Ipv6Address host = drawn->wanted.inside.address().bits();
  for (std::uint32_t i = 0; i < drawn->subscribers; ++i) {
    const Prefix subscriber(IpAddress{host}, drawn->length);
    const auto ports = plan.ports_of(host);
    RC_ASSERT(ports.has_value());
    RC_ASSERT(ports->ports.first >= drawn->wanted.first_port);
    RC_ASSERT(std::uint32_t{ports->ports.last.value} - ports->ports.first.value + 1U >= PortPlan::ports_min);
    for (const Port port : {ports->ports.first, ports->ports.last}) {
      const PortHolder holder = plan.holder_of(ports->address, port);
      RC_ASSERT(holder.kind == Whose::subscriber);
      RC_ASSERT(holder.subscriber == subscriber);
      RC_ASSERT(plan.may_have(host, ports->address, port));
    }
    RC_ASSERT(taken.emplace(ports->address.value, ports->ports.first.value).second);
    for (unsigned bit = 128U - drawn->length; bit < 128; ++bit) {
      std::uint8_t& octet = host.octets[15 - bit / 8];
      const auto mask = static_cast<std::uint8_t>(1U << bit % 8);
      octet ^= mask;
      if ((octet & mask) != 0) break;
    }
  }
  RC_ASSERT(!plan.ports_of(host).has_value());
}

RC_GTEST_PROP(PortPlan, whose_a_port_is_has_it_and_only_dynamic_ones_are_shared, ()) {
  const auto drawn = draw();
  RC_PRE(drawn.has_value());
  const PortPlan& plan = drawn->plan;
  for (const PoolRange& range : drawn->pool) {
    const Ipv4Address at{*rc::gen::inRange(range.first.value, range.last.value + 1)};
    for (std::uint32_t port = 0; port < 65536; port += 61) {
      const Port each{static_cast<std::uint16_t>(port)};
      const PortHolder holder = plan.holder_of(at, each);
      const auto dynamic = plan.dynamic_at(at);
      RC_ASSERT((holder.kind == Whose::dynamic) == (dynamic && dynamic->contains(each)));
      RC_ASSERT(holder.kind != Whose::elsewhere);
      if (holder.kind == Whose::subscriber) {
        const auto ports = plan.ports_of(holder.subscriber.address().bits());
        RC_ASSERT(ports && ports->address == at && ports->ports.contains(each));
      }
      if (holder.kind == Whose::reserved)
        RC_ASSERT(each < drawn->wanted.first_port || !range.ports.contains(each));
    }
  }
}

TEST(PortPlan, what_leaves_too_little_is_refused_with_a_remedy) {
  const std::vector<PoolRange> one{ipv4("192.0.2.1")};
  // 64512 ports: 1008 of 64.
  const auto plan_for = [&](std::uint32_t subscribers) {
    return PortPlan::make({.inside = *Prefix::parse("2001:db8::/48")}, one, 64, subscribers).has_value();
  };
  EXPECT_TRUE(plan_for(1007));
  EXPECT_TRUE(plan_for(1008));
  EXPECT_FALSE(plan_for(1009));
  EXPECT_THAT(error_of({.inside = *Prefix::parse("2001:db8::/53")}, one), HasSubstr("add addresses"));
  EXPECT_THAT(error_of({.inside = *Prefix::parse("2001:db8::/65")}, one), HasSubstr("at most 64 bits"));
  EXPECT_THAT(error_of({.inside = *Prefix::parse("192.0.2.0/24")}, one), HasSubstr("must be an IPv6 prefix"));
  EXPECT_THAT(error_of({.inside = *Prefix::parse("2001::/39")}, one), HasSubstr("2^25 subscribers"));
  EXPECT_THAT(error_of({.inside = *Prefix::parse("2001::/40")}, one), HasSubstr("add addresses")) << "2^24";
  EXPECT_THAT(error_of({.inside = *Prefix::parse("2001:db8::/64"), .dynamic_factor = 1001}, one),
              HasSubstr("more than 1000"));
  PoolRange weighed = ipv4("192.0.2.1");
  weighed.weight = 2;
  EXPECT_THAT(error_of({.inside = *Prefix::parse("2001:db8::/64")}, {weighed}), HasSubstr("weight"));
  EXPECT_THAT(error_of({.inside = *Prefix::parse("2001:db8::/64")}, {}), HasSubstr("pool is empty"));
}

}  // namespace

namespace test {
namespace {

class PlannedPortsTest : public Engine {
 protected:
  /// Four subscribers and a dynamic factor of `dynamic`, at one address whose pool has `ports` from 1024 on.
  void plan(std::uint32_t dynamic, std::uint32_t ports) {
    PoolRange range = *Ipv4Address::parse(pool);
    range.ports = {.first = Port{1024}, .last = Port{static_cast<std::uint16_t>(1023 + ports)}};
    config.pool = {range};
    config.allowance.subscriber_prefix_length = 64;
    config.deterministic = {.inside = *Prefix::parse("2001:db8:112::/62"), .dynamic_factor = dynamic};
    ASSERT_TRUE(check(config)) << check(config).error();
    restart();
  }
  auto udp(const char* host, std::uint16_t port) -> std::uint16_t {
    const auto sent = send_raw(PacketBuilder(host, far6).udp(port, 53).build());
    return sent ? static_cast<std::uint16_t>((*sent)[20] << 8U | (*sent)[21]) : std::uint16_t{0};
  }
  auto install(const char* host, std::uint16_t port, std::uint16_t suggested, bool exact = false,
               std::uint16_t count = 1) -> std::optional<External> {
    const auto installed =
        engine->install(now, key(Protocol::tcp, port, host),
                        {.external_address = {}, .external_port = Port{suggested}, .exact = exact},
                        Seconds{1000}, {.filters = {}, .port_count = count});
    engine->check_invariants();
    return installed ? std::optional(installed->external) : std::nullopt;
  }
  static constexpr const char* first = "2001:db8:112::2";
  static constexpr const char* second = "2001:db8:112:1::2";
  static constexpr const char* outsider = "2001:db8:115::2";
};

TEST_F(PlannedPortsTest, traffic_gets_ports_of_its_own_range_and_is_refused_beyond) {
  plan(0, 256);
  std::set<std::uint16_t> ports;
  for (std::uint16_t i = 0; i < 64; ++i) ports.insert(udp(first, static_cast<std::uint16_t>(5000 + i)));
  EXPECT_EQ(ports.size(), 64U);
  EXPECT_EQ(*ports.begin(), 1024);
  EXPECT_EQ(*ports.rbegin(), 1087);
  EXPECT_EQ(udp(first, 6000), 0) << "all of them are in use";
  EXPECT_EQ(send(PacketBuilder(first, far6).udp(6001, 53).build()), "dropped: ports_exhausted");
  EXPECT_GE(udp(second, 5000), 1088) << "others have theirs";
  EXPECT_EQ(udp(second, 1030) / 64, 17) << "not the number of its port, which is another's";
  EXPECT_EQ(udp(second, 1100), 1100) << "but if it is its own";
  EXPECT_EQ(udp(outsider, 5000), 0) << "the plan has nothing for it";
}

TEST_F(PlannedPortsTest, dynamic_ports_are_for_who_needs_more_and_for_who_has_none) {
  plan(1, 320);
  for (std::uint16_t i = 0; i < 64; ++i) EXPECT_LT(udp(first, static_cast<std::uint16_t>(5000 + i)), 1088);
  EXPECT_GE(udp(first, 6000), 1280);
  EXPECT_GE(udp(outsider, 5000), 1280);
  for (std::uint16_t i = 1; i < 63; ++i) EXPECT_GE(udp(first, static_cast<std::uint16_t>(6000 + i)), 1280);
  EXPECT_EQ(udp(first, 7000), 0) << "all dynamic ones are in use too";
  EXPECT_EQ(udp(outsider, 7000), 0);
}

TEST_F(PlannedPortsTest, dynamic_ports_are_given_in_blocks_if_so_configured) {
  config.allowance.port_block_size = 64;
  plan(4, 512);
  for (std::uint16_t i = 0; i < 64; ++i) EXPECT_LT(udp(first, static_cast<std::uint16_t>(5000 + i)), 1088);
  EXPECT_EQ(engine->counters().port_blocks, 0U) << "its own ports need none";
  const auto port = udp(first, 6000);
  EXPECT_GE(port, 1280);
  EXPECT_EQ(engine->counters().port_blocks, 1U);
  EXPECT_EQ(udp(first, 6001) / 64, port / 64);
  EXPECT_NE(udp(outsider, 6001) / 64, port / 64);
}

TEST_F(PlannedPortsTest, dynamic_ports_that_hold_no_block_are_refused_with_a_remedy) {
  // Dynamic are 1280 to 1535: four blocks of 64, one of 256.
  plan(4, 512);
  const auto error_of = [&](std::uint16_t size) {
    config.allowance.port_block_size = size;
    const auto checked = check(config);
    return checked ? std::string() : checked.error();
  };
  for (const auto size : std::to_array<std::uint16_t>({0, 64, 128, 256}))
    EXPECT_EQ(error_of(size), "") << size;
  EXPECT_THAT(error_of(320), HasSubstr("port block size 320 with deterministic: of the dynamic ports of "
                                       "192.0.2.14, 1280 to 1535, none are a block"));
  EXPECT_THAT(error_of(512),
              HasSubstr("let port_block_size be smaller, or 0, or dynamic_factor larger than 4"));
  const auto put = [&](std::uint16_t size) {
    return engine->put_profile(*Prefix::parse("2001:db8:115::/64"),
                               {.subscriber_prefix_length = 0, .port_block_size = size});
  };
  EXPECT_TRUE(put(256));
  EXPECT_EQ(put(320), std::unexpected(ProfileError::unsupported));
  EXPECT_EQ(put(512), std::unexpected(ProfileError::unsupported));
  config.deterministic->dynamic_factor = 0;
  EXPECT_EQ(error_of(512), "") << "there are no dynamic ports";
}

TEST_F(PlannedPortsTest, a_mere_suggestion_takes_no_dynamic_port_while_own_ones_are_free) {
  plan(1, 320);
  EXPECT_LT(install(first, 80, 1300)->port, Port{1088});
  EXPECT_EQ(install(first, 81, 1040)->port, Port{1040}) << "of its own any may be suggested";
  const auto run = install(first, 4000, 1300, false, 4);
  ASSERT_TRUE(run);
  EXPECT_LT(run->port, Port{1088});
  EXPECT_EQ(install(outsider, 80, 1300)->port, Port{1300}) << "it has no own ones";
  for (std::uint16_t i = 0; i < 58; ++i)
    ASSERT_LT(install(first, static_cast<std::uint16_t>(5000 + i), 0)->port, Port{1088}) << i;
  EXPECT_EQ(install(first, 6000, 1301)->port, Port{1301}) << "all own ones are taken";
}

TEST_F(PlannedPortsTest, the_limit_of_ports_is_for_own_and_dynamic_ones_together) {
  config.allowance.ports_max = 70;
  plan(1, 320);
  for (std::uint16_t i = 0; i < 70; ++i) EXPECT_NE(udp(first, static_cast<std::uint16_t>(5000 + i)), 0) << i;
  EXPECT_EQ(send(PacketBuilder(first, far6).udp(6001, 53).build()), "dropped: subscriber_ports_exhausted");
}

TEST_F(PlannedPortsTest, mappings_of_the_server_keep_to_the_plan) {
  plan(1, 320);
  EXPECT_EQ(install(first, 80, 1030, true)->port, Port{1030});
  EXPECT_FALSE(install(first, 81, 1100, true)) << "another's";
  EXPECT_LT(install(first, 81, 1100)->port, Port{1088});
  EXPECT_EQ(install(first, 82, 1300, true)->port, Port{1300}) << "a dynamic one may be suggested";
  EXPECT_FALSE(install(outsider, 80, 1100, true));
  EXPECT_GE(install(outsider, 80, 0)->port, Port{1280});
  const auto set = install(second, 4000, 0, false, 16);
  ASSERT_TRUE(set);
  EXPECT_EQ(set->port_count, 16);
  EXPECT_GE(set->port, Port{1088});
  EXPECT_LE(set->port, Port{1151 - 15});
}

TEST_F(PlannedPortsTest, profiles_may_limit_but_not_move_who_has_a_plan) {
  plan(1, 320);
  const auto put = [&](const char* prefix, const Allowance& asked) {
    return engine->put_profile(*Prefix::parse(prefix), asked).has_value();
  };
  const Allowance limited{
      .subscriber_prefix_length = 0, .ports_max = 3, .sessions_max = 0, .sessions_per_second_max = 0};
  EXPECT_TRUE(put("2001:db8:112::/64", limited));
  Allowance moved = limited;
  moved.external_ports = {.first = Port{2000}, .last = Port{2999}};
  EXPECT_FALSE(put("2001:db8:112::/64", moved));
  EXPECT_FALSE(put("2001:db8::/32", moved)) << "they would be its subscribers too";
  EXPECT_TRUE(put("2001:db8:115::/64", moved));
  moved = limited;
  moved.subscriber_prefix_length = 56;
  EXPECT_FALSE(put("2001:db8:112::/56", moved)) << "one subscriber would have the ports of several";
  for (std::uint16_t i = 0; i < 3; ++i) EXPECT_NE(udp(first, static_cast<std::uint16_t>(5000 + i)), 0);
  EXPECT_EQ(udp(first, 6000), 0);
}

RC_GTEST_FIXTURE_PROP(PlannedPortsTest, whatever_comes_the_plan_tells_whose_a_port_is, ()) {
  plan(*rc::gen::inRange<std::uint32_t>(0, 3), 6 * 64);
  const char* const hosts[] = {first, second, "2001:db8:112:2::9", "2001:db8:112:3:ffff::1", outsider};
  for (int step = 0; step < 25; ++step) {
    const char* const host = hosts[*rc::gen::inRange<std::size_t>(0, 5)];
    const auto port = *rc::gen::inRange<std::uint16_t>(1000, 1500);
    switch (*rc::gen::inRange(0, 4)) {
      case 0: udp(host, port); break;
      case 1:
        install(host, port, *rc::gen::inRange<std::uint16_t>(1000, 1500), *rc::gen::arbitrary<bool>());
        break;
      case 2: install(host, port, 0, false, *rc::gen::inRange<std::uint16_t>(1, 20)); break;
      default: unmap(Protocol::tcp, port, host); break;
    }
  }
  std::vector<BindingRow> rows;
  for (std::uint32_t from = 0;;) {
    from = engine->view(now, RowFilter{}, from, rows);
    if (from == 0) break;
  }
  const auto made = PortPlan::make(*config.deterministic, config.pool, 64);
  for (const BindingRow& row : rows) {
    const PortHolder holder = made->holder_of(row.external.address.ipv4(), row.external.port);
    RC_ASSERT(holder.kind == Whose::subscriber || holder.kind == Whose::dynamic);
    if (holder.kind == Whose::subscriber) RC_ASSERT(holder.subscriber.contains(row.internal.address));
  }
}

}  // namespace
}  // namespace test
}  // namespace portolan::nat
