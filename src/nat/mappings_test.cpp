// SPDX-License-Identifier: BSD-2-Clause
//
// Filters, port sets, PEER and a changing pool in the engine: what the contract of devices
// (device/contract_test.h) does not see.
#include "nat/testing/engine_fixture.h"

namespace portolan::nat::test {
namespace {

class MappingsTest : public Engine {
 protected:
  static constexpr const char* other_pool = "192.0.2.15";

  auto send_in(std::uint16_t port, const char* from, std::uint16_t from_port, const char* flags = nullptr)
      -> DropReason {
    PacketBuilder packet(from, pool);
    if (flags != nullptr)
      packet.tcp(from_port, port, flags);
    else
      packet.udp(from_port, port);
    static_cast<void>(send_raw(packet.build()));
    return verdict.reason;
  }
  auto send_out(std::uint16_t port, std::uint16_t to_port, const char* flags = nullptr) -> std::uint16_t {
    PacketBuilder packet(inside, far6);
    if (flags != nullptr)
      packet.tcp(port, to_port, flags);
    else
      packet.udp(port, to_port);
    const auto out = send_raw(packet.build());
    return out ? static_cast<std::uint16_t>((*out)[20] << 8U | (*out)[21]) : std::uint16_t{0};
  }
  auto filter(Protocol protocol, std::uint16_t port, const std::vector<RemoteFilter>& filters)
      -> std::expected<Installed, InstallError> {
    const auto made = engine->install(
        now, key(protocol, port), {.external_address = {}, .external_port = Port{port}, .exact = false},
        Seconds{1000}, {.filters = filters, .port_count = 1, .preserve_parity = false});
    engine->check_invariants();
    return made;
  }
  auto peer(Protocol protocol, std::uint16_t port, std::uint16_t remote_port,
            Seconds lifetime = Seconds{1000}) -> std::expected<Peered, InstallError> {
    const auto made = engine->install_peer(now, key(protocol, port), far(remote_port), {}, lifetime);
    engine->check_invariants();
    return made;
  }
  static auto far(std::uint16_t port) -> Endpoint { return {*IpAddress::parse(far6), Port{port}}; }
  static auto only_far() -> RemoteFilter {
    return {.remote_peers = Prefix{*IpAddress::parse(far6), 128}, .remote_port = {}};
  }
  auto set(std::uint16_t port, std::uint16_t count) -> std::expected<Installed, InstallError> {
    const auto made = engine->install(now, key(Protocol::udp, port), {}, Seconds{1000},
                                      {.filters = {}, .port_count = count, .preserve_parity = false});
    engine->check_invariants();
    return made;
  }
};

TEST_F(MappingsTest, what_a_filter_drops_is_counted_as_such_and_refreshes_nothing) {
  ASSERT_TRUE(filter(Protocol::udp, 4000, {only_far()}));
  EXPECT_EQ(send_in(4000, "203.0.113.9", 9), DropReason::filtered);
  EXPECT_EQ(engine->counters().drops(DropReason::filtered), 1U);
  EXPECT_EQ(engine->counters().sessions, 0U);
  EXPECT_EQ(send_in(4000, far4, 9), DropReason::none);
}

TEST_F(MappingsTest, segments_and_errors_that_need_no_session_are_filtered_too) {
  ASSERT_TRUE(filter(Protocol::tcp, 4000, {only_far()}));
  EXPECT_EQ(send_in(4000, "203.0.113.9", 9, "A"), DropReason::filtered);
  EXPECT_EQ(send_in(4000, far4, 9, "A"), DropReason::none);
  const auto error_about = [&](const char* peer) {
    const auto quoted = PacketBuilder(pool, peer).tcp(4000, 80, "SA").build();
    static_cast<void>(send_raw(PacketBuilder("203.0.113.1", pool).icmp(3, 1, 0, quoted).build()));
    return verdict.reason;
  };
  EXPECT_EQ(error_about("203.0.113.9"), DropReason::filtered);
  EXPECT_EQ(error_about(far4), DropReason::none);
}

TEST_F(MappingsTest, packets_beyond_the_session_limits_are_filtered_too) {
  config.limits.sessions_per_subscriber = 2;
  restart();
  ASSERT_TRUE(filter(Protocol::udp, 4000, {only_far()}));
  EXPECT_EQ(send_in(4000, far4, 9), DropReason::none);
  EXPECT_EQ(send_in(4000, far4, 10), DropReason::none);
  EXPECT_EQ(engine->counters().without_session, 1U);
  EXPECT_EQ(send_in(4000, "203.0.113.9", 9), DropReason::filtered);
}

TEST_F(MappingsTest, an_ended_mapping_leaves_no_filter_behind) {
  ASSERT_TRUE(filter(Protocol::udp, 4000, {only_far()}));
  ASSERT_EQ(send_out(4000, 53), 4000);
  unmap(Protocol::udp, 4000);
  EXPECT_EQ(send_in(4000, "203.0.113.9", 9), DropReason::none) << "an implicit mapping like any other";
}

TEST_F(MappingsTest, filters_have_a_limit_for_all_mappings_together) {
  config.limits.filters_per_mapping = 2;
  config.limits.filters = 3;
  restart();
  ASSERT_TRUE(filter(Protocol::udp, 4000, {only_far(), only_far()}));
  const auto refused = filter(Protocol::udp, 4001, {only_far(), only_far()});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), InstallError::excessive_filters);
  EXPECT_EQ(engine->counters().bindings, 1U) << "nothing was made";
  EXPECT_TRUE(filter(Protocol::udp, 4001, {only_far()}));
  EXPECT_TRUE(filter(Protocol::udp, 4000, {only_far(), only_far()})) << "its own make room";
  unmap(Protocol::udp, 4000);
  EXPECT_TRUE(filter(Protocol::udp, 4001, {only_far(), only_far()}));
}

TEST_F(MappingsTest, a_set_is_cut_at_its_limit_and_at_that_of_bindings) {
  config.limits.ports_per_set = 10;
  config.limits.bindings = 15;
  restart();
  EXPECT_EQ(set(3000, 9)->external.port_count, 9);
  EXPECT_EQ(set(4000, 65535)->external.port_count, 6);
  EXPECT_EQ(engine->counters().explicit_bindings, 15U);
  const auto none = set(5000, 2);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error(), InstallError::no_resources);
  unmap(Protocol::udp, 3000);
  unmap(Protocol::udp, 4000);
  EXPECT_EQ(set(5000, 65535)->external.port_count, 10);
}

TEST_F(MappingsTest, a_set_gets_the_longest_run_there_is) {
  config.limits.bindings = 65'536;
  config.limits.hold_downs = 65'536;
  restart();
  // All but every eighth port, and a run of five, are taken.
  for (std::uint32_t port = 1024; port < 65536; ++port) {
    if (port % 8 == 0 || port == 5350 || port == 5351 || (port >= 20000 && port <= 20004)) continue;
    ASSERT_EQ(engine
                  ->install(now, key(Protocol::udp, static_cast<std::uint16_t>(port), other_inside), {},
                            Seconds{1000})
                  ->external.port,
              Port{static_cast<std::uint16_t>(port)});
  }
  const auto made = set(3000, 9);
  ASSERT_TRUE(made);
  EXPECT_EQ(made->external.port, Port{20000});
  EXPECT_EQ(made->external.port_count, 5);
}

TEST_F(MappingsTest, ports_that_traffic_mapped_where_the_set_goes_become_part_of_it) {
  ASSERT_EQ(send_out(3000, 53), 3000);
  ASSERT_EQ(send_out(3001, 53), 3001);
  const auto made = set(3000, 3);
  ASSERT_TRUE(made);
  EXPECT_EQ(made->external.port_count, 3);
  const auto removed = unmap(Protocol::udp, 3000);
  ASSERT_TRUE(removed);
  EXPECT_EQ(removed->remaining, Seconds{300});
  EXPECT_EQ(engine->counters().bindings, 2U);
}

TEST_F(MappingsTest, a_peer_connection_that_only_the_translator_forgot_goes_on) {
  ASSERT_TRUE(peer(Protocol::tcp, 4000, 80));
  EXPECT_EQ(send_in(4000, far4, 80, "A"), DropReason::none);
  pass(Seconds{7000});
  EXPECT_EQ(engine->counters().sessions, 1U) << "established, longer than PEER asked for";
  EXPECT_NE(send_out(4000, 80, "A"), 0);
}

TEST_F(MappingsTest, a_reset_ends_what_peer_kept) {
  ASSERT_TRUE(peer(Protocol::tcp, 4000, 80, Seconds{5000}));
  ASSERT_NE(send_out(4000, 80, "S"), 0);
  ASSERT_EQ(send_in(4000, far4, 80, "R"), DropReason::none);
  pass(Seconds{241});
  EXPECT_EQ(engine->counters().sessions, 0U);
}

TEST_F(MappingsTest, peer_on_a_closed_connection_keeps_it_for_a_new_one) {
  ASSERT_NE(send_out(4000, 80, "S"), 0);
  ASSERT_EQ(send_in(4000, far4, 80, "SA"), DropReason::none);
  send_out(4000, 80, "FA");
  send_in(4000, far4, 80, "FA");
  ASSERT_TRUE(peer(Protocol::tcp, 4000, 80, Seconds{5000}));
  send_out(4000, 80, "A");
  pass(Seconds{4990});
  EXPECT_EQ(engine->counters().sessions, 1U);
}

TEST_F(MappingsTest, the_longest_peer_lifetime_is_no_problem) {
  const auto made = peer(Protocol::udp, 4000, 53, Seconds{0xffffffff});
  ASSERT_TRUE(made);
  EXPECT_GT(made->remaining, Seconds{86400 * 365});
  pass(Seconds{86400 * 60});
  EXPECT_EQ(engine->counters().sessions, 1U);
}

TEST_F(MappingsTest, peer_makes_a_session_begun_from_outside_the_insides_own) {
  ASSERT_EQ(map(Protocol::udp, 4000, 4000), 4000);
  ASSERT_EQ(send_in(4000, far4, 53), DropReason::none);
  ASSERT_TRUE(peer(Protocol::udp, 4000, 53));
  EXPECT_GE(unmap(Protocol::udp, 4000)->remaining, Seconds{999});
  EXPECT_EQ(send_in(4000, "203.0.113.9", 9), DropReason::none) << "an implicit mapping now";
}

TEST_F(MappingsTest, peer_without_room_for_a_session_leaves_nothing_behind) {
  config.limits.sessions_per_subscriber = 1;
  restart();
  ASSERT_TRUE(peer(Protocol::udp, 4000, 53));
  const auto refused = peer(Protocol::udp, 4001, 53);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), InstallError::no_resources);
  EXPECT_EQ(engine->counters().bindings, 1U);
}

TEST_F(MappingsTest, a_host_takes_its_pairing_to_the_next_address) {
  ASSERT_EQ(send_out(3000, 53), 3000);
  ASSERT_EQ(map(Protocol::udp, 4000, 4000), 4000);
  engine->set_pool(now, {*Ipv4Address::parse(other_pool)});
  engine->check_invariants();
  EXPECT_EQ(engine->counters().sessions, 0U);
  EXPECT_EQ(engine->counters().bindings, 1U);
  EXPECT_EQ(engine->counters().hold_downs, 0U);
  EXPECT_EQ(engine->config().pool.size(), 1U);
  EXPECT_EQ(send_in(4000, far4, 9), DropReason::destination_not_in_pool);
  EXPECT_EQ(send(PacketBuilder(inside, far6).udp(3000, 53).build()).substr(0, 11), "192.0.2.15:");
  engine->set_pool(now, {*Ipv4Address::parse(pool), *Ipv4Address::parse(other_pool)});
  engine->check_invariants();
  const auto out = send_raw(PacketBuilder(inside, far6).udp(3001, 53).build());
  ASSERT_TRUE(out);
  EXPECT_EQ((*out)[15], 15) << "the address its mapping moved to";
}

TEST_F(MappingsTest, a_host_is_mapped_where_its_other_mappings_are_unless_it_suggests_an_address) {
  config.pool.emplace_back(*Ipv4Address::parse(other_pool));
  config.pool.emplace_back(*Ipv4Address::parse("192.0.2.16"));
  restart();
  const auto address_of = [&](std::uint16_t port, const char* suggested, std::uint16_t port_count) {
    Suggestion suggestion{};
    if (suggested != nullptr) suggestion.external_address = Ipv4Address::parse(suggested);
    const auto made =
        engine->install(now, key(Protocol::udp, port), suggestion, Seconds{100}, {.port_count = port_count});
    return made ? made->external.address : Ipv4Address{};
  };
  for (const char* first : {other_pool, "192.0.2.16", pool}) {
    restart();
    EXPECT_EQ(address_of(4000, first, 1), Ipv4Address::parse(first));
    EXPECT_EQ(address_of(4001, nullptr, 1), Ipv4Address::parse(first));
    EXPECT_EQ(address_of(5000, nullptr, 8), Ipv4Address::parse(first)) << "a port set";
    EXPECT_EQ(address_of(6000, nullptr, 8), Ipv4Address::parse(first)) << "and another";
  }
  EXPECT_EQ(address_of(4002, other_pool, 1), Ipv4Address::parse(other_pool));
}

TEST_F(MappingsTest, sessions_at_addresses_that_stay_are_left_alone) {
  config.pool.emplace_back(*Ipv4Address::parse(other_pool));
  restart();
  ASSERT_TRUE(engine->install(
      now, key(Protocol::udp, 4000),
      {.external_address = Ipv4Address::parse(other_pool), .external_port = {}, .exact = true},
      Seconds{100}));
  ASSERT_EQ(send_out(4000, 53), 4000);
  const auto changes = engine->set_pool(now, {*Ipv4Address::parse(other_pool)});
  EXPECT_TRUE(changes.empty());
  EXPECT_EQ(engine->counters().sessions, 1U);
}

}  // namespace
}  // namespace portolan::nat::test
