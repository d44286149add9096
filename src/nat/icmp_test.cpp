// SPDX-License-Identifier: BSD-2-Clause
//
// ICMP errors: the tables of RFC 7915 s4.2 and s5.2, and whole errors with the packets they quote.
#include "nat/icmp.h"

#include <gtest/gtest.h>

#include "nat/testing/engine_fixture.h"

namespace portolan::nat::test {
namespace {

using Maybe = std::optional<IcmpHeader>;

TEST(IcmpTables, unreachable_codes_from_ipv4) {
  const MtuContext mtu;
  const auto translated = [&](unsigned code) {
    return error_to_ipv6({.type = 3, .code = static_cast<std::uint8_t>(code), .rest = 0}, mtu);
  };
  for (const unsigned code : {0U, 1U, 5U, 6U, 7U, 8U, 11U, 12U})
    EXPECT_EQ(translated(code), (Maybe{{.type = 1, .code = 0, .rest = 0}})) << code;
  EXPECT_EQ(translated(2), (Maybe{{.type = 4, .code = 1, .rest = 6}}));
  EXPECT_EQ(translated(3), (Maybe{{.type = 1, .code = 4, .rest = 0}}));
  for (const unsigned code : {9U, 10U, 13U, 15U})
    EXPECT_EQ(translated(code), (Maybe{{.type = 1, .code = 1, .rest = 0}})) << code;
  for (const unsigned code : {14U, 16U, 255U}) EXPECT_EQ(translated(code), std::nullopt) << code;
}

TEST(IcmpTables, unreachable_codes_from_ipv6) {
  const auto translated = [](unsigned code) {
    return error_to_ipv4({.type = 1, .code = static_cast<std::uint8_t>(code), .rest = 0}, {});
  };
  for (const unsigned code : {0U, 2U, 3U})
    EXPECT_EQ(translated(code), (Maybe{{.type = 3, .code = 1, .rest = 0}}));
  EXPECT_EQ(translated(1), (Maybe{{.type = 3, .code = 10, .rest = 0}}));
  EXPECT_EQ(translated(4), (Maybe{{.type = 3, .code = 3, .rest = 0}}));
  for (const unsigned code : {5U, 6U, 7U}) EXPECT_EQ(translated(code), std::nullopt);
}

TEST(IcmpTables, time_exceeded_keeps_its_code) {
  for (const std::uint8_t code : {std::uint8_t{0}, std::uint8_t{1}}) {
    EXPECT_EQ(error_to_ipv6({.type = 11, .code = code, .rest = 0}, {}),
              (Maybe{{.type = 3, .code = code, .rest = 0}}));
    EXPECT_EQ(error_to_ipv4({.type = 3, .code = code, .rest = 0}, {}),
              (Maybe{{.type = 11, .code = code, .rest = 0}}));
  }
}

TEST(IcmpTables, pointers_from_ipv4) {
  const std::vector<std::pair<unsigned, std::optional<unsigned>>> table{
      {0, 0}, {1, 1},   {2, 4},   {3, 4},  {4, {}}, {5, {}},  {6, {}},  {7, {}},  {8, 7},
      {9, 6}, {10, {}}, {11, {}}, {12, 8}, {15, 8}, {16, 24}, {19, 24}, {20, {}}, {255, {}}};
  for (const auto& [from, to] : table) {
    for (const std::uint8_t code : {std::uint8_t{0}, std::uint8_t{2}}) {
      const auto out = error_to_ipv6({.type = 12, .code = code, .rest = from << 24U}, {});
      EXPECT_EQ(out, to ? (Maybe{{.type = 4, .code = 0, .rest = *to}}) : std::nullopt) << from;
    }
  }
  EXPECT_EQ(error_to_ipv6({.type = 12, .code = 1, .rest = 0}, {}), std::nullopt)
      << "missing a required option";
}

TEST(IcmpTables, pointers_from_ipv6) {
  const std::vector<std::pair<unsigned, std::optional<unsigned>>> table{
      {0, 0}, {1, 1},  {2, {}},  {3, {}},  {4, 2},   {5, 2},  {6, 9},
      {7, 8}, {8, 12}, {23, 12}, {24, 16}, {39, 16}, {40, {}}};
  for (const auto& [from, to] : table) {
    const auto out = error_to_ipv4({.type = 4, .code = 0, .rest = from}, {});
    EXPECT_EQ(out, to ? (Maybe{{.type = 12, .code = 0, .rest = *to << 24U}}) : std::nullopt) << from;
  }
  EXPECT_EQ(error_to_ipv4({.type = 4, .code = 1, .rest = 40}, {}),
            (Maybe{{.type = 3, .code = 2, .rest = 0}}));
  EXPECT_EQ(error_to_ipv4({.type = 4, .code = 2, .rest = 40}, {}), std::nullopt);
}

TEST(IcmpTables, mtu_from_ipv4) {
  const auto translated = [](std::uint32_t mtu, std::uint16_t length, MtuContext context = {}) {
    context.quoted_length = length;
    return error_to_ipv6({.type = 3, .code = 4, .rest = mtu}, context)->rest;
  };
  EXPECT_EQ(translated(1400, 1500), 1420U);
  EXPECT_EQ(translated(1260, 1500), 1280U);
  EXPECT_EQ(translated(576, 1500), 1280U) << "never below the IPv6 minimum";
  EXPECT_EQ(translated(9000, 9000), 1500U) << "our own IPv6 side";
  EXPECT_EQ(translated(9000, 9000, {.ipv6_mtu = 9000, .ipv4_mtu = 1500, .quoted_length = 0}), 1520U);
  EXPECT_EQ(translated(0, 1500), 1492U) << "RFC 1191 plateau";
  EXPECT_EQ(translated(0, 1492), 1280U);
  EXPECT_EQ(translated(0, 9000, {.ipv6_mtu = 65535, .ipv4_mtu = 65515, .quoted_length = 0}), 8166U);
}

TEST(IcmpTables, mtu_from_ipv6) {
  const auto translated = [](std::uint32_t mtu, MtuContext context = {}) {
    return error_to_ipv4({.type = 2, .code = 0, .rest = mtu}, context)->rest;
  };
  EXPECT_EQ(translated(1400), 1380U);
  EXPECT_EQ(translated(1280), 1260U);
  EXPECT_EQ(translated(9000), 1480U);
  EXPECT_EQ(translated(1500, {.ipv6_mtu = 1500, .ipv4_mtu = 1400, .quoted_length = 0}), 1400U);
}

TEST(IcmpTables, what_has_no_counterpart_is_dropped) {
  for (const unsigned type : {1U, 2U, 4U, 5U, 6U, 9U, 10U, 13U, 18U, 40U, 255U})
    EXPECT_EQ(error_to_ipv6({.type = static_cast<std::uint8_t>(type), .code = 0, .rest = 0}, {}),
              std::nullopt)
        << type;
  for (const unsigned type : {0U, 5U, 100U, 127U, 130U, 137U})
    EXPECT_EQ(error_to_ipv4({.type = static_cast<std::uint8_t>(type), .code = 0, .rest = 0}, {}),
              std::nullopt)
        << type;
}

class IcmpErrors : public Engine {
 protected:
  void SetUp() override {
    map(Protocol::udp, 4000, 4400);
    map(Protocol::tcp, 8080, 8800);
    send(PacketBuilder(inside, far6).echo_request(77).build());
  }
};

constexpr const char* router4 = "203.0.113.1";
constexpr const char* router6 = "2001:db8:112::1";

TEST_F(IcmpErrors, from_ipv4_for_each_protocol_a_host_may_have_sent) {
  EXPECT_EQ(
      send(PacketBuilder(router4, pool)
               .icmp(11, 0, 0, PacketBuilder(pool, far4).udp(4400, 33434).payload("probe").ttl(1).build())
               .build()),
      "2001:db8:64:ff9b::cb00:7101 > 2001:db8:112::2 icmp 3/0 "
      "[[2001:db8:112::2]:4000 > [2001:db8:64:ff9b::c633:6407]:33434 udp ttl 1 size 53] ttl 63")
      << "the router keeps its address: traceroute";
  EXPECT_EQ(send(PacketBuilder(far4, pool)
                     .icmp(3, 3, 0, PacketBuilder(pool, far4).tcp(8800, 80, "SA").payload("x").build())
                     .build()),
            "2001:db8:64:ff9b::c633:6407 > 2001:db8:112::2 icmp 1/4 "
            "[[2001:db8:112::2]:8080 > [2001:db8:64:ff9b::c633:6407]:80 tcp SA ttl 64 size 61] ttl 63");
  EXPECT_EQ(send(PacketBuilder(router4, pool)
                     .icmp(3, 1, 0, PacketBuilder(pool, far4).echo_request(77).payload("ping").build())
                     .build()),
            "2001:db8:64:ff9b::cb00:7101 > 2001:db8:112::2 icmp 1/0 "
            "[2001:db8:112::2 > 2001:db8:64:ff9b::c633:6407 echo request 77 ttl 64 size 52] ttl 63");
}

TEST_F(IcmpErrors, from_ipv6_for_each_protocol_a_host_may_have_received) {
  EXPECT_EQ(
      send(PacketBuilder(inside, far6)
               .icmp(1, 4, 0, PacketBuilder(far6, inside).udp(53, 4000).payload("query").build())
               .build()),
      "192.0.2.14 > 198.51.100.7 icmp 3/3 [198.51.100.7:53 > 192.0.2.14:4400 udp ttl 64 size 33] ttl 63");
  EXPECT_EQ(send(PacketBuilder(router6, far6)
                     .icmp(2, 0, 1400, PacketBuilder(far6, inside).tcp(50000, 8080, "A").payload("x").build())
                     .build()),
            "192.0.2.14 > 198.51.100.7 icmp 3/4 rest 0x564 "
            "[198.51.100.7:50000 > 192.0.2.14:8800 tcp A ttl 64 size 41] ttl 63")
      << "a router inside has no IPv4 address: the host's external one stands for it";
  EXPECT_EQ(
      send(PacketBuilder(router6, far6)
               .icmp(3, 0, 0, PacketBuilder(far6, inside).echo_reply(77).payload("pong").build())
               .build()),
      "192.0.2.14 > 198.51.100.7 icmp 11/0 [198.51.100.7 > 192.0.2.14 echo reply 77 ttl 64 size 32] ttl 63");
}

TEST_F(IcmpErrors, eight_octets_of_a_quoted_transport_header_are_enough) {
  auto quoted = PacketBuilder(pool, far4).tcp(8800, 80, "SA").build();
  quoted.resize(28);
  EXPECT_EQ(send(PacketBuilder(router4, pool).icmp(11, 0, 0, quoted).build()),
            "2001:db8:64:ff9b::cb00:7101 > 2001:db8:112::2 icmp 3/0 "
            "[[2001:db8:112::2]:8080 > [2001:db8:64:ff9b::c633:6407]:80 tcp ? ttl 64 size 60] ttl 63");
  quoted.pop_back();
  EXPECT_EQ(send(PacketBuilder(router4, pool).icmp(11, 0, 0, quoted).build()),
            "dropped: icmp_untranslatable");
}

TEST_F(IcmpErrors, options_of_a_quoted_packet_are_stepped_over) {
  const Octets record_route{7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  EXPECT_EQ(send(PacketBuilder(router4, pool)
                     .icmp(11, 0, 0,
                           PacketBuilder(pool, far4)
                               .udp(4400, 33434)
                               .payload("probe")
                               .ipv4_options(record_route)
                               .build())
                     .build()),
            "2001:db8:64:ff9b::cb00:7101 > 2001:db8:112::2 icmp 3/0 "
            "[[2001:db8:112::2]:4000 > [2001:db8:64:ff9b::c633:6407]:33434 udp ttl 64 size 53] ttl 63");
  EXPECT_EQ(
      send(PacketBuilder(router4, pool)
               .ipv4_options(record_route)
               .icmp(3, 1, 0, PacketBuilder(pool, far4).echo_request(77).ipv4_options(record_route).build())
               .build()),
      "2001:db8:64:ff9b::cb00:7101 > 2001:db8:112::2 icmp 1/0 "
      "[2001:db8:112::2 > 2001:db8:64:ff9b::c633:6407 echo request 77 ttl 64 size 48] ttl 63");
}

TEST_F(IcmpErrors, extension_headers_of_a_quoted_packet_are_stepped_over) {
  EXPECT_EQ(
      send(PacketBuilder(inside, far6)
               .icmp(1, 4, 0,
                     PacketBuilder(far6, inside).udp(53, 4000).extension(60, Octets(8)).payload("x").build())
               .build()),
      "192.0.2.14 > 198.51.100.7 icmp 3/3 [198.51.100.7:53 > 192.0.2.14:4400 udp ttl 64 size 29] ttl 63");
  EXPECT_EQ(
      send(
          PacketBuilder(inside, far6)
              .icmp(3, 1, 0,
                    PacketBuilder(far6, inside).udp(53, 4000).extension(44, {0, 0, 0, 1, 0, 0, 0, 9}).build())
              .build()),
      "192.0.2.14 > 198.51.100.7 icmp 11/1 [198.51.100.7:53 > 192.0.2.14:4400 udp ttl 64 size 28] ttl 63")
      << "reassembly timed out";
}

TEST_F(IcmpErrors, translated_ones_stay_below_1280_octets) {
  const auto out =
      send_raw(PacketBuilder(router4, pool)
                   .icmp(3, 4, 1400, PacketBuilder(pool, far4).udp(4400, 53).payload_size(1472).build())
                   .build());
  ASSERT_TRUE(out);
  EXPECT_EQ(out->size(), 1280U);
  EXPECT_EQ(find_fault(*out), "");
}

TEST_F(IcmpErrors, errors_that_are_not_about_ours_are_dropped) {
  const auto about = [&](const PacketBuilder& quoted) {
    return send(PacketBuilder(router4, pool).icmp(3, 1, 0, quoted.build()).build());
  };
  EXPECT_EQ(about(PacketBuilder(pool, far4).udp(4401, 53)), "dropped: no_mapping");
  EXPECT_EQ(about(PacketBuilder("192.0.2.99", far4).udp(4400, 53)), "dropped: icmp_untranslatable");
  EXPECT_EQ(about(PacketBuilder(pool, far4).protocol(132)), "dropped: icmp_untranslatable");
  EXPECT_EQ(about(PacketBuilder(pool, far4).icmp(3, 1, 0, Octets(28))), "dropped: icmp_untranslatable");
  EXPECT_EQ(send(PacketBuilder(inside, far6)
                     .icmp(1, 4, 0, PacketBuilder(far6, inside).udp(53, 4999).build())
                     .build()),
            "dropped: no_mapping");
  EXPECT_EQ(send(PacketBuilder(inside, "2001:db8:64:ff9b::8.8.8.8")
                     .icmp(1, 4, 0, PacketBuilder(far6, inside).udp(53, 4000).build())
                     .build()),
            "dropped: icmp_untranslatable");
  EXPECT_TRUE(engine->output().empty()) << "and never answered by errors";
}

TEST_F(IcmpErrors, a_wrong_checksum_is_not_made_good) {
  EXPECT_EQ(send(PacketBuilder(router4, pool)
                     .icmp(11, 0, 0, PacketBuilder(pool, far4).udp(4400, 33434).build())
                     .bad_checksum()
                     .build()),
            "dropped: bad_checksum");
  EXPECT_EQ(send(PacketBuilder(inside, far6)
                     .icmp(1, 4, 0, PacketBuilder(far6, inside).udp(53, 4000).build())
                     .bad_checksum()
                     .build()),
            "dropped: bad_checksum");
}

TEST_F(IcmpErrors, they_open_and_refresh_nothing) {
  const auto before = engine->counters();
  send(PacketBuilder(router4, pool)
           .icmp(11, 0, 0, PacketBuilder(pool, far4).udp(4400, 33434).build())
           .build());
  EXPECT_EQ(engine->counters().sessions, before.sessions);
  EXPECT_EQ(engine->counters().bindings, before.bindings);
}

/// 128 octets of quoted packet, then extensions (RFC 4884).
auto extended(Octets quoted) -> Octets {
  quoted.resize(128);
  const Octets extension{0x20, 0x00, 0x11, 0x22, 0x00, 0x08, 0x01, 0x01, 0xaa, 0xbb, 0xcc, 0xdd};
  quoted.insert(quoted.end(), extension.begin(), extension.end());
  return quoted;
}

TEST_F(IcmpErrors, extensions_stay_behind_a_quotation_of_adjusted_length) {
  const auto quoted = extended(PacketBuilder(pool, far4).udp(4400, 33434).build());
  const auto out = send_raw(PacketBuilder(router4, pool).icmp(11, 0, 32U << 16U, quoted).build());
  ASSERT_TRUE(out);
  EXPECT_EQ(find_fault(*out), "");
  EXPECT_EQ((*out)[44], 19) << "152 octets in 64-bit words: 148, padded";
  EXPECT_EQ(out->size(), 40U + 8 + 152 + 12);
  EXPECT_EQ(out->back(), 0xdd);

  const auto back =
      send_raw(PacketBuilder(router6, far6)
                   .icmp(3, 0, 16U << 24U, extended(PacketBuilder(far6, inside).udp(53, 4000).build()))
                   .build());
  ASSERT_TRUE(back);
  EXPECT_EQ(find_fault(*back), "");
  EXPECT_EQ((*back)[25], 32) << "108 octets padded to the least length, 128, in 32-bit words";
  EXPECT_EQ(back->size(), 20U + 8 + 128 + 12);
  EXPECT_EQ(back->back(), 0xdd);
}

TEST_F(IcmpErrors, a_long_quotation_makes_room_for_extensions) {
  // 1240 octets quoted and 12 of extensions fit an IPv4 packet of 1280, and no IPv6 packet.
  Octets quoted = PacketBuilder(pool, far4).udp(4400, 33434).payload_size(984).build();
  ASSERT_EQ(quoted.size(), 1012U);
  Octets extension(212, 0xab);
  quoted.insert(quoted.end(), extension.begin(), extension.end());
  const auto out = send_raw(PacketBuilder(router4, pool).icmp(11, 0, 253U << 16U, quoted).build());
  ASSERT_TRUE(out);
  EXPECT_EQ(find_fault(*out), "");
  EXPECT_EQ((*out)[44], 127) << "in 64-bit words: 1016 octets of 1032";
  EXPECT_EQ(out->size(), 40U + 8 + 1016 + 212);
  EXPECT_EQ((*out)[40 + 8 + 1016], 0xab);
}

TEST_F(IcmpErrors, extensions_too_long_to_stand_beside_any_quotation_are_left_out) {
  for (const auto& [size, is_there] : {std::pair{1104U, true}, {1105U, false}}) {
    Octets quoted = PacketBuilder(pool, far4).udp(4400, 33434).build();
    quoted.resize(128);
    quoted.resize(128 + size, 0xab);
    const auto out = send_raw(PacketBuilder(router4, pool).icmp(11, 0, 32U << 16U, quoted).build());
    ASSERT_TRUE(out);
    EXPECT_EQ(find_fault(*out), "");
    EXPECT_EQ((*out)[44], is_there ? 16 : 0);
    EXPECT_EQ(out->size(), is_there ? 1280U : 40U + 8 + 148);
  }
}

TEST_F(IcmpErrors, a_packet_too_big_has_no_room_for_extensions) {
  const auto quoted = extended(PacketBuilder(pool, far4).udp(4400, 33434).build());
  const auto out = send_raw(PacketBuilder(router4, pool).icmp(3, 4, 32U << 16U | 1400, quoted).build());
  ASSERT_TRUE(out);
  EXPECT_EQ(find_fault(*out), "");
  EXPECT_EQ((*out)[40], 2);
  EXPECT_EQ((*out)[46] << 8U | (*out)[47], 1420);
  EXPECT_EQ(out->size(), 40U + 8 + 148);
}

TEST_F(IcmpErrors, generated_ones_are_limited_per_second) {
  config.limits.errors_per_second = 3;
  restart();
  for (int i = 0; i < 10; ++i) send(PacketBuilder(inside, far6).udp(4000, 53).ttl(1).build());
  EXPECT_EQ(engine->counters().errors_generated, 3U);
  EXPECT_EQ(engine->counters().errors_rate_limited, 7U);
  now += Seconds{1};
  send(PacketBuilder(inside, far6).udp(4000, 53).ttl(1).build());
  EXPECT_EQ(engine->counters().errors_generated, 4U);
}

TEST_F(IcmpErrors, none_are_generated_if_so_configured) {
  config.limits.errors_per_second = 0;
  restart();
  send(PacketBuilder(inside, far6).udp(4000, 53).ttl(1).build());
  send(PacketBuilder(far4, pool).udp(53, 4400).ttl(1).build());
  EXPECT_EQ(take_output(), "");
  EXPECT_EQ(engine->counters().errors_rate_limited, 2U);
}

TEST_F(IcmpErrors, generated_ones_for_strangers_take_none_from_hosts) {
  config.limits.errors_per_second = 2;
  restart();
  for (int i = 0; i < 5; ++i) send(PacketBuilder(far4, pool).udp(53, 4400).ttl(1).build());
  EXPECT_EQ(engine->counters().errors_generated, 2U);
  send(PacketBuilder(inside, far6).udp(4000, 53).ttl(1).build());
  EXPECT_EQ(engine->counters().errors_generated, 3U);
}

TEST_F(IcmpErrors, generated_ones_have_the_ds_field_of_what_causes_them) {
  send(PacketBuilder(inside, far6).udp(4000, 53).tos(0xbb).ttl(1).build());
  EXPECT_NE(take_output().find("tos 0xbb size 48] ttl 64 tos 0xb8"), std::string::npos)
      << "without its ECN bits";
  send(PacketBuilder(far4, pool).udp(53, 4400).tos(0x2e).ttl(1).build());
  EXPECT_NE(take_output().find("tos 0x2e size 28] ttl 64 tos 0x2c"), std::string::npos);
}

TEST_F(IcmpErrors, generated_ones_that_nobody_takes_are_lost_and_counted) {
  for (int i = 0; i < 70; ++i) send(PacketBuilder(inside, far6).udp(4000, 53).ttl(1).build());
  EXPECT_EQ(engine->counters().errors_generated, 64U);
  EXPECT_EQ(engine->counters().outputs_lost, 6U);
  for (int i = 0; i < 64; ++i) EXPECT_NE(take_output(), "");
  EXPECT_EQ(take_output(), "");
}

TEST_F(IcmpErrors, generated_ones_quote_up_to_1280_and_576_octets) {
  send(PacketBuilder(inside, far6).udp(4000, 53).payload_size(1400).ttl(1).build());
  EXPECT_EQ(engine->output().size(), 1280U);
  engine->pop_output();
  send(PacketBuilder(far4, pool).udp(53, 4400).payload_size(1400).ttl(1).build());
  EXPECT_EQ(engine->output().size(), 576U);
}

}  // namespace
}  // namespace portolan::nat::test
