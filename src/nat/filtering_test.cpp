// SPDX-License-Identifier: BSD-2-Clause
//
// Who may begin something from outside (RFC 6146 s3.5.1, s3.5.2.2, s3.5.3): address-dependent filtering,
// SYNs that wait for one from inside, and what strangers are told.
#include <gtest/gtest.h>

#include "nat/contacts.h"
#include "nat/testing/engine_fixture.h"
#include "nat/waiting_syns.h"

namespace portolan::nat::test {
namespace {

constexpr const char* other4 = "203.0.113.9";
constexpr const char* other6 = "2001:db8:64:ff9b::203.0.113.9";
constexpr const char* pool6 = "2001:db8:64:ff9b::192.0.2.14";

class Filtered : public Engine {
 protected:
  Filtered() {
    config.filtering = {.udp = Filtering::address_dependent,
                        .tcp = Filtering::address_dependent,
                        .icmp = Filtering::address_dependent};
    restart();
  }
  auto udp_in(std::uint16_t external, const char* from, std::uint16_t from_port) -> std::string {
    return send(PacketBuilder(from, pool).udp(from_port, external).build());
  }
  auto syn_in(std::uint16_t external, const char* from = far4, std::uint16_t from_port = 80) -> std::string {
    return send(PacketBuilder(from, pool).tcp(from_port, external, "S").build());
  }
  auto syn_out(std::uint16_t port, const char* to = far6, std::uint16_t to_port = 80) -> std::string {
    return send(PacketBuilder(inside, to).tcp(port, to_port, "S").build());
  }
};

TEST_F(Filtered, an_address_that_was_sent_to_may_send_from_any_port) {
  send(PacketBuilder(inside, far6).udp(4000, 53).build());
  EXPECT_EQ(udp_in(4000, far4, 5353),
            "[2001:db8:64:ff9b::c633:6407]:5353 > [2001:db8:112::2]:4000 udp ttl 63");
  EXPECT_EQ(udp_in(4000, other4, 53), "dropped: filtered");
  EXPECT_EQ(
      take_output(),
      "192.0.2.14 > 203.0.113.9 icmp 3/13 [203.0.113.9:53 > 192.0.2.14:4000 udp ttl 64 size 28] ttl 64");
  EXPECT_EQ(engine->counters().sessions, 2U);
}

TEST_F(Filtered, an_address_may_send_as_long_as_there_is_a_session_with_it) {
  send(PacketBuilder(inside, far6).udp(4000, 53).build());
  send(PacketBuilder(inside, far6).udp(4000, 54).build());
  pass(Seconds{200});
  send(PacketBuilder(inside, other6).udp(4000, 53).build());
  send(PacketBuilder(inside, far6).udp(4000, 54).build());
  pass(Seconds{200});
  EXPECT_EQ(engine->counters().sessions, 2U) << "the first is over";
  EXPECT_NE(udp_in(4000, far4, 53), "dropped: filtered");
  pass(Seconds{301});
  send(PacketBuilder(inside, other6).udp(4000, 53).build());
  EXPECT_EQ(udp_in(4000, far4, 53), "dropped: filtered");
}

TEST_F(Filtered, strangers_are_told_nothing_if_so_configured) {
  config.answers_unsolicited = false;
  restart();
  send(PacketBuilder(inside, far6).udp(4000, 53).build());
  syn_out(4000);
  EXPECT_EQ(udp_in(4000, other4, 53), "dropped: filtered");
  EXPECT_EQ(syn_in(4000, other4), "dropped: filtered");
  EXPECT_EQ(syn_in(4001, other4), "dropped: no_mapping");
  pass(Seconds{10});
  EXPECT_EQ(take_output(), "");
}

TEST_F(Filtered, each_protocol_has_filtering_of_its_own) {
  for (const Base base : {Base::udp, Base::tcp, Base::icmp}) {
    config.filtering = {};
    (base == Base::udp   ? config.filtering.udp
     : base == Base::tcp ? config.filtering.tcp
                         : config.filtering.icmp) = Filtering::address_dependent;
    restart();
    send(PacketBuilder(inside, far6).udp(4000, 53).build());
    syn_out(4000);
    send(PacketBuilder(inside, far6).echo_request(7).build());
    EXPECT_EQ(udp_in(4000, other4, 53) == "dropped: filtered", base == Base::udp);
    EXPECT_EQ(syn_in(4000, other4) == "dropped: unsolicited_syn", base == Base::tcp);
    EXPECT_EQ(send(PacketBuilder(other4, pool).echo_request(7).build()) == "dropped: filtered",
              base == Base::icmp);
  }
}

TEST_F(Filtered, echo_requests_of_strangers_are_answered_as_prohibited) {
  send(PacketBuilder(inside, far6).echo_request(7).build());
  EXPECT_EQ(send(PacketBuilder(other4, pool).echo_request(7).build()), "dropped: filtered");
  EXPECT_EQ(
      take_output(),
      "192.0.2.14 > 203.0.113.9 icmp 3/13 [203.0.113.9 > 192.0.2.14 echo request 7 ttl 64 size 28] ttl 64");
  EXPECT_EQ(send(PacketBuilder(far4, pool).echo_reply(7).build()),
            "2001:db8:64:ff9b::c633:6407 > 2001:db8:112::2 echo reply 7 ttl 63");
}

TEST_F(Filtered, mappings_of_the_server_let_everyone_in) {
  ASSERT_EQ(map(Protocol::udp, 4000, 4000), 4000);
  ASSERT_EQ(map(Protocol::tcp, 8080, 8080), 8080);
  EXPECT_NE(udp_in(4000, other4, 53), "dropped: filtered");
  EXPECT_EQ(syn_in(8080, other4), "[2001:db8:64:ff9b::cb00:7109]:80 > [2001:db8:112::2]:8080 tcp S ttl 63");
  send(PacketBuilder(inside, far6).udp(4000, 53).build());
  unmap(Protocol::udp, 4000);
  EXPECT_NE(udp_in(4000, other4, 53), "dropped: filtered") << "its session is still there";
  EXPECT_EQ(udp_in(4000, "203.0.113.10", 53), "dropped: filtered") << "only an implicit binding is left";
}

TEST_F(Filtered, data_of_strangers_is_filtered_silently) {
  syn_out(4000);
  EXPECT_EQ(send(PacketBuilder(other4, pool).tcp(80, 4000, "A").build()), "dropped: filtered");
  EXPECT_EQ(send(PacketBuilder(other4, pool).tcp(80, 4000, "SA").build()), "dropped: filtered");
  pass(Seconds{10});
  EXPECT_EQ(take_output(), "");
  EXPECT_NE(send(PacketBuilder(far4, pool).tcp(81, 4000, "A").build()), "dropped: filtered")
      << "an address that was sent to";
}

TEST_F(Filtered, errors_are_translated_if_they_are_about_what_was_sent) {
  send(PacketBuilder(inside, far6).udp(4000, 53).build());
  const auto about = [&](const char* to, std::uint16_t port) {
    return send(PacketBuilder("203.0.113.1", pool)
                    .icmp(11, 0, 0, PacketBuilder(pool, to).udp(4000, port).build())
                    .build());
  };
  EXPECT_NE(about(far4, 53).find("icmp 3/0"), std::string::npos) << "whoever sends them";
  EXPECT_NE(about(far4, 54).find("icmp 3/0"), std::string::npos);
  EXPECT_EQ(about(other4, 53), "dropped: filtered");
  EXPECT_EQ(take_output(), "");
}

TEST_F(Filtered, hosts_inside_meet_once_both_have_sent) {
  send(PacketBuilder(inside, far6).udp(4000, 53).build());
  EXPECT_EQ(send(PacketBuilder(other_inside, pool6).udp(5000, 4000).build()), "dropped: filtered");
  EXPECT_EQ(take_output(),
            "2001:db8:64:ff9b::c000:20e > 2001:db8:113::3 icmp 1/1 "
            "[[2001:db8:113::3]:5000 > [2001:db8:64:ff9b::c000:20e]:4000 udp ttl 63 size 48] ttl 63")
      << "told in its own family";
  EXPECT_EQ(send(PacketBuilder(inside, pool6).udp(4000, 5000).build()),
            "[2001:db8:64:ff9b::c000:20e]:4000 > [2001:db8:113::3]:5000 udp ttl 62");
  EXPECT_EQ(send(PacketBuilder(other_inside, pool6).udp(5000, 4000).build()),
            "[2001:db8:64:ff9b::c000:20e]:5000 > [2001:db8:112::2]:4000 udp ttl 62");
}

TEST_F(Filtered, a_peer_the_server_wants_is_let_in) {
  ASSERT_TRUE(engine->install_peer(now, key(Protocol::udp, 4000), {*IpAddress::parse(other6), Port{53}}, {},
                                   Seconds{1000}));
  EXPECT_NE(udp_in(4000, other4, 53), "dropped: filtered");
  EXPECT_EQ(udp_in(4000, far4, 53), "dropped: filtered");
}

// Simultaneous open, edge by edge: RFC 6146 s3.5.2.2 CLOSED and V4 INIT, RFC 5382 s4.3 REQ-4.

class SimultaneousOpen : public Engine {
 protected:
  auto syn_in(const char* from = far4, std::uint16_t external = 4000, std::uint16_t from_port = 80)
      -> std::string {
    return send(PacketBuilder(from, pool).tcp(from_port, external, "S").payload("").build());
  }
  auto tcp_in(const char* flags) -> std::string {
    return send(PacketBuilder(far4, pool).tcp(80, 4000, flags).build());
  }
  auto tcp_out(const char* flags, const char* to = far6) -> std::string {
    return send(PacketBuilder(inside, to).tcp(4000, 80, flags).build());
  }
};

TEST_F(SimultaneousOpen, a_syn_nobody_waits_for_is_answered_after_6_seconds_and_not_before) {
  EXPECT_EQ(syn_in(), "dropped: unsolicited_syn");
  EXPECT_EQ(engine->counters().bindings, 0U);
  EXPECT_EQ(engine->counters().waiting_syns, 1U);
  pass(Milliseconds{5999});
  EXPECT_EQ(take_output(), "");
  pass(Milliseconds{1});
  EXPECT_EQ(
      take_output(),
      "192.0.2.14 > 198.51.100.7 icmp 3/3 [198.51.100.7:80 > 192.0.2.14:4000 tcp S ttl 64 size 40] ttl 64");
  EXPECT_EQ(engine->counters().waiting_syns, 0U);
  EXPECT_FALSE(engine->next_deadline());
}

TEST_F(SimultaneousOpen, a_syn_from_inside_meets_one_from_outside) {
  EXPECT_EQ(syn_in(), "dropped: unsolicited_syn");
  pass(Seconds{3});
  EXPECT_EQ(tcp_out("S"), "192.0.2.14:4000 > 198.51.100.7:80 tcp S ttl 63");
  EXPECT_EQ(engine->counters().simultaneous_opens, 1U);
  EXPECT_EQ(engine->counters().waiting_syns, 0U);
  // The sender outside sends its SYN again; both answer the other's.
  EXPECT_EQ(syn_in(), "[2001:db8:64:ff9b::c633:6407]:80 > [2001:db8:112::2]:4000 tcp S ttl 63");
  EXPECT_EQ(tcp_out("SA"), "192.0.2.14:4000 > 198.51.100.7:80 tcp SA ttl 63");
  EXPECT_EQ(tcp_in("SA"), "[2001:db8:64:ff9b::c633:6407]:80 > [2001:db8:112::2]:4000 tcp SA ttl 63");
  pass(Seconds{7000});
  EXPECT_EQ(take_output(), "") << "the first SYN is dropped silently";
  EXPECT_EQ(engine->counters().sessions, 1U) << "established";
}

TEST_F(SimultaneousOpen, v4_init_and_a_syn_from_inside_are_established) {
  syn_in();
  tcp_out("S");
  pass(Seconds{7199});
  EXPECT_EQ(engine->counters().sessions, 1U) << "for longer than an opening connection lasts";
  EXPECT_EQ(engine->counters().probes_sent, 0U);
}

TEST_F(SimultaneousOpen, the_inside_may_be_first) {
  tcp_out("S");
  EXPECT_EQ(syn_in(), "[2001:db8:64:ff9b::c633:6407]:80 > [2001:db8:112::2]:4000 tcp S ttl 63");
  EXPECT_EQ(tcp_out("SA"), "192.0.2.14:4000 > 198.51.100.7:80 tcp SA ttl 63");
  pass(Seconds{7000});
  EXPECT_EQ(engine->counters().sessions, 1U);
}

TEST_F(SimultaneousOpen, a_filtered_syn_waits_too) {
  config.filtering.tcp = Filtering::address_dependent;
  restart();
  tcp_out("S", other6);
  EXPECT_EQ(syn_in(), "dropped: unsolicited_syn");
  EXPECT_EQ(engine->counters().sessions, 1U);
  EXPECT_EQ(tcp_out("S"), "192.0.2.14:4000 > 198.51.100.7:80 tcp S ttl 63");
  EXPECT_EQ(engine->counters().simultaneous_opens, 1U);
  EXPECT_NE(syn_in().find("tcp S"), std::string::npos);
  pass(Seconds{10});
  EXPECT_EQ(take_output(), "");
}

TEST_F(SimultaneousOpen, a_syn_that_a_filter_of_the_server_drops_waits_too) {
  const RemoteFilter filter{.remote_peers = Prefix{*IpAddress::parse(other6), 128}, .remote_port = {}};
  ASSERT_TRUE(engine->install(now, key(Protocol::tcp, 4000),
                              {.external_address = {}, .external_port = Port{4000}, .exact = true},
                              Seconds{100}, {.filters = std::span(&filter, 1)}));
  EXPECT_EQ(syn_in(), "dropped: unsolicited_syn");
  pass(Seconds{6});
  EXPECT_NE(take_output().find("icmp 3/3"), std::string::npos);
}

TEST_F(SimultaneousOpen, a_syn_from_inside_to_another_port_meets_nobody) {
  syn_in();
  send(PacketBuilder(inside, far6).tcp(4000, 81, "S").build());
  EXPECT_EQ(engine->counters().simultaneous_opens, 0U);
  EXPECT_EQ(engine->counters().waiting_syns, 1U);
}

TEST_F(SimultaneousOpen, a_syn_sent_again_is_answered_once_for_the_first) {
  syn_in();
  pass(Seconds{3});
  EXPECT_EQ(syn_in(), "dropped: unsolicited_syn");
  EXPECT_EQ(engine->counters().waiting_syns, 1U);
  pass(Seconds{3});
  EXPECT_NE(take_output(), "");
  pass(Seconds{10});
  EXPECT_EQ(take_output(), "");
}

TEST_F(SimultaneousOpen, a_syn_let_in_later_is_not_answered_any_more) {
  syn_in();
  ASSERT_EQ(map(Protocol::tcp, 4000, 4000), 4000);
  pass(Seconds{1});
  EXPECT_NE(syn_in().find("tcp S"), std::string::npos);
  pass(Seconds{10});
  EXPECT_EQ(take_output(), "");
}

TEST_F(SimultaneousOpen, nobody_answers_from_an_address_that_left_the_pool) {
  syn_in();
  engine->set_pool(now, {*Ipv4Address::parse("192.0.2.15")});
  pass(Seconds{10});
  EXPECT_EQ(take_output(), "");
  EXPECT_EQ(engine->counters().waiting_syns, 0U);
}

TEST_F(SimultaneousOpen, a_host_inside_that_nobody_waits_for_is_told_in_its_own_family) {
  EXPECT_EQ(send(PacketBuilder(inside, pool6).tcp(4000, 4001, "S").build()), "dropped: unsolicited_syn");
  pass(Seconds{6});
  EXPECT_EQ(take_output(),
            "2001:db8:64:ff9b::c000:20e > 2001:db8:112::2 icmp 1/4 "
            "[[2001:db8:112::2]:4000 > [2001:db8:64:ff9b::c000:20e]:4001 tcp S ttl 63 size 60] ttl 63");
}

TEST_F(SimultaneousOpen, only_a_syn_waits) {
  for (const char* flags : {"SA", "A", "R", "F", "RS", "FS"}) EXPECT_EQ(tcp_in(flags), "dropped: no_mapping");
  EXPECT_EQ(engine->counters().waiting_syns, 0U);
}

TEST_F(SimultaneousOpen, as_many_wait_as_there_is_room_for_and_none_makes_room) {
  config.limits.waiting_syns = 3;
  restart();
  for (std::uint16_t port = 1; port <= 2; ++port) syn_in(far4, 4000, port);
  EXPECT_EQ(engine->counters().waiting_syns, 2U);
  EXPECT_EQ(syn_in(far4, 4000, 3), "dropped: unsolicited_syn");
  EXPECT_EQ(syn_in(far4, 4000, 4), "dropped: no_mapping");
  EXPECT_EQ(engine->counters().waiting_syns, 3U);
  EXPECT_EQ(engine->counters().syns_lost, 1U);
  pass(Seconds{6});
  for (int i = 0; i < 3; ++i) EXPECT_NE(take_output(), "");
  EXPECT_EQ(take_output(), "");
  EXPECT_EQ(syn_in(far4, 4000, 4), "dropped: unsolicited_syn");
}

TEST_F(SimultaneousOpen, many_are_answered_as_the_output_is_taken) {
  for (std::uint16_t port = 1; port <= 100; ++port) syn_in(far4, 4000, port);
  now += Seconds{6};
  engine->advance(now);
  EXPECT_EQ(engine->counters().waiting_syns, 36U);
  EXPECT_LE(*engine->next_deadline(), now);
  for (int i = 0; i < 64; ++i) EXPECT_NE(take_output(), "");
  engine->advance(now);
  EXPECT_EQ(engine->counters().waiting_syns, 0U);
  EXPECT_EQ(engine->counters().outputs_lost, 0U);
}

TEST_F(SimultaneousOpen, the_quoted_syn_is_as_it_came) {
  config.mss_max = 1360;
  restart();
  const auto syn = PacketBuilder(far4, pool)
                       .tcp(80, 4000, "S")
                       .tcp_options({2, 4, 0x05, 0xb4, 1, 1, 4, 2})
                       .ipv4_options(Octets(40, 1))
                       .payload_size(200)
                       .build();
  send(syn);
  pass(Seconds{6});
  const auto output = engine->output();
  ASSERT_EQ(output.size(), 20U + 8 + WaitingSyns::octets_max);
  EXPECT_TRUE(
      std::ranges::equal(std::as_bytes(std::span(syn)).first(WaitingSyns::octets_max), output.subspan(28)));
}

TEST_F(SimultaneousOpen, opening_and_closing_have_times_of_their_own) {
  config.timeouts.tcp_opening = Seconds{30};
  config.timeouts.tcp_closing = Seconds{300};
  restart();
  tcp_out("S");
  pass(Seconds{29});
  EXPECT_EQ(engine->counters().sessions, 1U);
  pass(Seconds{2});
  EXPECT_EQ(engine->counters().sessions, 0U);
  tcp_out("S");
  tcp_in("SA");
  tcp_out("FA");
  tcp_in("FA");
  pass(Seconds{299});
  EXPECT_EQ(engine->counters().sessions, 1U);
  pass(Seconds{2});
  EXPECT_EQ(engine->counters().sessions, 0U);
  tcp_out("S");
  tcp_in("SA");
  tcp_out("R");
  pass(Seconds{299});
  EXPECT_EQ(engine->counters().sessions, 1U);
  pass(Seconds{2});
  EXPECT_EQ(engine->counters().sessions, 0U);
}

TEST(Contacts, are_counted_by_session) {
  SeededRandom random{1};
  Contacts contacts(2, random);
  EXPECT_FALSE(contacts.has(1, 7));
  contacts.add(1, 7);
  contacts.add(1, 7);
  contacts.add(2, 7);
  EXPECT_EQ(contacts.sessions(1, 7), 2U);
  contacts.remove(1, 7);
  EXPECT_TRUE(contacts.has(1, 7));
  contacts.remove(1, 7);
  EXPECT_FALSE(contacts.has(1, 7));
  EXPECT_TRUE(contacts.has(2, 7));
  contacts.add(1, 8);
  EXPECT_EQ(contacts.size(), 2U);
}

}  // namespace
}  // namespace portolan::nat::test
