// SPDX-License-Identifier: BSD-2-Clause
//
// Packet in, packet out: the rules of RFC 7915 one by one.
#include <gtest/gtest.h>

#include "nat/testing/engine_fixture.h"

namespace portolan::nat::test {
namespace {

struct Case {
  const char* caption;
  PacketBuilder in;
  std::string out;
};

class Translation : public Engine {
 protected:
  void SetUp() override {
    // Inside endpoints with known external ports, and one echo identifier.
    map(Protocol::tcp, 8080, 8080);
    map(Protocol::udp, 4000, 4000);
    send(PacketBuilder(inside, far6).echo_request(77).build());
  }
  void run(const std::vector<Case>& cases) {
    for (const Case& each : cases) {
      SCOPED_TRACE(each.caption);
      EXPECT_EQ(send(each.in.build()), each.out);
    }
  }
};

auto from_inside() -> PacketBuilder { return {Engine::inside, Engine::far6}; }
auto from_outside() -> PacketBuilder { return {Engine::far4, Engine::pool}; }

TEST_F(Translation, ipv6_headers_become_ipv4_headers) {
  run({
      {"UDP; the hop limit is decremented", from_inside().udp(4000, 53).payload("query"),
       "192.0.2.14:4000 > 198.51.100.7:53 udp \"query\" ttl 63"},
      {"odd payload", from_inside().udp(4000, 53).payload("odd"),
       "192.0.2.14:4000 > 198.51.100.7:53 udp \"odd\" ttl 63"},
      {"traffic class becomes TOS, ECN included", from_inside().udp(4000, 53).tos(0xb9),
       "192.0.2.14:4000 > 198.51.100.7:53 udp ttl 63 tos 0xb9"},
      {"TCP", from_inside().tcp(8080, 80, "S"), "192.0.2.14:8080 > 198.51.100.7:80 tcp S ttl 63"},
      {"echo request", from_inside().echo_request(77).payload("ping"),
       "192.0.2.14 > 198.51.100.7 echo request 77 \"ping\" ttl 63"},
      {"1260 octets may be fragmented", from_inside().udp(4000, 53).payload_size(1232),
       "192.0.2.14:4000 > 198.51.100.7:53 udp +1232 ttl 63"},
      {"1261 octets may not", from_inside().udp(4000, 53).payload_size(1233),
       "192.0.2.14:4000 > 198.51.100.7:53 udp +1233 ttl 63 DF"},
  });
}

TEST_F(Translation, ipv4_headers_become_ipv6_headers) {
  run({
      {"UDP", from_outside().udp(53, 4000).payload("answer"),
       "[2001:db8:64:ff9b::c633:6407]:53 > [2001:db8:112::2]:4000 udp \"answer\" ttl 63"},
      {"UDP without checksum gets one", from_outside().udp(53, 4000).payload("odd").zero_checksum(),
       "[2001:db8:64:ff9b::c633:6407]:53 > [2001:db8:112::2]:4000 udp \"odd\" ttl 63"},
      {"TOS becomes traffic class", from_outside().udp(53, 4000).tos(0x2e),
       "[2001:db8:64:ff9b::c633:6407]:53 > [2001:db8:112::2]:4000 udp ttl 63 tos 0x2e"},
      {"TCP", from_outside().tcp(50000, 8080, "S").dont_fragment(),
       "[2001:db8:64:ff9b::c633:6407]:50000 > [2001:db8:112::2]:8080 tcp S ttl 63"},
      {"echo reply", from_outside().echo_reply(77).payload("pong"),
       "2001:db8:64:ff9b::c633:6407 > 2001:db8:112::2 echo reply 77 \"pong\" ttl 63"},
      {"echo request to a binding", from_outside().echo_request(77),
       "2001:db8:64:ff9b::c633:6407 > 2001:db8:112::2 echo request 77 ttl 63"},
      {"options are ignored", from_outside().udp(53, 4000).ipv4_options({7, 7, 4, 0, 0, 0, 0, 0}),
       "[2001:db8:64:ff9b::c633:6407]:53 > [2001:db8:112::2]:4000 udp ttl 63"},
      {"a used-up source route is ignored",
       from_outside().udp(53, 4000).ipv4_options({131, 7, 8, 1, 2, 3, 4, 0}),
       "[2001:db8:64:ff9b::c633:6407]:53 > [2001:db8:112::2]:4000 udp ttl 63"},
  });
}

TEST_F(Translation, the_ds_field_is_cleared_if_so_configured_and_ecn_never) {
  config.copies_traffic_class = false;
  restart();
  SetUp();
  run({
      {"to IPv4", from_inside().udp(4000, 53).tos(0xb8), "192.0.2.14:4000 > 198.51.100.7:53 udp ttl 63"},
      {"to IPv4, congestion experienced", from_inside().udp(4000, 53).tos(0xbb),
       "192.0.2.14:4000 > 198.51.100.7:53 udp ttl 63 tos 0x3"},
      {"to IPv6", from_outside().udp(53, 4000).tos(0x2e),
       "[2001:db8:64:ff9b::c633:6407]:53 > [2001:db8:112::2]:4000 udp ttl 63 tos 0x2"},
  });
}

TEST_F(Translation, udp_without_checksum_is_dropped_if_so_configured) {
  config.completes_udp_checksums = false;
  restart();
  SetUp();
  run({
      {"none", from_outside().udp(53, 4000).zero_checksum(), "dropped: bad_checksum"},
      {"one", from_outside().udp(53, 4000),
       "[2001:db8:64:ff9b::c633:6407]:53 > [2001:db8:112::2]:4000 udp ttl 63"},
  });
}

TEST_F(Translation, extension_headers_are_stepped_over) {
  const Octets empty(8);
  Octets padded(16);
  padded[1] = 1;
  const std::string out = "192.0.2.14:4000 > 198.51.100.7:53 udp \"x\" ttl 63";
  run({
      {"hop-by-hop", from_inside().udp(4000, 53).payload("x").extension(0, empty), out},
      {"destination options of 16 octets", from_inside().udp(4000, 53).payload("x").extension(60, padded),
       out},
      {"routing header without segments left", from_inside().udp(4000, 53).payload("x").extension(43, empty),
       out},
      {"three of them",
       from_inside().udp(4000, 53).payload("x").extension(0, empty).extension(43, empty).extension(60,
                                                                                                   padded),
       out},
      {"atomic fragment", from_inside().udp(4000, 53).payload("x").fragment_field(0), out},
  });
}

TEST_F(Translation, an_atomic_fragment_keeps_its_identification_and_may_be_fragmented) {
  const auto out = send_raw(
      from_inside().udp(4000, 53).payload_size(1300).fragment_field(0).identification(0xbeef).build());
  ASSERT_TRUE(out);
  EXPECT_EQ((*out)[4], 0xbe);
  EXPECT_EQ((*out)[5], 0xef);
  EXPECT_EQ((*out)[6], 0) << "DF";
}

TEST_F(Translation, a_udp_checksum_that_comes_out_as_zero_is_written_as_ffff) {
  // Some payload word makes the IPv4 checksum zero; try them all.
  int met = 0;
  for (unsigned word = 0; word < 0x10000; ++word) {
    const Octets payload{static_cast<std::uint8_t>(word >> 8U), static_cast<std::uint8_t>(word)};
    const auto out = send_raw(from_inside().udp(4000, 53).payload(payload).build());
    ASSERT_TRUE(out);
    ASSERT_EQ(find_fault(*out), "");
    if ((*out)[26] == 0xff && (*out)[27] == 0xff) ++met;
    ASSERT_FALSE((*out)[26] == 0 && (*out)[27] == 0);
  }
  EXPECT_GT(met, 0);
}

TEST_F(Translation, octets_behind_the_ip_packet_are_not_sent_on) {
  auto packet = from_inside().udp(4000, 53).payload("x").build();
  packet.resize(packet.size() + 9);
  EXPECT_EQ(send(packet), "192.0.2.14:4000 > 198.51.100.7:53 udp \"x\" ttl 63");
}

struct Drop {
  const char* caption;
  PacketBuilder in;
  DropReason reason;
  std::string error;  // to the sender
};

TEST_F(Translation, a_large_segment_size_is_lowered_if_so_configured) {
  const auto option_of = [&](const PacketBuilder& builder, std::size_t header_size, std::size_t at) {
    const auto out = send_raw(builder.build());
    EXPECT_TRUE(out);
    if (!out) return 0;
    EXPECT_EQ(find_fault(*out), "");
    return (*out)[header_size + at] << 8U | (*out)[header_size + at + 1];
  };
  const auto syn = [](PacketBuilder builder, const Octets& options) {
    return builder.tcp(8080, 80, "S").tcp_options(options);
  };
  const Octets large{2, 4, 0x05, 0xb4};
  EXPECT_EQ(option_of(syn(from_inside(), large), 20, 22), 1460) << "the ends decide";
  config.mss_max = 1360;
  restart();
  map(Protocol::tcp, 80, 80);
  EXPECT_EQ(option_of(syn(from_inside(), large), 20, 22), 1360);
  EXPECT_EQ(option_of(syn(from_outside(), large), 40, 22), 1360);
  EXPECT_EQ(option_of(syn(from_inside(), {1, 2, 4, 0x05, 0xb4, 0, 0, 0}), 20, 23), 1360) << "at an odd place";
  EXPECT_EQ(option_of(syn(from_inside(), {2, 4, 0x05, 0x50}), 20, 22), 1360);
  EXPECT_EQ(option_of(syn(from_inside(), {2, 4, 0x05, 0x4f}), 20, 22), 1359) << "smaller ones stay";
  EXPECT_EQ(option_of(syn(from_inside(), {0, 2, 4, 0x05, 0xb4, 0, 0, 0}), 20, 23), 1460) << "behind the end";
  for (const Octets& broken : {Octets{2, 3, 0xff, 0}, Octets{8, 0, 2, 4}, Octets{1, 1, 2, 4},
                               Octets{1, 1, 1, 2}, Octets{2, 8, 0xff, 0xff}})
    EXPECT_EQ(option_of(syn(from_inside(), broken), 20, 20), broken[0] << 8U | broken[1]);
  EXPECT_EQ(option_of(from_inside().tcp(8080, 80, "A").tcp_options(large), 20, 22), 1460) << "no SYN";
}

class Drops : public Translation {
 protected:
  void run_drops(const std::vector<Drop>& cases) {
    for (const Drop& each : cases) {
      SCOPED_TRACE(each.caption);
      const auto before = engine->counters().drops(each.reason);
      EXPECT_EQ(send(each.in.build()), "dropped: " + std::string(to_string(each.reason)));
      EXPECT_EQ(engine->counters().drops(each.reason), before + 1);
      EXPECT_EQ(take_output(), each.error);
    }
  }
};

TEST_F(Drops, from_ipv6) {
  const Octets segments_left{0, 0, 0, 1, 0, 0, 0, 0};
  run_drops({
      {"hop limit used up", from_inside().udp(4000, 53).ttl(1), DropReason::hop_limit_exceeded,
       "2001:db8:64:ff9b::c000:20e > 2001:db8:112::2 icmp 3/0 "
       "[[2001:db8:112::2]:4000 > [2001:db8:64:ff9b::c633:6407]:53 udp ttl 1 size 48] ttl 64"},
      {"no transport we know", from_inside().protocol(132), DropReason::unsupported_protocol,
       "2001:db8:64:ff9b::c000:20e > 2001:db8:112::2 icmp 1/4 "
       "[2001:db8:112::2 > 2001:db8:64:ff9b::c633:6407 protocol 132 ttl 64 size 48] ttl 64"},
      {"routing header with a stop left", from_inside().udp(4000, 53).extension(43, segments_left),
       DropReason::routing_header,
       "2001:db8:64:ff9b::c000:20e > 2001:db8:112::2 icmp 4/0 rest 0x2b "
       "[2001:db8:112::2 > 2001:db8:64:ff9b::c633:6407 protocol 43 ttl 64 size 56] ttl 64"},
      {"source inside the prefix", PacketBuilder("2001:db8:64:ff9b::1.2.3.4", Engine::far6).udp(1, 2),
       DropReason::source_in_prefix, ""},
      {"not for us", PacketBuilder(Engine::inside, "2001:db8::1").udp(1, 2),
       DropReason::destination_not_in_prefix, ""},
      {"link-local source", PacketBuilder("fe80::1", Engine::far6).udp(1, 2), DropReason::illegal_source, ""},
      {"multicast source", PacketBuilder("ff02::1", Engine::far6).udp(1, 2), DropReason::illegal_source, ""},
      {"loopback source", PacketBuilder("::1", Engine::far6).udp(1, 2), DropReason::illegal_source, ""},
      {"embedded loopback", PacketBuilder(Engine::inside, "2001:db8:64:ff9b::127.0.0.1").udp(1, 2),
       DropReason::illegal_destination, ""},
      {"embedded multicast", PacketBuilder(Engine::inside, "2001:db8:64:ff9b::224.0.0.1").udp(1, 2),
       DropReason::illegal_destination, ""},
      {"UDP without checksum", from_inside().udp(4000, 53).zero_checksum(), DropReason::bad_checksum, ""},
      {"extension header behind a fragment header",
       from_inside().udp(4000, 53).extension(44, Octets(8)).extension(60, Octets(8)),
       DropReason::extension_in_fragment, ""},
      {"extension header in a first fragment",
       from_inside().udp(4000, 53).extension(44, {0, 0, 0, 1, 0, 0, 0, 9}).extension(0, Octets(8)),
       DropReason::extension_in_fragment, ""},
      {"authentication header behind a fragment header",
       from_inside().udp(4000, 53).extension(44, Octets(8)).extension(51, Octets(8)),
       DropReason::extension_in_fragment, ""},
      {"neighbour solicitation", from_inside().icmp(135, 0, 0, Octets(16)), DropReason::icmp_unknown, ""},
      {"echo reply nobody asked for", from_inside().echo_reply(9), DropReason::no_mapping, ""},
      {"TCP data without a binding", from_inside().tcp(9999, 80, "A"), DropReason::no_mapping, ""},
  });
}

TEST_F(Drops, from_ipv4) {
  run_drops({
      {"TTL used up", from_outside().udp(53, 4000).ttl(1), DropReason::hop_limit_exceeded,
       "192.0.2.14 > 198.51.100.7 icmp 11/0 [198.51.100.7:53 > 192.0.2.14:4000 udp ttl 1 size 28] ttl 64"},
      {"no transport we know", from_outside().protocol(132), DropReason::unsupported_protocol,
       "192.0.2.14 > 198.51.100.7 icmp 3/2 [198.51.100.7 > 192.0.2.14 protocol 132 ttl 64 size 28] ttl 64"},
      {"IGMP", from_outside().protocol(2), DropReason::unsupported_protocol, ""},
      {"source route with a stop left", from_outside().udp(53, 4000).ipv4_options({131, 7, 4, 1, 2, 3, 4, 0}),
       DropReason::source_route,
       "192.0.2.14 > 198.51.100.7 icmp 3/5 [198.51.100.7:53 > 192.0.2.14:4000 udp ttl 64 size 36] ttl 64"},
      {"no binding", from_outside().udp(53, 4001), DropReason::no_mapping, ""},
      {"not for us", PacketBuilder(Engine::far4, "192.0.2.15").udp(53, 4000),
       DropReason::destination_not_in_pool, ""},
      {"loopback source", PacketBuilder("127.0.0.1", Engine::pool).udp(53, 4000), DropReason::illegal_source,
       ""},
      {"broadcast source", PacketBuilder("255.255.255.255", Engine::pool).udp(53, 4000),
       DropReason::illegal_source, ""},
      {"timestamp request", from_outside().icmp(13, 0, 0, Octets(12)), DropReason::icmp_unknown, ""},
      {"redirect", from_outside().icmp(5, 1, 0, from_inside().udp(1, 2).build()),
       DropReason::icmp_untranslatable, ""},
  });
}

TEST_F(Drops, a_wrong_ipv4_header_checksum) {
  auto packet = from_outside().udp(53, 4000).build();
  packet[8] = 77;
  EXPECT_EQ(send(packet), "dropped: bad_checksum");
}

TEST_F(Drops, headers_cut_short_at_every_octet) {
  for (const auto& builder : {from_inside().udp(4000, 53).payload("12345"), from_inside().tcp(8080, 80, "S"),
                              from_outside().udp(53, 4000), from_outside().tcp(50000, 8080, "S")}) {
    auto packet = builder.build();
    while (!packet.empty()) {
      packet.pop_back();
      EXPECT_EQ(send(packet), "dropped: truncated");
    }
  }
}

TEST_F(Drops, a_wrong_checksum_travels_on_as_a_wrong_checksum) {
  EXPECT_EQ(send(from_inside().udp(4000, 53).bad_checksum().build()),
            "192.0.2.14:4000 > 198.51.100.7:53 udp ttl 63 BAD CHECKSUM");
  EXPECT_EQ(send(from_outside().tcp(50000, 8080, "S").bad_checksum().build()),
            "[2001:db8:64:ff9b::c633:6407]:50000 > [2001:db8:112::2]:8080 tcp S ttl 63 BAD CHECKSUM");
}

}  // namespace
}  // namespace portolan::nat::test
