// SPDX-License-Identifier: BSD-2-Clause
//
// Bindings, sessions and explicit mappings: who gets which port, who is let in, and for how long
// (RFC 6146 s3.5, RFC 4787, RFC 6888, RFC 6887 s11.3 and s15).
#include "nat/nat64.h"

#include <set>

#include <gtest/gtest.h>

#include "nat/testing/engine_fixture.h"

namespace portolan::nat::test {
namespace {

class Nat64Test : public Engine {
 protected:
  /// External port that a UDP packet from (host, port) leaves with, 0 if it doesn't.
  auto udp_out(std::uint16_t port, const char* host = inside, const char* to = far6,
               std::uint16_t to_port = 53) -> std::uint16_t {
    const auto out = send_raw(PacketBuilder(host, to).udp(port, to_port).build());
    return out ? static_cast<std::uint16_t>((*out)[20] << 8U | (*out)[21]) : std::uint16_t{0};
  }
  auto udp_in(std::uint16_t external, const char* from = far4, std::uint16_t from_port = 53) -> bool {
    return send_raw(PacketBuilder(from, pool).udp(from_port, external).build()).has_value();
  }
  auto tcp_out(std::uint16_t port, const char* flags, const char* host = inside, std::uint16_t to_port = 80)
      -> std::uint16_t {
    const auto out = send_raw(PacketBuilder(host, far6).tcp(port, to_port, flags).build());
    return out ? static_cast<std::uint16_t>((*out)[20] << 8U | (*out)[21]) : std::uint16_t{0};
  }
  auto tcp_in(std::uint16_t external, const char* flags, std::uint16_t from_port = 80) -> bool {
    return send_raw(PacketBuilder(far4, pool).tcp(from_port, external, flags).build()).has_value();
  }
};

TEST_F(Nat64Test, a_syn_from_the_v4_side_reaches_an_explicit_mapping) {
  ASSERT_EQ(map(Protocol::tcp, 8080, 8080), 8080);
  EXPECT_EQ(send(PacketBuilder("198.51.100.99", pool).tcp(50000, 8080, "S").build()),
            "[2001:db8:64:ff9b::c633:6463]:50000 > [2001:db8:112::2]:8080 tcp S ttl 63");
  EXPECT_EQ(send(PacketBuilder(inside, "2001:db8:64:ff9b::198.51.100.99").tcp(8080, 50000, "SA").build()),
            "192.0.2.14:8080 > 198.51.100.99:50000 tcp SA ttl 63");
}

TEST_F(Nat64Test, mapping_is_endpoint_independent) {
  const auto port = udp_out(4000);
  EXPECT_EQ(udp_out(4000, inside, "2001:db8:64:ff9b::203.0.113.9", 123), port);
  EXPECT_EQ(engine->counters().bindings, 1U);
  EXPECT_EQ(engine->counters().sessions, 2U);
}

TEST_F(Nat64Test, filtering_is_endpoint_independent) {
  const auto port = udp_out(4000);
  EXPECT_TRUE(udp_in(port, "203.0.113.9", 9));
  EXPECT_EQ(engine->counters().sessions, 2U);
}

TEST_F(Nat64Test, protocols_have_bindings_of_their_own) {
  EXPECT_EQ(udp_out(4000), 4000);
  EXPECT_FALSE(tcp_in(4000, "S"));
  EXPECT_EQ(tcp_out(4000, "S", other_inside), 4000) << "the same number is free in TCP";
}

TEST_F(Nat64Test, a_free_port_is_preserved_and_a_taken_one_replaced_in_range_and_parity) {
  EXPECT_EQ(udp_out(4001), 4001);
  std::set<std::uint16_t> ports;
  for (int host = 10; host < 40; ++host) {
    const auto port = udp_out(4001, ("2001:db8:113::" + std::to_string(host)).c_str());
    EXPECT_TRUE(ports.insert(port).second);
    EXPECT_EQ(port % 2, 1);
    EXPECT_GE(port, 1024);
  }
  EXPECT_GT(*ports.rbegin() - *ports.begin(), 20000) << "and unpredictable";
}

TEST_F(Nat64Test, well_known_ports_are_not_handed_out_implicitly_unless_allowed) {
  EXPECT_GE(udp_out(123), 1024);
  config.first_port = Port{512};
  restart();
  EXPECT_EQ(udp_out(600), 600);
  const auto second = udp_out(600, other_inside);
  EXPECT_GE(second, 512);
  EXPECT_LE(second, 1023) << "same range";
  EXPECT_EQ(second % 2, 0);
}

TEST_F(Nat64Test, pcp_ports_are_nobodys) {
  EXPECT_NE(udp_out(5350), 5350);
  EXPECT_NE(udp_out(5351), 5351);
  EXPECT_EQ(tcp_out(5351, "S"), 5351);
  EXPECT_NE(map(Protocol::udp, 1, 5351), 5351);
}

TEST_F(Nat64Test, a_host_keeps_its_external_address_over_protocols) {
  config.pool = {*Ipv4Address::parse("192.0.2.14"), *Ipv4Address::parse("192.0.2.15"),
                 *Ipv4Address::parse("203.0.113.77")};
  restart();
  std::set<std::uint32_t> used;
  for (int host = 1; host <= 40; ++host) {
    const auto from = "2001:db8:113::" + std::to_string(host);
    std::set<std::uint32_t> of_host;
    const auto note = [&](const std::optional<Octets>& out) {
      ASSERT_TRUE(out);
      of_host.insert(load32(out->data() + 12));
    };
    note(send_raw(PacketBuilder(from, far6).udp(4000, 53).build()));
    note(send_raw(PacketBuilder(from, far6).udp(4002, 53).build()));
    note(send_raw(PacketBuilder(from, far6).tcp(4000, 80, "S").build()));
    note(send_raw(PacketBuilder(from, far6).echo_request(4).build()));
    EXPECT_EQ(of_host.size(), 1U);
    used.insert(*of_host.begin());
  }
  EXPECT_EQ(used.size(), 3U) << "hosts are spread over the pool";
}

TEST_F(Nat64Test, udp_bindings_end_after_five_idle_minutes) {
  EXPECT_EQ(udp_out(4000), 4000);
  pass(Seconds{299});
  EXPECT_EQ(engine->counters().bindings, 1U);
  pass(Seconds{2});
  EXPECT_EQ(engine->counters().bindings, 0U);
  EXPECT_FALSE(udp_in(4000));
}

TEST_F(Nat64Test, packets_in_either_direction_keep_a_udp_session) {
  EXPECT_EQ(udp_out(4000), 4000);
  for (int i = 0; i < 5; ++i) {
    pass(Seconds{200});
    EXPECT_TRUE(udp_in(4000));
    pass(Seconds{200});
    EXPECT_EQ(udp_out(4000), 4000);
  }
  EXPECT_EQ(engine->counters().sessions_made, 1U);
  pass(Seconds{301});
  EXPECT_EQ(engine->counters().sessions, 0U);
}

TEST_F(Nat64Test, echo_bindings_end_after_a_minute) {
  send(PacketBuilder(inside, far6).echo_request(7).build());
  pass(Seconds{59});
  EXPECT_EQ(engine->counters().bindings, 1U);
  pass(Seconds{2});
  EXPECT_EQ(engine->counters().bindings, 0U);
}

TEST_F(Nat64Test, a_tcp_connection_lives_2_hours_and_4_minutes_idle) {
  ASSERT_EQ(tcp_out(4000, "S"), 4000);
  EXPECT_TRUE(tcp_in(4000, "SA"));
  EXPECT_EQ(tcp_out(4000, "A"), 4000);
  pass(Seconds{7200 + 239});
  EXPECT_EQ(engine->counters().sessions, 1U);
  EXPECT_TRUE(tcp_in(4000, "A"));
  pass(Seconds{7200 + 239});
  EXPECT_EQ(engine->counters().sessions, 1U);
  pass(Seconds{2});
  EXPECT_EQ(engine->counters().sessions, 0U);
  EXPECT_EQ(engine->counters().bindings, 0U);
}

TEST_F(Nat64Test, a_tcp_connection_that_answers_the_probe_lives_on) {
  tcp_out(4000, "S");
  tcp_in(4000, "SA");
  pass(Seconds{7199});
  EXPECT_EQ(take_output(), "");
  pass(Seconds{2});
  EXPECT_EQ(take_output(), "[2001:db8:64:ff9b::c633:6407]:80 > [2001:db8:112::2]:4000 tcp A ttl 64");
  EXPECT_EQ(tcp_out(4000, "A"), 4000);
  pass(Seconds{7199});
  EXPECT_EQ(engine->counters().sessions, 1U);
  pass(Seconds{2});
  EXPECT_EQ(engine->counters().probes_sent, 2U);
}

TEST_F(Nat64Test, an_unanswered_syn_is_forgotten_after_4_minutes) {
  ASSERT_EQ(tcp_out(4000, "S"), 4000);
  pass(Seconds{200});
  ASSERT_EQ(tcp_out(4000, "S"), 4000) << "a retransmission starts them anew";
  pass(Seconds{239});
  EXPECT_EQ(engine->counters().sessions, 1U);
  pass(Seconds{2});
  EXPECT_EQ(engine->counters().sessions, 0U);
}

TEST_F(Nat64Test, both_fins_leave_4_minutes_that_nothing_prolongs) {
  tcp_out(4000, "S");
  tcp_in(4000, "SA");
  tcp_out(4000, "FA");
  tcp_in(4000, "FA");
  pass(Seconds{200});
  EXPECT_EQ(tcp_out(4000, "A"), 4000);
  pass(Seconds{41});
  EXPECT_EQ(engine->counters().sessions, 0U);
}

TEST_F(Nat64Test, one_fin_leaves_the_connection_half_open) {
  tcp_out(4000, "S");
  tcp_in(4000, "SA");
  tcp_out(4000, "FA");
  pass(Seconds{3600});
  EXPECT_TRUE(tcp_in(4000, "A"));
  pass(Seconds{7199});
  EXPECT_EQ(engine->counters().sessions, 1U);
  pass(Seconds{2});
  EXPECT_EQ(engine->counters().sessions, 0U);
}

TEST_F(Nat64Test, a_reset_leaves_4_minutes_in_which_data_revives_the_connection) {
  tcp_out(4000, "S");
  tcp_in(4000, "SA");
  tcp_in(4000, "R");
  pass(Seconds{200});
  EXPECT_EQ(tcp_out(4000, "A"), 4000);
  pass(Seconds{7000});
  EXPECT_EQ(engine->counters().sessions, 1U);
  tcp_in(4000, "R");
  pass(Seconds{200});
  tcp_in(4000, "R");
  pass(Seconds{41});
  EXPECT_EQ(engine->counters().sessions, 0U) << "a second reset is no sign of life";
}

TEST_F(Nat64Test, an_explicit_mapping_survives_resets_and_idleness) {
  ASSERT_EQ(map(Protocol::tcp, 8080, 8080), 8080);
  ASSERT_TRUE(tcp_in(8080, "S", 50000));
  tcp_in(8080, "R", 50000);
  pass(Seconds{20'000});
  EXPECT_EQ(engine->counters().sessions, 0U);
  EXPECT_TRUE(tcp_in(8080, "S", 50001));
}

TEST_F(Nat64Test, an_explicit_mapping_ends_with_its_lifetime) {
  ASSERT_EQ(map(Protocol::udp, 4000, 4444, inside, Seconds{100}), 4444);
  pass(Seconds{99});
  EXPECT_EQ(map(Protocol::udp, 4000, 0, inside, Seconds{100}), 4444) << "renewed";
  pass(Seconds{99});
  EXPECT_EQ(engine->counters().explicit_bindings, 1U);
  pass(Seconds{2});
  EXPECT_EQ(engine->counters().explicit_bindings, 0U);
  EXPECT_FALSE(udp_in(4444));
}

TEST_F(Nat64Test, the_longest_lifetime_of_pcp_is_no_problem) {
  ASSERT_EQ(map(Protocol::udp, 4000, 4444, inside, Seconds{4294967295}), 4444);
  pass(Seconds{100'000});
  EXPECT_TRUE(udp_in(4444));
}

TEST_F(Nat64Test, removing_ends_reachability_at_once_even_while_old_connections_linger) {
  ASSERT_EQ(map(Protocol::tcp, 8080, 8080), 8080);
  ASSERT_TRUE(tcp_in(8080, "S", 50000));
  ASSERT_EQ(tcp_out(8080, "SA", inside, 50000), 8080);
  const auto removed = unmap(Protocol::tcp, 8080);
  ASSERT_TRUE(removed);
  EXPECT_EQ(removed->remaining, Seconds{0}) << "nothing was begun from inside";
  EXPECT_FALSE(tcp_in(8080, "S", 50001)) << "a new connection";
  EXPECT_TRUE(tcp_in(8080, "A", 50000)) << "the one at work";
  EXPECT_EQ(tcp_out(8080, "A", inside, 50000), 8080);
  EXPECT_NE(map(Protocol::tcp, 9090, 8080, other_inside), 8080) << "its port is not free for others";
  EXPECT_EQ(map(Protocol::tcp, 8080, 0), 8080) << "its owner has it back";
  EXPECT_TRUE(tcp_in(8080, "S", 50001));
}

TEST_F(Nat64Test, traffic_from_outside_alone_does_not_keep_a_removed_mapping) {
  ASSERT_EQ(map(Protocol::udp, 4000, 4000), 4000);
  ASSERT_TRUE(udp_in(4000));
  unmap(Protocol::udp, 4000);
  for (int i = 0; i < 4; ++i) {
    pass(Seconds{100});
    udp_in(4000);
  }
  EXPECT_EQ(engine->counters().bindings, 0U);
}

TEST_F(Nat64Test, sessions_begun_from_inside_keep_a_removed_mapping_as_an_implicit_one) {
  ASSERT_EQ(map(Protocol::udp, 4000, 4444), 4444);
  EXPECT_EQ(udp_out(4000), 4444);
  pass(Seconds{100});
  const auto removed = unmap(Protocol::udp, 4000);
  ASSERT_TRUE(removed);
  EXPECT_EQ(removed->remaining, Seconds{200});
  EXPECT_TRUE(udp_in(4444, "203.0.113.9", 9)) << "endpoint-independent filtering";
  ASSERT_TRUE(unmap(Protocol::udp, 4000)) << "answered like the first time";
  EXPECT_EQ(unmap(Protocol::udp, 4000)->external.port, Port{4444});
  EXPECT_EQ(udp_out(4000), 4444);
}

TEST_F(Nat64Test, a_removed_port_is_kept_for_its_owner_for_two_minutes) {
  ASSERT_EQ(map(Protocol::udp, 4000, 4444), 4444);
  ASSERT_TRUE(unmap(Protocol::udp, 4000));
  EXPECT_NE(map(Protocol::udp, 4000, 4444, other_inside), 4444);
  EXPECT_EQ(udp_out(4000), 4444) << "also for what the owner sends";
  ASSERT_EQ(map(Protocol::udp, 4000, 0), 4444);
  pass(Seconds{400});
  ASSERT_TRUE(unmap(Protocol::udp, 4000));
  pass(Seconds{119});
  EXPECT_EQ(engine->counters().hold_downs, 1U);
  pass(Seconds{2});
  EXPECT_EQ(engine->counters().hold_downs, 0U);
  EXPECT_EQ(map(Protocol::udp, 4001, 4444, other_inside), 4444);
}

TEST_F(Nat64Test, hold_downs_beyond_the_limit_free_the_oldest_port) {
  config.limits.hold_downs = 3;
  restart();
  for (std::uint16_t port = 4000; port < 4004; ++port) {
    ASSERT_EQ(map(Protocol::udp, port, port), port);
    ASSERT_TRUE(unmap(Protocol::udp, port));
  }
  EXPECT_EQ(engine->counters().hold_downs, 3U);
  EXPECT_EQ(engine->counters().hold_downs_cut, 1U);
  EXPECT_EQ(map(Protocol::udp, 4000, 4000, other_inside), 4000);
  EXPECT_NE(map(Protocol::udp, 4001, 4001, other_inside), 4001);
}

TEST_F(Nat64Test, tcp_data_passes_a_binding_without_a_session_and_opens_none) {
  ASSERT_EQ(map(Protocol::tcp, 8080, 8080), 8080);
  EXPECT_TRUE(tcp_in(8080, "A", 50000)) << "a connection that is older than we are";
  EXPECT_EQ(tcp_out(8080, "A", inside, 50000), 8080);
  EXPECT_EQ(engine->counters().sessions, 0U);
}

TEST_F(Nat64Test, an_echo_from_outside_reaches_who_pings_with_that_identifier) {
  EXPECT_EQ(send(PacketBuilder(far4, pool).echo_request(9).build()), "dropped: no_mapping");
  send(PacketBuilder(inside, far6).echo_request(9).build());
  EXPECT_NE(send(PacketBuilder("203.0.113.9", pool).echo_request(9).build()).find("echo request 9"),
            std::string::npos);
}

TEST_F(Nat64Test, two_hosts_pinging_with_one_identifier_are_told_apart) {
  send(PacketBuilder(inside, far6).echo_request(9).build());
  const auto out = send_raw(PacketBuilder(other_inside, far6).echo_request(9).payload("x").build());
  ASSERT_TRUE(out);
  const auto identifier = static_cast<std::uint16_t>((*out)[24] << 8U | (*out)[25]);
  EXPECT_NE(identifier, 9);
  EXPECT_EQ(send(PacketBuilder(far4, pool).echo_reply(identifier).payload("x").build()),
            "2001:db8:64:ff9b::c633:6407 > 2001:db8:113::3 echo reply 9 \"x\" ttl 63");
}

TEST_F(Nat64Test, hosts_inside_meet_at_their_external_addresses) {
  ASSERT_EQ(map(Protocol::udp, 4000, 4444), 4444);
  EXPECT_EQ(
      send(PacketBuilder(other_inside, "2001:db8:64:ff9b::192.0.2.14").udp(5000, 4444).payload("hi").build()),
      "[2001:db8:64:ff9b::c000:20e]:5000 > [2001:db8:112::2]:4000 udp \"hi\" ttl 62");
  EXPECT_EQ(send(PacketBuilder(inside, "2001:db8:64:ff9b::192.0.2.14").udp(4000, 5000).payload("ho").build()),
            "[2001:db8:64:ff9b::c000:20e]:4444 > [2001:db8:113::3]:5000 udp \"ho\" ttl 62");
  EXPECT_EQ(engine->counters().hairpinned, 2U);
  EXPECT_EQ(send(PacketBuilder(other_inside, "2001:db8:64:ff9b::192.0.2.14").udp(5000, 4445).build()),
            "dropped: no_mapping");
}

TEST_F(Nat64Test, hairpinned_superpackets_keep_their_family) {
  ASSERT_EQ(map(Protocol::tcp, 8080, 8080), 8080);
  Offload offload{.flags = Offload::needs_csum,
                  .gso_type = Offload::gso_tcpv6,
                  .hdr_len = 60,
                  .gso_size = 1440,
                  .csum_start = 40,
                  .csum_offset = 16};
  const auto out = send_raw(PacketBuilder(other_inside, "2001:db8:64:ff9b::192.0.2.14")
                                .tcp(5000, 8080, "S")
                                .payload_size(30000)
                                .partial_checksum()
                                .build(),
                            &offload);
  ASSERT_TRUE(out);
  EXPECT_EQ(offload.gso_type, Offload::gso_tcpv6);
  EXPECT_EQ(offload.csum_start, 40);
  EXPECT_EQ(offload.hdr_len, 60);
  EXPECT_EQ(describe(*out, offload),
            "[2001:db8:64:ff9b::c000:20e]:5000 > [2001:db8:112::2]:8080 tcp S +30000 ttl 62");
}

TEST_F(Nat64Test, an_error_about_a_hairpinned_packet_finds_its_way_back) {
  ASSERT_EQ(map(Protocol::udp, 4000, 4444), 4444);
  const auto arrived =
      send_raw(PacketBuilder(other_inside, "2001:db8:64:ff9b::192.0.2.14").udp(5000, 4444).build());
  ASSERT_TRUE(arrived);
  EXPECT_EQ(send(PacketBuilder(inside, "2001:db8:64:ff9b::192.0.2.14").icmp(1, 4, 0, *arrived).build()),
            "2001:db8:64:ff9b::c000:20e > 2001:db8:113::3 icmp 1/4 "
            "[[2001:db8:113::3]:5000 > [2001:db8:64:ff9b::c000:20e]:4444 udp ttl 62 size 48] ttl 62");
}

TEST_F(Nat64Test, limits_hold_at_limit_minus_one_limit_and_limit_plus_one) {
  config.limits.sessions_per_subscriber = 3;
  restart();
  EXPECT_NE(udp_out(4000), 0);
  EXPECT_NE(udp_out(4001), 0);
  EXPECT_NE(udp_out(4002), 0);
  EXPECT_EQ(send(PacketBuilder(inside, far6).udp(4003, 53).build()),
            "dropped: subscriber_sessions_exhausted");
  EXPECT_NE(take_output().find("icmp 1/3"), std::string::npos);
  EXPECT_EQ(engine->counters().bindings, 3U) << "and no binding is left behind";
  EXPECT_NE(udp_out(4003, other_inside), 0) << "others are not affected";
}

TEST_F(Nat64Test, a_flood_from_outside_cuts_neither_the_host_nor_its_mapping_off) {
  config.limits.sessions_per_subscriber = 8;
  restart();
  ASSERT_EQ(map(Protocol::udp, 5000, 5000), 5000);
  for (std::uint16_t stranger = 1; stranger <= 20; ++stranger) {
    EXPECT_TRUE(udp_in(5000, "203.0.113.9", stranger)) << "an explicit mapping lets everyone in, always";
    // The answer is a packet from inside, and yet the stranger's doing.
    EXPECT_EQ(udp_out(5000, inside, "2001:db8:64:ff9b::203.0.113.9", stranger), 5000);
  }
  EXPECT_EQ(engine->counters().sessions, 4U);
  EXPECT_EQ(engine->counters().without_session, 32U);

  const auto own = udp_out(4000);
  EXPECT_NE(own, 0) << "half is the host's own";
  EXPECT_FALSE(udp_in(own, "203.0.113.9", 1)) << "an implicit mapping needs sessions to stay";
  EXPECT_TRUE(udp_in(own));

  unmap(Protocol::udp, 5000);
  EXPECT_TRUE(udp_in(5000, "203.0.113.9", 1)) << "a session drains";
  EXPECT_FALSE(udp_in(5000, "203.0.113.9", 20)) << "without one nothing does";
}

TEST_F(Nat64Test, a_flood_of_connections_from_outside_fills_half_a_table) {
  config.limits.sessions = 8;
  restart();
  ASSERT_EQ(map(Protocol::tcp, 8080, 8080), 8080);
  for (std::uint16_t stranger = 1; stranger <= 20; ++stranger)
    EXPECT_TRUE(send_raw(PacketBuilder("203.0.113.9", pool).tcp(stranger, 8080, "S").build()));
  EXPECT_TRUE(send_raw(PacketBuilder(inside, "2001:db8:64:ff9b::203.0.113.9").tcp(8080, 20, "SA").build()));
  EXPECT_EQ(engine->counters().sessions, 4U);
  EXPECT_NE(udp_out(4000, other_inside), 0);
}

TEST_F(Nat64Test, tables_that_are_full_drop_and_never_evict) {
  struct Limit {
    const char* name;
    void (*set)(Limits&);
  };
  const std::vector<Limit> limits{
      {"sessions_exhausted", [](Limits& l) { l.sessions = 2; }},
      {"bindings_exhausted", [](Limits& l) { l.bindings = 2; }},
      {"subscribers_exhausted", [](Limits& l) { l.subscribers = 2; }},
  };
  const Limits usual = config.limits;
  for (const Limit& limit : limits) {
    config.limits = usual;
    limit.set(config.limits);
    restart();
    EXPECT_EQ(udp_out(4000, "2001:db8:113::1"), 4000);
    EXPECT_EQ(udp_out(4001, "2001:db8:113::2"), 4001);
    EXPECT_EQ(send(PacketBuilder("2001:db8:113::3", far6).udp(4002, 53).build()),
              "dropped: " + std::string(limit.name));
    EXPECT_NE(take_output().find("icmp 1/3"), std::string::npos);
    EXPECT_TRUE(udp_in(4000) && udp_in(4001)) << limit.name;
  }
}

TEST_F(Nat64Test, an_exhausted_address_is_told_and_not_replaced_by_another) {
  config.pool = {*Ipv4Address::parse(pool), *Ipv4Address::parse("192.0.2.15")};
  config.first_port = Port{65533};
  restart();
  const auto first = send_raw(PacketBuilder(inside, far6).tcp(4000, 80, "S").build());
  ASSERT_TRUE(first);
  EXPECT_TRUE(send_raw(PacketBuilder(inside, far6).tcp(4001, 80, "S").build()));
  EXPECT_TRUE(send_raw(PacketBuilder(inside, far6).tcp(4002, 80, "S").build()));
  EXPECT_EQ(send(PacketBuilder(inside, far6).tcp(4003, 80, "S").build()), "dropped: ports_exhausted");
  EXPECT_NE(take_output().find("icmp 1/3"), std::string::npos);
  EXPECT_EQ(engine->counters().sessions, 3U);
  // A host without bindings may have the other address.
  for (int host = 10; host < 20; ++host) {
    const auto from = "2001:db8:113::" + std::to_string(host);
    const auto out = send_raw(PacketBuilder(from, far6).tcp(1, 80, "S").build());
    if (out) {
      EXPECT_NE(load32(out->data() + 12), load32(first->data() + 12));
    }
  }
  EXPECT_EQ(engine->counters().sessions, 6U);
}

TEST_F(Nat64Test, an_exact_port_may_lie_on_any_address_if_none_is_named) {
  config.pool = {*Ipv4Address::parse(pool), *Ipv4Address::parse("192.0.2.15")};
  restart();
  std::set<std::uint32_t> addresses;
  for (const char* host : {inside, other_inside}) {
    const auto made =
        engine->install(now, key(Protocol::udp, 4000, host),
                        {.external_address = {}, .external_port = Port{4444}, .exact = true}, Seconds{100});
    ASSERT_TRUE(made);
    addresses.insert(made->external.address.value);
  }
  EXPECT_EQ(addresses.size(), 2U);
  const auto third =
      engine->install(now, key(Protocol::udp, 4000, "2001:db8::9"),
                      {.external_address = {}, .external_port = Port{4444}, .exact = true}, Seconds{100});
  ASSERT_FALSE(third);
  EXPECT_EQ(third.error(), InstallError::cannot_provide_external);
}

TEST_F(Nat64Test, what_cannot_be_mapped_is_refused_as_such) {
  const auto refusal = [&](const MappingKey& wanted) {
    const auto made = engine->install(now, wanted, {}, Seconds{100});
    return made ? std::string("made") : std::string(to_string(made.error()));
  };
  EXPECT_EQ(refusal(key(Protocol::icmpv6, 5)), "unsupported protocol");
  EXPECT_EQ(refusal(key(Protocol::udp, 0)), "unsupported protocol");
  EXPECT_EQ(refusal(key(Protocol::udp, 1, "192.0.2.1")), "not an inside address");
  EXPECT_EQ(refusal(key(Protocol::udp, 1, "2001:db8:64:ff9b::1")), "not an inside address");
  EXPECT_EQ(refusal(key(Protocol::udp, 1, "ff02::1")), "not an inside address");
  auto realm = key(Protocol::udp, 1);
  realm.realm = Realm{1};
  EXPECT_EQ(refusal(realm), "not an inside address");
  config.pool.clear();
  restart();
  EXPECT_EQ(refusal(key(Protocol::udp, 1)), "network failure");
}

TEST_F(Nat64Test, the_well_known_prefix_carries_global_addresses_only) {
  config.prefix = *Prefix::parse("64:ff9b::/96");
  config.pool = {*Ipv4Address::parse("9.9.9.9")};
  restart();
  EXPECT_EQ(send(PacketBuilder(inside, "64:ff9b::10.0.0.1").udp(4000, 53).build()),
            "dropped: non_global_ipv4");
  EXPECT_EQ(send(PacketBuilder(inside, "64:ff9b::8.8.8.8").udp(4000, 53).build()),
            "9.9.9.9:4000 > 8.8.8.8:53 udp ttl 63");
  EXPECT_EQ(send(PacketBuilder("10.0.0.1", "9.9.9.9").udp(53, 4000).build()), "dropped: non_global_ipv4");
  EXPECT_NE(send(PacketBuilder("10.0.0.1", "9.9.9.9")
                     .icmp(11, 0, 0, PacketBuilder("9.9.9.9", "8.8.8.8").udp(4000, 53).build())
                     .build())
                .find("icmp 3/0"),
            std::string::npos)
      << "but errors from routers with private addresses pass";
}

TEST_F(Nat64Test, prefixes_of_all_lengths_translate_both_ways_whatever_the_suffix) {
  for (const auto& [prefix, destination] : std::vector<std::pair<const char*, const char*>>{
           {"2001:db8::/32", "2001:db8:c633:6407::"},
           {"2001:db8:100::/40", "2001:db8:1c6:3364:7::"},
           {"2001:db8:122::/48", "2001:db8:122:c633:64:700::"},
           {"2001:db8:122:300::/56", "2001:db8:122:3c6:33:6407::"},
           {"2001:db8:122:344::/64", "2001:db8:122:344:c6:3364:700::"},
           {"2001:db8:122:344::/64", "2001:db8:122:344:c6:3364:7aa:bbcc"}}) {
    SCOPED_TRACE(destination);
    config.prefix = *Prefix::parse(prefix);
    restart();
    const char* host = "2001:db9::2";
    EXPECT_EQ(send(PacketBuilder(host, destination).udp(4000, 53).payload("there").build()),
              "192.0.2.14:4000 > 198.51.100.7:53 udp \"there\" ttl 63");
    EXPECT_EQ(send(PacketBuilder(host, destination).udp(4000, 53).payload("again").build()),
              "192.0.2.14:4000 > 198.51.100.7:53 udp \"again\" ttl 63");
    const auto back = send(PacketBuilder(far4, pool).udp(53, 4000).payload("back").build());
    EXPECT_NE(back.find("]:53 > [2001:db9::2]:4000 udp \"back\" ttl 63"), std::string::npos) << back;
    EXPECT_EQ(back.find("BAD"), std::string::npos) << back;
  }
}

TEST_F(Nat64Test, advance_does_a_bounded_amount_at_a_time) {
  config.limits.bindings = config.limits.sessions = config.limits.sessions_per_subscriber = 5000;
  restart();
  for (std::uint16_t i = 0; i < 3000; ++i) {
    Octets packet = PacketBuilder(inside, far6).udp(static_cast<std::uint16_t>(2000 + i), 53).build();
    Octets buffer(Frame::headroom_min);
    buffer.insert(buffer.end(), packet.begin(), packet.end());
    Frame frame{.buffer = std::as_writable_bytes(std::span(buffer)),
                .offset = Frame::headroom_min,
                .size = packet.size(),
                .offload = {}};
    const Verdict sent = engine->process(now, frame);
    ASSERT_EQ(sent.action, Action::forward) << i << " " << to_string(sent.reason);
  }
  now += Seconds{301};
  engine->advance(now);
  EXPECT_EQ(engine->counters().sessions, 3000U - 256U);
  ASSERT_TRUE(engine->next_deadline());
  EXPECT_LE(*engine->next_deadline(), now) << "there is more to do at once";
  for (int i = 0; i < 11; ++i) engine->advance(now);
  EXPECT_EQ(engine->counters().sessions, 0U);
}

TEST_F(Nat64Test, an_idle_translator_has_no_deadline) {
  EXPECT_FALSE(engine->next_deadline());
  udp_out(4000);
  EXPECT_TRUE(engine->next_deadline());
  pass(Seconds{1000});
  EXPECT_FALSE(engine->next_deadline());
}

}  // namespace
}  // namespace portolan::nat::test
