// SPDX-License-Identifier: BSD-2-Clause
//
// Superpackets and half-made checksums: what a TUN with IFF_VNET_HDR hands over and takes back.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "nat/testing/engine_fixture.h"

namespace portolan::nat::test {
namespace {

constexpr std::uint16_t tcp6_headers = 60;

class Offloads : public Engine {
 protected:
  void SetUp() override {
    map(Protocol::udp, 4000, 4400);
    map(Protocol::tcp, 8080, 8800);
    send(PacketBuilder(inside, far6).echo_request(77).build());
  }

  static auto partial(std::uint16_t start, std::uint16_t offset) -> Offload {
    return {.flags = Offload::needs_csum,
            .gso_type = 0,
            .hdr_len = 0,
            .gso_size = 0,
            .csum_start = start,
            .csum_offset = offset};
  }
  static auto super(std::uint8_t type, std::uint16_t headers, std::uint16_t segment, std::uint16_t start,
                    std::uint16_t offset) -> Offload {
    return {.flags = Offload::needs_csum,
            .gso_type = type,
            .hdr_len = headers,
            .gso_size = segment,
            .csum_start = start,
            .csum_offset = offset};
  }
  /// In words, with the checksum completed as the kernel would.
  auto send_with(const PacketBuilder& packet, Offload offload) -> std::string {
    const auto out = send_raw(packet.build(), &offload);
    last = offload;
    return out ? describe(*out, offload) : "dropped: " + std::string(to_string(verdict.reason));
  }
  Offload last{};
};

TEST_F(Offloads, partial_checksums_stay_partial_and_come_out_right) {
  EXPECT_EQ(
      send_with(PacketBuilder(inside, far6).udp(4000, 53).payload("odd").partial_checksum(), partial(40, 6)),
      "192.0.2.14:4400 > 198.51.100.7:53 udp \"odd\" ttl 63");
  EXPECT_EQ(last.csum_start, 20);
  EXPECT_EQ(last.flags, Offload::needs_csum);
  EXPECT_EQ(send_with(PacketBuilder(inside, far6).tcp(8080, 80, "S").partial_checksum(), partial(40, 16)),
            "192.0.2.14:8800 > 198.51.100.7:80 tcp S ttl 63");
  EXPECT_EQ(send_with(PacketBuilder(inside, far6).echo_request(77).payload("ping").partial_checksum(),
                      partial(40, 2)),
            "192.0.2.14 > 198.51.100.7 echo request 77 \"ping\" ttl 63");
  EXPECT_EQ(
      send_with(PacketBuilder(far4, pool).udp(53, 4400).payload("odd").partial_checksum(), partial(20, 6)),
      "[2001:db8:64:ff9b::c633:6407]:53 > [2001:db8:112::2]:4000 udp \"odd\" ttl 63");
  EXPECT_EQ(last.csum_start, 40);
  EXPECT_EQ(send_with(PacketBuilder(far4, pool).tcp(50000, 8800, "S").partial_checksum(), partial(20, 16)),
            "[2001:db8:64:ff9b::c633:6407]:50000 > [2001:db8:112::2]:8080 tcp S ttl 63");
  EXPECT_EQ(
      send_with(PacketBuilder(far4, pool).echo_reply(77).payload("pong").partial_checksum(), partial(20, 2)),
      "2001:db8:64:ff9b::c633:6407 > 2001:db8:112::2 echo reply 77 \"pong\" ttl 63");
}

TEST_F(Offloads, extension_headers_and_options_shift_what_counts_from_the_start) {
  EXPECT_EQ(send_with(PacketBuilder(inside, far6).udp(4000, 53).extension(60, Octets(8)).partial_checksum(),
                      partial(48, 6)),
            "192.0.2.14:4400 > 198.51.100.7:53 udp ttl 63");
  EXPECT_EQ(last.csum_start, 20);
  EXPECT_EQ(send_with(PacketBuilder(far4, pool).udp(53, 4400).ipv4_options(Octets(8, 1)).partial_checksum(),
                      partial(28, 6)),
            "[2001:db8:64:ff9b::c633:6407]:53 > [2001:db8:112::2]:4000 udp ttl 63");
  EXPECT_EQ(last.csum_start, 40);
}

TEST_F(Offloads, a_tcp_superpacket_from_ipv6_changes_its_family) {
  const auto packet = PacketBuilder(inside, far6).tcp(8080, 80, "S").payload_size(60000).partial_checksum();
  for (const std::uint8_t ecn : {std::uint8_t{0}, Offload::gso_ecn}) {
    const auto type = static_cast<std::uint8_t>(Offload::gso_tcpv6 | ecn);
    EXPECT_EQ(send_with(packet, super(type, tcp6_headers, 1440, 40, 16)),
              "192.0.2.14:8800 > 198.51.100.7:80 tcp S +60000 ttl 63 DF")
        << "DF because segments have more than 1260 octets";
    EXPECT_EQ(last.gso_type, Offload::gso_tcpv4 | ecn);
    EXPECT_EQ(last.gso_size, 1440);
    EXPECT_EQ(last.hdr_len, 40);
    EXPECT_EQ(last.csum_start, 20);
    EXPECT_EQ(last.csum_offset, 16);
  }
}

TEST_F(Offloads, segments_decide_about_df_not_the_superpacket) {
  const auto packet = PacketBuilder(inside, far6).tcp(8080, 80, "S").payload_size(60000).partial_checksum();
  EXPECT_EQ(send_with(packet, super(Offload::gso_tcpv6, 0, 1220, 40, 16)),
            "192.0.2.14:8800 > 198.51.100.7:80 tcp S +60000 ttl 63");
  EXPECT_EQ(last.hdr_len, 0) << "0 means unknown and stays so";
  EXPECT_EQ(send_with(packet, super(Offload::gso_tcpv6, 0, 1221, 40, 16)),
            "192.0.2.14:8800 > 198.51.100.7:80 tcp S +60000 ttl 63 DF");
}

TEST_F(Offloads, a_tcp_superpacket_from_ipv4_gets_segments_that_fit) {
  const auto packet =
      PacketBuilder(far4, pool).tcp(50000, 8800, "S").payload_size(60000).partial_checksum().dont_fragment();
  EXPECT_EQ(send_with(packet, super(Offload::gso_tcpv4, 40, 1440, 20, 16)),
            "[2001:db8:64:ff9b::c633:6407]:50000 > [2001:db8:112::2]:8080 tcp S +60000 ttl 63");
  EXPECT_EQ(last.gso_size, 1440);
  EXPECT_EQ(last.gso_type, Offload::gso_tcpv6);
  EXPECT_EQ(last.hdr_len, 60);
  send_with(packet, super(Offload::gso_tcpv4, 40, 1460, 20, 16));
  EXPECT_EQ(last.gso_size, 1440) << "1460 would make 1520 octets";
}

TEST_F(Offloads, udp_superpackets_keep_their_cuts) {
  const auto from_inside = PacketBuilder(inside, far6).udp(4000, 53).payload_size(24000).partial_checksum();
  EXPECT_EQ(send_with(from_inside, super(Offload::gso_udp_l4, 48, 1200, 40, 6)),
            "192.0.2.14:4400 > 198.51.100.7:53 udp +24000 ttl 63");
  EXPECT_EQ(last.gso_type, Offload::gso_udp_l4);
  EXPECT_EQ(last.gso_size, 1200);
  const auto from_outside =
      PacketBuilder(far4, pool).udp(53, 4400).payload_size(24000).partial_checksum().dont_fragment();
  EXPECT_EQ(send_with(from_outside, super(Offload::gso_udp_l4, 28, 1452, 20, 6)),
            "[2001:db8:64:ff9b::c633:6407]:53 > [2001:db8:112::2]:4000 udp +24000 ttl 63");
  EXPECT_EQ(last.gso_size, 1452);
  EXPECT_EQ(send_with(from_outside, super(Offload::gso_udp_l4, 28, 1453, 20, 6)), "dropped: too_big");
  EXPECT_EQ(engine->output().size(), 576U) << "the sender learns the MTU";
}

TEST_F(Offloads, packets_that_do_not_fit_the_ipv6_mtu_are_answered_with_it) {
  const auto of_size = [](std::size_t payload) {
    return PacketBuilder(far4, pool).udp(53, 4400).payload_size(payload).dont_fragment().build();
  };
  EXPECT_EQ(send(of_size(1452)).substr(0, 5), "[2001") << "1480 octets become 1500";
  EXPECT_EQ(send(of_size(1453)), "dropped: too_big");
  const auto error = take_output();
  EXPECT_EQ(error.substr(0, 48), "192.0.2.14 > 198.51.100.7 icmp 3/4 rest 0x5c8 [1") << "1480; " << error;
}

TEST_F(Offloads, packets_that_may_be_fragmented_are_cut_into_1280_octets) {
  const auto fragments_of = [&](const PacketBuilder& packet, Offload offload) {
    std::vector<Octets> fragments;
    const auto first = send_raw(packet.build(), &offload);
    EXPECT_EQ(offload.flags, 0) << "a checksum cannot be left to be made over several packets";
    if (first) fragments.push_back(*first);
    for (auto output = engine->output(); !output.empty(); output = engine->output()) {
      const auto* data = reinterpret_cast<const std::uint8_t*>(output.data());
      fragments.emplace_back(data, data + output.size());
      engine->pop_output();
    }
    return fragments;
  };
  auto packet = PacketBuilder(far4, pool).udp(53, 4400).identification(0xabcd);
  EXPECT_EQ(fragments_of(packet.payload_size(1232), {}).size(), 1U) << "1280 octets";
  for (const std::size_t size :
       {std::size_t{1233}, std::size_t{1472}, std::size_t{9000}, std::size_t{65507}}) {
    for (const bool is_partial : {false, true}) {
      PacketBuilder sent = packet;
      sent.payload_size(size);
      if (is_partial) sent.partial_checksum();
      const auto fragments = fragments_of(sent, is_partial ? partial(20, 6) : Offload{});
      ASSERT_EQ(fragments.size(), (size + 8 + 1231) / 1232);
      EXPECT_EQ(fragments[0][44] << 8U | fragments[0][45], 0);
      EXPECT_EQ(fragments[0][46] << 8U | fragments[0][47], 0xabcd) << "the identification is IPv4's";
      for (const Octets& fragment : fragments) EXPECT_LE(fragment.size(), 1280U);
      const auto whole = reassemble(fragments);
      ASSERT_TRUE(whole);
      EXPECT_EQ(
          describe(*whole),
          fmt::format("[2001:db8:64:ff9b::c633:6407]:53 > [2001:db8:112::2]:4000 udp +{} ttl 63", size));
    }
  }
  EXPECT_EQ(engine->counters().fragmented, 8U);
}

TEST_F(Offloads, fragments_are_not_begun_without_room_for_all) {
  for (int i = 0; i < 20; ++i) send(PacketBuilder(far4, pool).udp(53, 4400).ttl(1).build());
  EXPECT_EQ(send(PacketBuilder(far4, pool).udp(53, 4400).payload_size(65507).build()),
            "dropped: fragments_lost");
  for (int i = 0; i < 20; ++i) take_output();
  EXPECT_EQ(take_output(), "");
}

TEST_F(Offloads, an_inside_known_to_take_more_is_sent_whole_packets) {
  config.lowest_ipv6_mtu = 1500;
  restart();
  map(Protocol::udp, 4000, 4400);
  EXPECT_EQ(send(PacketBuilder(far4, pool).udp(53, 4400).payload_size(1452).build()),
            "[2001:db8:64:ff9b::c633:6407]:53 > [2001:db8:112::2]:4000 udp +1452 ttl 63");
  send(PacketBuilder(far4, pool).udp(53, 4400).payload_size(1453).build());
  EXPECT_EQ(engine->counters().fragmented, 1U);
}

TEST_F(Offloads, metadata_that_contradicts_the_packet_is_refused) {
  const auto tcp = PacketBuilder(inside, far6).tcp(8080, 80, "S").payload_size(5000).partial_checksum();
  const auto udp = PacketBuilder(inside, far6).udp(4000, 53).payload_size(5000).partial_checksum();
  const std::string refused = "dropped: bad_offload";
  EXPECT_EQ(send_with(tcp, partial(41, 16)), refused);
  EXPECT_EQ(send_with(tcp, partial(40, 6)), refused);
  EXPECT_EQ(send_with(tcp, partial(65535, 16)), refused);
  EXPECT_EQ(send_with(tcp, super(Offload::gso_tcpv4, 60, 1440, 40, 16)), refused) << "of the other family";
  EXPECT_EQ(send_with(tcp, super(Offload::gso_udp_l4, 60, 1440, 40, 16)), refused);
  EXPECT_EQ(send_with(tcp, super(Offload::gso_tcpv6, 60, 0, 40, 16)), refused) << "no segment size";
  EXPECT_EQ(send_with(tcp, super(3, 60, 1440, 40, 16)), refused) << "UFO is no more";
  EXPECT_EQ(send_with(udp, super(Offload::gso_tcpv6, 48, 1200, 40, 6)), refused);
  auto without_checksum = super(Offload::gso_tcpv6, 60, 1440, 40, 16);
  without_checksum.flags = 0;
  EXPECT_EQ(send_with(tcp, without_checksum), refused);
}

TEST_F(Offloads, a_packet_too_long_for_ipv4_is_dropped) {
  const auto packet = PacketBuilder(inside, far6).udp(4000, 53).payload_size(65535 - 8).partial_checksum();
  EXPECT_EQ(send_with(packet, super(Offload::gso_udp_l4, 48, 1200, 40, 6)), "dropped: too_long");
  const auto fits = PacketBuilder(inside, far6).udp(4000, 53).payload_size(65535 - 28).partial_checksum();
  EXPECT_EQ(send_with(fits, super(Offload::gso_udp_l4, 48, 1200, 40, 6)),
            "192.0.2.14:4400 > 198.51.100.7:53 udp +65507 ttl 63");
}

TEST_F(Offloads, only_the_checksum_flag_is_passed_on) {
  Offload offload{.flags = 2, .gso_type = 0, .hdr_len = 9, .gso_size = 9, .csum_start = 9, .csum_offset = 9};
  ASSERT_TRUE(send_raw(PacketBuilder(inside, far6).udp(4000, 53).build(), &offload));
  EXPECT_EQ(offload.flags, 0) << "'checked' is the receiver's word";
  EXPECT_EQ(offload.hdr_len, 0);
  EXPECT_EQ(offload.gso_size, 0);
}

}  // namespace
}  // namespace portolan::nat::test
