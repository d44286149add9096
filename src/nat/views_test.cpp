// SPDX-License-Identifier: BSD-2-Clause
//
// What the engine shows of itself; and that a trace says what a packet then meets.
#include <random>
#include <set>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "nat/testing/engine_fixture.h"

namespace portolan::nat::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class Views : public Engine {
 protected:
  template <typename Row>
  auto all(const RowFilter& filter = {}) -> std::vector<Row> {
    std::vector<Row> rows;
    std::uint32_t from = 0;
    do {
      from = engine->view(now, filter, from, rows);
    } while (from != 0);
    return rows;
  }
  template <typename Row>
  auto kept() -> std::vector<Row> {
    std::vector<Row> rows;
    std::uint32_t from = 0;
    do {
      from = engine->view(now, from, rows);
    } while (from != 0);
    return rows;
  }
  static auto udp(std::string_view source, std::uint16_t source_port, std::string_view destination,
                  std::uint16_t destination_port) -> Octets {
    return PacketBuilder(source, destination).udp(source_port, destination_port).build();
  }
  static auto endpoint(const char* address, std::uint16_t port) -> Endpoint {
    return {*IpAddress::parse(address), Port{port}};
  }
};

TEST_F(Views, bindings_and_sessions_are_shown_until_they_end) {
  EXPECT_THAT(all<BindingRow>(), IsEmpty());
  ASSERT_NE(map(Protocol::tcp, 80, 8080), 0);
  send(udp(inside, 5000, far6, 53));
  const auto bindings = all<BindingRow>();
  ASSERT_EQ(bindings.size(), 2U);
  EXPECT_EQ(bindings[0], (BindingRow{.protocol = Protocol::tcp,
                                     .internal = endpoint(inside, 80),
                                     .external = endpoint(pool, 8080),
                                     .is_explicit = true,
                                     .port_count = 1,
                                     .remaining = Seconds{86400},
                                     .sessions = 0,
                                     .filters = 0}));
  EXPECT_FALSE(bindings[1].is_explicit);
  EXPECT_EQ(bindings[1].sessions, 1U);
  const auto sessions = all<SessionRow>();
  ASSERT_EQ(sessions.size(), 1U);
  EXPECT_EQ(sessions[0].internal, endpoint(inside, 5000));
  EXPECT_EQ(sessions[0].external, bindings[1].external);
  EXPECT_EQ(sessions[0].remote, endpoint(far4, 53));
  EXPECT_EQ(sessions[0].state, std::nullopt);
  EXPECT_TRUE(sessions[0].is_outbound);
  EXPECT_EQ(sessions[0].remaining, Seconds{300});
  pass(Seconds{301});
  EXPECT_THAT(all<SessionRow>(), IsEmpty());
  EXPECT_EQ(all<BindingRow>().size(), 1U);
  const auto pools = all<PoolRow>();
  ASSERT_EQ(pools.size(), 1U);
  EXPECT_THAT(pools[0].bindings, ElementsAre(0U, 1U, 0U));
  EXPECT_THAT(pools[0].hold_downs, ElementsAre(1U, 0U, 0U));
  unmap(Protocol::tcp, 80);
  EXPECT_THAT(all<BindingRow>(), IsEmpty());
}

TEST_F(Views, a_binding_says_how_many_sessions_it_has) {
  ASSERT_NE(map(Protocol::udp, 80, 8080), 0);
  const auto sessions = [&] { return all<BindingRow>({.internal_port = Port{80}}).at(0).sessions; };
  for (std::uint16_t i = 1; i <= 3; ++i) {
    send(udp(far4, static_cast<std::uint16_t>(4000 + i), pool, 8080));
    EXPECT_EQ(sessions(), 2U * i - 1);
    send(udp(inside, 80, far6, static_cast<std::uint16_t>(5000 + i)));
    EXPECT_EQ(sessions(), 2U * i);
  }
  EXPECT_EQ(all<HostRow>().at(0).sessions, 6U);
  unmap(Protocol::udp, 80);
  EXPECT_EQ(sessions(), 6U);
  pass(Seconds{301});
  EXPECT_THAT(all<BindingRow>(), IsEmpty());
}

TEST_F(Views, a_walk_sees_everything_once_though_other_things_change) {
  config.limits.bindings = config.limits.sessions = 5000;
  config.limits.sessions_per_subscriber = 5000;
  restart();
  constexpr std::uint16_t count = 2000;
  for (std::uint16_t i = 0; i < count; ++i)
    send(udp(inside, static_cast<std::uint16_t>(10000 + i), far6, 53));
  std::vector<SessionRow> rows;
  std::uint32_t from = 0;
  std::uint16_t other = 30000;
  int calls = 0;
  do {
    from = engine->view(now, RowFilter{}, from, rows);
    send(udp(other_inside, other++, far6, 53));
    ++calls;
  } while (from != 0);
  EXPECT_GE(calls, count / static_cast<int>(Nat64::places_per_view));
  std::multiset<std::uint16_t> seen;
  for (const SessionRow& row : rows)
    if (row.internal.address == *IpAddress::parse(inside)) seen.insert(row.internal.port.value);
  ASSERT_EQ(seen.size(), count);
  EXPECT_EQ(std::set(seen.begin(), seen.end()).size(), count);
  EXPECT_EQ(all<HostRow>({.internal = *Prefix::parse("2001:db8:112::/64")}).size(), 1U);
}

TEST_F(Views, rows_can_be_filtered) {
  map(Protocol::tcp, 80, 8080);
  map(Protocol::udp, 80, 8081, other_inside);
  send(udp(inside, 5000, far6, 53));
  send(udp(inside, 5001, far6, 123));
  EXPECT_EQ(all<BindingRow>({.only_explicit = true}).size(), 2U);
  EXPECT_EQ(all<BindingRow>({.protocol = Protocol::udp}).size(), 3U);
  EXPECT_EQ(all<BindingRow>({.internal = *Prefix::parse("2001:db8:113::/48")}).size(), 1U);
  EXPECT_EQ(all<BindingRow>({.internal_port = Port{80}}).size(), 2U);
  EXPECT_EQ(all<BindingRow>({.external_port = Port{8081}}).size(), 1U);
  EXPECT_EQ(all<BindingRow>({.external_address = Ipv4Address::parse(pool)}).size(), 4U);
  EXPECT_EQ(all<SessionRow>({.remote_port = Port{123}}).size(), 1U);
  EXPECT_EQ(all<SessionRow>({.remote_address = Ipv4Address::parse(pool)}).size(), 0U);
}

TEST_F(Views, the_inventory_tells_what_was_installed) {
  const std::vector<RemoteFilter> filters{
      {.remote_peers = *Prefix::parse("2001:db8:64:ff9b::198.51.100.0/120"), .remote_port = Port{7}},
      {.remote_peers = *Prefix::parse("2001:db8:64:ff9b::/96"), .remote_port = Port{0}}};
  const PortRange ports{.first = Port{8000}, .last = Port{9000}};
  ASSERT_TRUE(engine->install(now, key(Protocol::udp, 6000),
                              {.external_address = {}, .external_port = Port{8000}, .exact = true},
                              Seconds{100},
                              {.filters = filters,
                               .port_count = 4,
                               .preserve_parity = true,
                               .external_ports = ports,
                               .is_bound_to_address = true}));
  send(udp(inside, 5000, far6, 53));
  pass(Seconds{10});
  EXPECT_THAT(kept<MappingRow>(), ElementsAre(MappingRow{.key = key(Protocol::udp, 6000),
                                                         .external = endpoint(pool, 8000),
                                                         .port_count = 4,
                                                         .remaining = Seconds{90},
                                                         .filters = filters,
                                                         .external_ports = ports,
                                                         .is_bound_to_address = true,
                                                         .preserve_parity = true}));
  EXPECT_THAT(kept<PeerRow>(), IsEmpty());
  const Endpoint peer = endpoint(far6, 443);
  const auto peered = engine->install_peer(now, key(Protocol::tcp, 7000), peer, {}, Seconds{500});
  ASSERT_TRUE(peered);
  EXPECT_THAT(kept<PeerRow>(),
              ElementsAre(PeerRow{.key = key(Protocol::tcp, 7000),
                                  .remote_peer = peer,
                                  .external = {IpAddress{peered->external.address}, peered->external.port},
                                  .remaining = Seconds{500}}));
  EXPECT_EQ(kept<MappingRow>().size(), 1U) << "PEER makes no explicit mapping";
  engine->release_peer(now, key(Protocol::tcp, 7000), peer);
  EXPECT_THAT(kept<PeerRow>(), IsEmpty());
}

TEST_F(Views, filters_that_are_shown_mean_what_was_asked_for_with_every_prefix_length) {
  for (const char* text : {"2001:db8::/32", "2001:db8:100::/40", "2001:db8:122::/48", "2001:db8:122:300::/56",
                           "2001:db8:122:344::/64", "2001:db8:122:344::/96"}) {
    const Prefix prefix = *Prefix::parse(text);
    Embedding embedding{};
    std::copy_n(prefix.address().bits().octets.begin(), 16, embedding.prefix);
    embedding.length = static_cast<std::uint8_t>(prefix.length());
    for (unsigned bits = 0; bits <= 32; ++bits) {
      const std::uint32_t mask = bits == 0 ? 0 : UINT32_MAX << (32 - bits);
      const PeerFilter filter{.address = 0xc6336407 & mask, .mask = mask, .port = 9};
      EXPECT_EQ(to_peer_filter(to_remote_filter(filter, embedding), embedding), filter)
          << text << " " << bits;
    }
    const PeerFilter nobody = to_peer_filter(
        {.remote_peers = *Prefix::parse("2001:db8:ffff::1/128"), .remote_port = Port{0}}, embedding);
    EXPECT_EQ(to_peer_filter(to_remote_filter(nobody, embedding), embedding), nobody) << text;
  }
}

TEST_F(Views, while_implicit_flows_wait_only_explicit_mappings_pass) {
  engine->allow_implicit(false);
  EXPECT_EQ(send(udp(inside, 5000, far6, 53)), "dropped: not_reconciled");
  EXPECT_EQ(take_output(), "") << "the host is to try again, not to give up";
  EXPECT_EQ(engine->counters().drops(DropReason::not_reconciled), 1U);
  EXPECT_EQ(map(Protocol::udp, 5000, 5000), 5000);
  EXPECT_NE(send(udp(inside, 5000, far6, 53)), "dropped: not_reconciled");
  EXPECT_EQ(engine->counters().drops(DropReason::not_reconciled), 1U);
  EXPECT_NE(send(udp(far4, 999, pool, 5000)), "dropped: no_mapping");
  engine->allow_implicit(true);
  send(udp(inside, 5001, far6, 53));
  EXPECT_EQ(verdict.action, Action::forward);
}

TEST_F(Views, a_trace_says_what_the_packet_then_meets_and_changes_nothing) {
  // Small tables, so that every limit is met.
  config.limits.bindings = 12;
  config.limits.sessions = 16;
  config.limits.subscribers = 3;
  config.limits.sessions_per_subscriber = 10;
  restart();
  std::mt19937 draw(7);
  const auto one_of = [&](std::initializer_list<const char*> texts) {
    return *IpAddress::parse(*(texts.begin() + draw() % texts.size()));
  };
  std::set<DropReason> met;
  for (int step = 0; step < 20000; ++step) {
    const bool is_udp = draw() % 2 == 0;
    const auto port = [&](unsigned first) { return Port{static_cast<std::uint16_t>(first + draw() % 6)}; };
    TraceQuery query{.protocol = is_udp ? Protocol::udp : Protocol::tcp, .source = {}, .destination = {}};
    if (!is_udp) query.tcp_flags = draw() % 3 == 0 ? tcp::ack : tcp::syn;
    const bool is_from_ipv6 = draw() % 2 == 0;
    if (is_from_ipv6) {
      query.source = {one_of({inside, other_inside, "2001:db8:114::4", "2001:db8:115::5", "fe80::1",
                              "2001:db8:64:ff9b::1.2.3.4"}),
                      port(5000)};
      query.destination = {
          one_of({far6, "2001:db8:64:ff9b::192.0.2.14", "2001:db8:64:ff9b::127.0.0.1", "2001:db8:1::1"}),
          draw() % 2 == 0 ? port(5000) : port(5003)};
    } else {
      query.source = {one_of({far4, "198.51.100.8", "127.0.0.1"}), port(6000)};
      query.destination = {one_of({pool, "192.0.2.99"}), port(5000)};
    }
    switch (draw() % 24) {
      case 0: engine->allow_implicit(draw() % 4 != 0); break;
      case 1:
        static_cast<void>(engine->install(
            now, key(query.protocol, port(5000).value),
            {.external_address = {}, .external_port = port(5000), .exact = false}, Seconds{60},
            {.filters = draw() % 2 == 0
                            ? std::vector<RemoteFilter>{}
                            : std::vector<RemoteFilter>{
                                  {.remote_peers = *Prefix::parse("2001:db8:64:ff9b::198.51.100.8/128"),
                                   .remote_port = Port{0}}}}));
        break;
      case 2: unmap(query.protocol, port(5000).value); break;
      case 3: pass(Seconds{draw() % 200}); break;
      default: break;
    }
    const auto before = all<SessionRow>().size() + all<BindingRow>().size();
    const TraceResult traced = engine->trace(now, query);
    ASSERT_EQ(all<SessionRow>().size() + all<BindingRow>().size(), before);
    const auto text = [](const Endpoint& end) { return to_string(end.address); };
    const std::string source = text(query.source);
    const std::string destination = text(query.destination);
    const auto sport = query.source.port.value;
    const auto dport = query.destination.port.value;
    PacketBuilder packet(source, destination);
    if (is_udp)
      packet.udp(sport, dport);
    else
      packet.tcp(sport, dport, query.tcp_flags == tcp::syn ? "S" : "A");
    const auto out = send_raw(packet.build());
    while (!engine->output().empty()) engine->pop_output();
    const std::string where =
        fmt::format("step {}: {} -> {}, flags {}", step, query.source, query.destination, query.tcp_flags);
    met.insert(verdict.reason);
    // What it meets on its way back in depends on the port that is drawn for it.
    if (traced.is_hairpinned && traced.makes_binding) continue;
    // A SYN that nobody waits for is kept for a moment.
    if (verdict.action == Action::keep || verdict.reason == DropReason::unsolicited_syn) {
      ASSERT_TRUE(traced.reason == DropReason::no_mapping || traced.reason == DropReason::filtered) << where;
      continue;
    }
    ASSERT_EQ(to_string(traced.reason), to_string(verdict.reason)) << where;
    if (!out) continue;
    const auto after = engine->trace(now, query);
    if (!traced.makes_binding) {
      ASSERT_EQ(after.source, traced.source) << where;
    }
    ASSERT_EQ(after.destination, traced.destination) << where;
    if (traced.makes_session && !traced.is_hairpinned) {
      ASSERT_TRUE(after.session) << where;
    }
  }
  for (const DropReason reason :
       {DropReason::none, DropReason::not_reconciled, DropReason::filtered, DropReason::no_mapping,
        DropReason::bindings_exhausted, DropReason::subscribers_exhausted, DropReason::sessions_exhausted,
        DropReason::illegal_source, DropReason::destination_not_in_prefix, DropReason::source_in_prefix,
        DropReason::destination_not_in_pool, DropReason::illegal_destination})
    EXPECT_TRUE(met.contains(reason)) << to_string(reason);
}

}  // namespace
}  // namespace portolan::nat::test
