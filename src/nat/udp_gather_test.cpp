// SPDX-License-Identifier: BSD-2-Clause
//
// What goes into a UdpGather and comes out of the kernel's cutting must be the same packets.
#include "nat/udp_gather.h"

#include <cstring>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"
#include "nat/testing/test_packets.h"

namespace portolan::nat::test {
namespace {

constexpr const char* host4 = "198.51.100.7";
constexpr const char* peer4 = "192.0.2.14";
constexpr const char* host6 = "2001:db8:112::2";
constexpr const char* peer6 = "2001:db8:64:ff9b::c633:6407";

struct Sent {
  Octets octets;
  Offload offload;
};

class Gather : public testing::Test {
 protected:
  void add(const Octets& packet, Offload offload = {}) {
    std::vector<std::byte> buffer(Frame::headroom_min + packet.size());
    std::memcpy(buffer.data() + Frame::headroom_min, packet.data(), packet.size());
    Frame frame{.buffer = buffer, .offset = Frame::headroom_min, .size = packet.size(), .offload = offload};
    gather.add(frame, [&](Frame& out) { take(out); });
  }
  void flush() {
    gather.flush([&](Frame& out) { take(out); });
  }

  /// What was sent and not looked at yet, in words.
  auto told() -> std::vector<std::string> {
    std::vector<std::string> lines;
    for (const Sent& each : std::exchange(sent, {}))
      lines.push_back(describe(each.octets, each.offload) +
                      (each.offload.gso_type == Offload::gso_udp_l4
                           ? " by " + std::to_string(each.offload.gso_size)
                           : std::string{}));
    return lines;
  }

  /// The packets that the kernel makes of a superpacket, their checksums completed.
  static auto cut(const Sent& super) -> std::vector<Octets> {
    const std::size_t ip = super.octets[0] >> 4U == 4 ? 20 : 40;
    if (super.offload.gso_type == Offload::gso_none) return {super.octets};
    EXPECT_EQ(super.offload.gso_type, Offload::gso_udp_l4);
    EXPECT_EQ(super.offload.flags, Offload::needs_csum);
    EXPECT_EQ(super.offload.csum_start, ip);
    EXPECT_EQ(super.offload.csum_offset, 6);
    EXPECT_EQ(super.offload.hdr_len, ip + 8);
    std::vector<Octets> packets;
    for (std::size_t at = ip + 8; at < super.octets.size(); at += super.offload.gso_size) {
      const std::size_t size = std::min<std::size_t>(super.offload.gso_size, super.octets.size() - at);
      Octets packet(super.octets.begin(), super.octets.begin() + static_cast<std::ptrdiff_t>(ip + 8));
      packet.insert(packet.end(), super.octets.begin() + static_cast<std::ptrdiff_t>(at),
                    super.octets.begin() + static_cast<std::ptrdiff_t>(at + size));
      std::uint8_t* const header = packet.data();
      std::uint32_t addresses = 0;
      const auto add_words = [&](std::size_t from, std::size_t to) {
        for (std::size_t i = from; i < to; i += 2)
          addresses += static_cast<std::uint32_t>(header[i] << 8U | header[i + 1]);
      };
      if (ip == 20) {
        store16(header + 2, static_cast<std::uint16_t>(packet.size()));
        store16(header + 4, static_cast<std::uint16_t>(load16(header + 4) + packets.size()));
        store16(header + 10, 0);
        store16(header + 10, internet_checksum(std::span(packet).first(20)));
        add_words(12, 20);
      } else {
        store16(header + 4, static_cast<std::uint16_t>(packet.size() - 40));
        add_words(8, 40);
      }
      store16(header + ip + 4, static_cast<std::uint16_t>(8 + size));
      store16(header + ip + 6, 0);
      const std::uint16_t checksum = internet_checksum(std::span(packet).subspan(ip),
                                                       addresses + 17 + static_cast<std::uint32_t>(8 + size));
      store16(header + ip + 6, checksum == 0 ? std::uint16_t{0xffff} : checksum);
      packets.push_back(std::move(packet));
    }
    return packets;
  }

  UdpGather gather;
  std::vector<Sent> sent;

 private:
  void take(const Frame& frame) {
    const auto* data = reinterpret_cast<const std::uint8_t*>(frame.packet().data());
    EXPECT_GE(frame.offset, Frame::headroom_min);
    sent.push_back({.octets = Octets(data, data + frame.size), .offload = frame.offload});
  }
};

auto out4(std::uint16_t identification = 0) -> PacketBuilder {
  return PacketBuilder(peer4, host4).udp(4400, 53).identification(identification);
}
auto out6() -> PacketBuilder { return PacketBuilder(peer6, host6).udp(53, 4000); }

TEST_F(Gather, packets_of_a_flow_leave_as_one) {
  for (int i = 0; i < 3; ++i) add(out6().payload("four").build());
  EXPECT_TRUE(told().empty());
  flush();
  EXPECT_EQ(
      told(),
      std::vector<std::string>{
          "[2001:db8:64:ff9b::c633:6407]:53 > [2001:db8:112::2]:4000 udp \"fourfourfour\" ttl 64 by 4"});
  EXPECT_EQ(gather.gathered(), 1U);
  flush();
  EXPECT_TRUE(told().empty());
}

TEST_F(Gather, a_packet_alone_leaves_as_it_came) {
  const Octets packet = out4(9).payload("alone").build();
  add(packet);
  flush();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].octets, packet);
  EXPECT_EQ(sent[0].offload.gso_type, Offload::gso_none);
  EXPECT_EQ(gather.gathered(), 0U);
}

TEST_F(Gather, a_shorter_packet_is_the_last_and_a_longer_one_begins_anew) {
  for (const char* payload : {"four", "two", "four", "longer"}) add(out6().payload(payload).build());
  EXPECT_EQ(told().size(), 2U);
  flush();
  EXPECT_EQ(told().size(), 1U);
  EXPECT_EQ(gather.gathered(), 1U);
}

TEST_F(Gather, at_most_64_packets_are_gathered) {
  for (std::uint32_t i = 1; i < UdpGather::segments_max; ++i) add(out6().payload("data").build());
  EXPECT_TRUE(sent.empty());
  add(out6().payload("data").build());
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(cut(sent[0]).size(), UdpGather::segments_max);
  add(out6().payload("data").build());
  EXPECT_EQ(sent.size(), 1U);
}

TEST_F(Gather, a_superpacket_fits_an_ip_packet) {
  // 20 + 8 + n * 1459 octets: 44 are 64224, 45 would be 65683; 44 and one of 1311 are 65535.
  const auto fill = [&](std::size_t last) {
    for (int i = 0; i < 44; ++i) add(out4(static_cast<std::uint16_t>(i)).payload_size(1459).build());
    add(out4(44).payload_size(last).build());
  };
  fill(1312);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].octets.size(), 28U + 44U * 1459U);
  flush();
  sent.clear();
  fill(1311);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].octets.size(), 65535U);
}

TEST_F(Gather, headers_that_differ_are_not_mixed) {
  const auto pairs = std::vector<std::pair<PacketBuilder, PacketBuilder>>{
      {out6(), out6().ttl(63)},
      {out6(), out6().tos(4)},
      {out6(), PacketBuilder(peer6, "2001:db8:112::3").udp(53, 4000)},
      {out6(), PacketBuilder("2001:db8:64:ff9b::c633:6408", host6).udp(53, 4000)},
      {out6(), PacketBuilder(peer6, host6).udp(4000, 53)},
      {out4(1), out4(2).ttl(63)},
      {out4(1), out4(2).tos(4)},
      {out4(1), out4(2).dont_fragment()},
      {out4(1), PacketBuilder(peer4, "198.51.100.8").udp(4400, 53).identification(2)},
      {out4(1), PacketBuilder("192.0.2.15", host4).udp(4400, 53).identification(2)},
      {out4(1), PacketBuilder(peer4, host4).udp(4400, 54).identification(2)},
      {out4(1), out6()},
  };
  for (auto [first, second] : pairs) {
    add(first.payload("same").build());
    add(second.payload("same").build());
    flush();
    EXPECT_EQ(sent.size(), 2U) << describe(second.build());
    sent.clear();
  }
  EXPECT_EQ(gather.gathered(), 0U);
}

TEST_F(Gather, identifications_stay_what_they_were_where_they_matter) {
  for (const int identification : {65534, 65535, 0, 2})
    add(out4(static_cast<std::uint16_t>(identification)).payload("data").build());
  flush();
  ASSERT_EQ(sent.size(), 2U) << "2 does not follow 0";
  EXPECT_EQ(cut(sent[0]).size(), 3U);
  EXPECT_EQ(cut(sent[0])[2], out4(0).payload("data").build());
  sent.clear();
  for (const int identification : {7, 0, 7})
    add(out4(static_cast<std::uint16_t>(identification)).dont_fragment().payload("data").build());
  flush();
  EXPECT_EQ(sent.size(), 1U);
}

TEST_F(Gather, a_wrong_checksum_is_not_made_right) {
  const Octets right = out6().payload("data").build();
  const Octets wrong = out6().payload("data").bad_checksum().build();
  for (const Octets& packet : {wrong, right, right, wrong, right}) add(packet);
  flush();
  ASSERT_EQ(sent.size(), 4U);
  EXPECT_EQ(sent[0].octets, wrong);
  EXPECT_EQ(cut(sent[1]), (std::vector{right, right}));
  EXPECT_EQ(sent[2].octets, wrong);
  EXPECT_EQ(sent[3].octets, right);
}

TEST_F(Gather, packets_whose_checksum_the_kernel_makes_are_gathered) {
  const Offload partial{.flags = Offload::needs_csum,
                        .gso_type = 0,
                        .hdr_len = 0,
                        .gso_size = 0,
                        .csum_start = 40,
                        .csum_offset = 6};
  add(out6().payload("data").partial_checksum().build(), partial);
  add(out6().payload("data").build());
  add(out6().payload("data").partial_checksum().build(), partial);
  flush();
  ASSERT_EQ(sent.size(), 1U);
  const Octets whole = out6().payload("data").build();
  EXPECT_EQ(cut(sent[0]), (std::vector{whole, whole, whole}));
}

TEST_F(Gather, what_cannot_be_gathered_does_not_overtake) {
  const std::vector<Octets> others{
      out4(5).payload("data").zero_checksum().build(),
      out4(5).build(),  // without payload
      out4(5).payload("fragment").fragment_field(0x2000).build(),
      PacketBuilder(peer6, host6).udp(53, 4000).payload("fragment").fragment_field(1).build(),
  };
  for (const Octets& other : others) {
    add(out4(4).payload("data").build());
    add(other);
    ASSERT_EQ(sent.size(), 2U) << describe(other);
    EXPECT_EQ(sent[1].octets, other);
    sent.clear();
  }
  add(out4(4).payload("data").build());
  add(PacketBuilder(peer4, host4).tcp(4400, 53, "A").build());
  EXPECT_EQ(sent.size(), 1U) << "TCP is another flow";
}

TEST_F(Gather, any_mix_of_flows_comes_out_as_it_went_in) {
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  SeededRandom random(seed);
  std::map<std::string, std::vector<Octets>> before;
  std::map<std::string, std::uint16_t> identifications;
  for (int step = 0; step < 5000; ++step) {
    const bool is_ipv4 = random.below(2) == 0;
    const auto port = static_cast<std::uint16_t>(4000 + random.below(20));
    const std::string flow = (is_ipv4 ? "4:" : "6:") + std::to_string(port);
    PacketBuilder packet = is_ipv4 ? PacketBuilder(peer4, host4) : PacketBuilder(peer6, host6);
    packet.udp(port, 53).ttl(random.below(20) == 0 ? 9 : 64);
    if (is_ipv4) packet.identification(identifications[flow]++);
    Octets payload(random.below(10) == 0 ? random.below(1000) : 100);
    for (std::uint8_t& octet : payload) octet = static_cast<std::uint8_t>(random.next());
    packet.payload(payload);
    if (random.below(50) == 0) packet.bad_checksum();
    before[flow].push_back(packet.build());
    add(packet.build());
    if (random.below(100) == 0) flush();
  }
  flush();
  std::map<std::string, std::vector<Octets>> after;
  for (const Sent& each : sent)
    for (const Octets& packet : cut(each)) {
      const bool is_ipv4 = packet[0] >> 4U == 4;
      const unsigned port = load16(packet.data() + (is_ipv4 ? 20 : 40));
      after[(is_ipv4 ? "4:" : "6:") + std::to_string(port)].push_back(packet);
    }
  EXPECT_EQ(after, before);
  EXPECT_GT(gather.gathered(), 100U);
}

}  // namespace
}  // namespace portolan::nat::test
