// SPDX-License-Identifier: BSD-2-Clause
//
// Packets that come in fragments (RFC 6146 s3.4).
#include "nat/reassembly.h"

#include <algorithm>
#include <numeric>
#include <set>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "nat/testing/engine_fixture.h"

namespace portolan::nat::test {
namespace {

/// Where a packet is cut, in units of 8 octets of what lies behind its IP header.
using Cuts = std::vector<std::size_t>;

void put16(Octets& octets, std::size_t at, std::size_t value) {
  octets[at] = static_cast<std::uint8_t>(value >> 8U);
  octets[at + 1] = static_cast<std::uint8_t>(value);
}

/// One fragment of a packet without options or extension headers: octets `begin` to `end` of its payload.
auto fragment_of(const Octets& packet, std::uint32_t identification, std::size_t begin, std::size_t end,
                 bool has_more) -> Octets {
  const bool is_ipv4 = packet[0] >> 4U == 4;
  const std::size_t header_size = is_ipv4 ? 20 : 40;
  Octets fragment(packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(header_size));
  if (is_ipv4) {
    put16(fragment, 2, 20 + end - begin);
    put16(fragment, 4, identification);
    put16(fragment, 6, begin / 8 | (has_more ? 0x2000U : 0U));
    put16(fragment, 10, 0);
    put16(fragment, 10, internet_checksum(fragment));
  } else {
    put16(fragment, 4, 8 + end - begin);
    fragment[6] = 44;
    fragment.insert(fragment.end(), {packet[6], 0, 0, 0, 0, 0, 0, 0});
    put16(fragment, 42, begin | (has_more ? 1U : 0U));
    put16(fragment, 44, identification >> 16U);
    put16(fragment, 46, identification);
  }
  fragment.insert(fragment.end(), packet.begin() + static_cast<std::ptrdiff_t>(header_size + begin),
                  packet.begin() + static_cast<std::ptrdiff_t>(header_size + end));
  return fragment;
}

auto cut(const Octets& packet, std::uint32_t identification, const Cuts& cuts) -> std::vector<Octets> {
  const std::size_t size = packet.size() - (packet[0] >> 4U == 4 ? 20 : 40);
  std::vector<Octets> fragments;
  std::size_t begin = 0;
  for (const std::size_t cut : cuts) {
    fragments.push_back(fragment_of(packet, identification, begin, cut * 8, true));
    begin = cut * 8;
  }
  fragments.push_back(fragment_of(packet, identification, begin, size, false));
  return fragments;
}

class Fragments : public Engine {
 protected:
  Fragments() { begin_anew(); }

  void begin_anew() {
    config.limits.fragments = 256;
    restart();
    map(Protocol::udp, 4000, 4000);
    map(Protocol::tcp, 8080, 8080);
  }

  /// What each fragment in turn does; what leaves is put together and told in one line.
  auto send_all(const std::vector<Octets>& fragments) -> std::vector<std::string> {
    std::vector<std::string> told;
    told.reserve(fragments.size());
    for (const Octets& fragment : fragments) told.push_back(send_one(fragment));
    return told;
  }
  auto send_one(const Octets& fragment) -> std::string {
    const auto out = send_raw(fragment);
    if (verdict.action == Action::keep) return "kept";
    if (!out) return "dropped: " + std::string(to_string(verdict.reason));
    std::vector<Octets> pieces{*out};
    for (auto output = engine->output(); !output.empty(); output = engine->output()) {
      const auto* data = reinterpret_cast<const std::uint8_t*>(output.data());
      pieces.emplace_back(data, data + output.size());
      engine->pop_output();
    }
    last = pieces.size() == 1 ? *out : reassemble(pieces).value_or(Octets{});
    return describe(last);
  }

  static auto from_inside() -> PacketBuilder { return {inside, far6}; }
  static auto from_outside() -> PacketBuilder { return {far4, pool}; }

  Octets last;
};

using Told = std::vector<std::string>;
constexpr auto outward = "192.0.2.14:4000 > 198.51.100.7:53 udp +3000 ttl 63";
constexpr auto inward = "[2001:db8:64:ff9b::c633:6407]:53 > [2001:db8:112::2]:4000 udp +3000 ttl 63";

TEST_F(Fragments, in_any_order_they_make_a_packet) {
  const auto inside_out = from_inside().udp(4000, 53).payload_size(3000).build();
  const auto outside_in = from_outside().udp(53, 4000).payload_size(3000).build();
  std::vector<std::size_t> order{0, 1, 2};
  std::uint32_t identification = 0x12345678;
  do {
    for (const auto& [packet, text] : {std::pair{inside_out, outward}, std::pair{outside_in, inward}}) {
      const auto fragments = cut(packet, ++identification, {150, 300});
      EXPECT_EQ(send_one(fragments[order[0]]), "kept");
      EXPECT_EQ(send_one(fragments[order[1]]), "kept");
      EXPECT_EQ(send_one(fragments[order[2]]), text);
      EXPECT_EQ(payload_of(last), payload_of(packet));
    }
  } while (std::ranges::next_permutation(order).found);
  EXPECT_EQ(engine->counters().reassembled, 12U);
  EXPECT_EQ(engine->counters().fragmented_packets, 0U);
}

// RFC 7915 s5.1.1, s4.1.
TEST_F(Fragments, the_identification_travels_with_the_packet) {
  send_all(cut(from_inside().udp(4000, 53).payload_size(1400).build(), 0xaaaabbbb, {100}));
  EXPECT_EQ(last[4] << 8U | last[5], 0xbbbb);
  EXPECT_EQ(last[6] << 8U | last[7], 0) << "it may be fragmented again";
  const auto fragments = cut(from_outside().udp(53, 4000).payload_size(1400).build(), 0xbeef, {100});
  EXPECT_EQ(send_one(fragments[0]), "kept");
  const auto first = send_raw(fragments[1]);
  ASSERT_TRUE(first);
  EXPECT_EQ((*first)[6], 44);
  EXPECT_EQ((*first)[44] << 8U | (*first)[45], 0);
  EXPECT_EQ((*first)[46] << 8U | (*first)[47], 0xbeef);
}

TEST_F(Fragments, a_udp_packet_without_checksum_gets_one) {
  const auto packet = from_outside().udp(53, 4000).payload_size(3000).zero_checksum().build();
  EXPECT_EQ(send_all(cut(packet, 7, {64, 200})), (Told{"kept", "kept", inward}));
}

TEST_F(Fragments, a_long_ping_goes_there_and_back) {
  const auto request = from_inside().echo_request(9).payload_size(3000).build();
  EXPECT_EQ(send_all(cut(request, 7, {155})).back(), "192.0.2.14 > 198.51.100.7 echo request 9 +3000 ttl 63");
  const auto reply = from_outside().echo_reply(9).payload_size(3000).build();
  EXPECT_EQ(send_all(cut(reply, 7, {185})).back(),
            "2001:db8:64:ff9b::c633:6407 > 2001:db8:112::2 echo reply 9 +3000 ttl 63");
}

TEST_F(Fragments, the_largest_packet_goes_both_ways) {
  for (const auto& builder : {from_inside().udp(4000, 53), from_outside().udp(53, 4000)}) {
    auto largest = builder;
    const auto packet = largest.payload_size(65'507).build();
    EXPECT_TRUE(send_all(cut(packet, 7, {4000})).back().ends_with("udp +65507 ttl 63"));
    EXPECT_EQ(payload_of(last), payload_of(packet));
  }
  // IPv6 could carry more.
  const auto packet = from_inside().udp(4000, 53).payload_size(65'508).build();
  EXPECT_EQ(send_all(cut(packet, 7, {4000})).back(), "dropped: too_long");
}

TEST_F(Fragments, a_tcp_header_may_be_cut_in_two) {
  EXPECT_EQ(send_all(cut(from_outside().tcp(50000, 8080, "S").build(), 7, {1})),
            (Told{"kept", "[2001:db8:64:ff9b::c633:6407]:50000 > [2001:db8:112::2]:8080 tcp S ttl 63"}));
}

TEST_F(Fragments, hairpinning_takes_them) {
  const auto packet =
      PacketBuilder(other_inside, "2001:db8:64:ff9b::192.0.2.14").udp(9, 4000).payload_size(3000);
  const auto told = send_all(cut(packet.build(), 7, {150, 300}));
  EXPECT_TRUE(told[2].ends_with("> [2001:db8:112::2]:4000 udp +3000 ttl 62")) << told[2];
}

TEST_F(Fragments, of_different_packets_do_not_mix) {
  const auto packet = from_inside().udp(4000, 53).payload_size(3000).build();
  auto others = packet;
  others[23] = 9;  // another host
  const auto one = cut(packet, 1, {150});
  EXPECT_EQ(send_one(one[0]), "kept");
  EXPECT_EQ(send_one(cut(packet, 2, {150})[1]), "kept") << "another identification";
  EXPECT_EQ(send_one(cut(others, 1, {150})[1]), "kept") << "another source";
  EXPECT_EQ(send_one(one[1]), outward);

  const auto udp = cut(from_outside().udp(53, 4000).payload_size(3000).build(), 1, {150});
  const auto tcp = cut(from_outside().tcp(53, 8080, "S").payload_size(3000).build(), 1, {150});
  EXPECT_EQ(send_one(udp[0]), "kept");
  EXPECT_EQ(send_one(tcp[1]), "kept") << "another protocol (RFC 791 s3.2)";
  EXPECT_EQ(send_one(udp[1]), inward);
}

TEST_F(Fragments, those_that_come_twice_are_ignored) {
  const auto fragments = cut(from_inside().udp(4000, 53).payload_size(3000).build(), 1, {150, 300});
  EXPECT_EQ(send_all({fragments[0], fragments[0], fragments[2], fragments[2], fragments[1]}),
            (Told{"kept", "kept", "kept", "kept", outward}));
}

// RFC 5722 s4, RFC 8200 s4.5.
TEST_F(Fragments, those_that_overlap_take_the_whole_packet_with_them) {
  const auto packet = from_inside().udp(4000, 53).payload_size(3000).build();
  for (const auto& [begin, end] : {std::pair{1192U, 2400U}, std::pair{1200U, 2408U}, std::pair{0U, 2408U}}) {
    const auto fragments = cut(packet, 1, {150, 300});
    EXPECT_EQ(send_one(fragments[0]), "kept");
    EXPECT_EQ(send_one(fragments[2]), "kept");
    EXPECT_EQ(send_one(fragment_of(packet, 1, begin, end, true)), "dropped: fragments_malformed");
    EXPECT_EQ(engine->counters().fragmented_packets, 0U);
  }
}

TEST_F(Fragments, the_end_of_a_packet_is_where_its_last_fragment_said) {
  const auto packet = from_inside().udp(4000, 53).payload_size(3000).build();
  EXPECT_EQ(send_all({fragment_of(packet, 1, 2000, 3008, true), fragment_of(packet, 1, 1000, 2000, false)}),
            (Told{"kept", "dropped: fragments_malformed"}));
  EXPECT_EQ(send_all({fragment_of(packet, 1, 1000, 2000, false), fragment_of(packet, 1, 2000, 3008, true)}),
            (Told{"kept", "dropped: fragments_malformed"}));
  EXPECT_EQ(send_all({fragment_of(packet, 1, 1000, 2000, false), fragment_of(packet, 1, 2000, 3008, false)}),
            (Told{"kept", "dropped: fragments_malformed"}));
}

TEST_F(Fragments, that_cannot_be_are_dropped) {
  const auto ipv6 = from_inside().udp(4000, 53).payload_size(3000).build();
  const auto ipv4 = from_outside().udp(53, 4000).payload_size(3000).build();
  for (const auto& packet : {ipv6, ipv4}) {
    EXPECT_EQ(send_one(fragment_of(packet, 1, 0, 1201, true)), "dropped: malformed") << "not in units of 8";
    auto beyond = fragment_of(packet, 1, 0, 1200, false);
    const bool is_ipv4 = packet[0] >> 4U == 4;
    put16(beyond, is_ipv4 ? 6 : 42, is_ipv4 ? 0x1fff : 0xfff8);
    if (is_ipv4) {
      put16(beyond, 10, 0);
      put16(beyond, 10, internet_checksum(std::span(beyond).first(20)));
    }
    EXPECT_EQ(send_one(beyond), "dropped: malformed") << "ends behind 65535";
    EXPECT_EQ(send_one(fragment_of(packet, 1, 8, 8, true)), "dropped: fragments_malformed") << "is empty";
  }
  EXPECT_EQ(engine->counters().fragmented_packets, 0U);
}

TEST_F(Fragments, a_packet_of_too_many_is_dropped) {
  const auto packet = from_inside().udp(4000, 53).payload_size(3000).build();
  for (std::size_t i = 0; i < Reassembly::pieces_per_packet_max; ++i)
    EXPECT_EQ(send_one(fragment_of(packet, 1, i * 8, i * 8 + 8, true)), "kept");
  EXPECT_EQ(send_one(fragment_of(packet, 1, 2000, 3008, false)), "dropped: fragments_malformed");
}

TEST_F(Fragments, wait_for_the_others_for_some_seconds) {
  const auto fragments = cut(from_inside().udp(4000, 53).payload_size(3000).build(), 1, {150});
  EXPECT_EQ(send_one(fragments[0]), "kept");
  pass(Milliseconds{4999});
  EXPECT_EQ(send_one(fragments[1]), outward);
  EXPECT_EQ(send_one(fragments[0]), "kept");
  pass(Seconds{5});
  EXPECT_EQ(engine->counters().fragmented_packets, 0U);
  EXPECT_EQ(engine->counters().drops(DropReason::fragments_incomplete), 1U);
  EXPECT_EQ(send_one(fragments[1]), "kept");
}

TEST_F(Fragments, that_wait_longest_make_room_on_their_own_side_only) {
  const auto inside_out = cut(from_inside().udp(4000, 53).payload_size(3000).build(), 1, {150});
  EXPECT_EQ(send_one(inside_out[0]), "kept");
  const auto outside_in = from_outside().udp(53, 4000).payload_size(3000).build();
  for (std::uint32_t i = 0; i < 100; ++i) EXPECT_EQ(send_one(cut(outside_in, i, {150})[0]), "kept");
  EXPECT_EQ(engine->counters().fragmented_packets, 101U);
  const auto large = from_outside().udp(53, 4000).payload_size(65000).build();
  for (std::uint32_t i = 0; i < 10; ++i) EXPECT_EQ(send_one(cut(large, 1000 + i, {8000})[0]), "kept");
  EXPECT_EQ(engine->counters().fragmented_packets, 3U) << "two large ones are all there is room for";
  EXPECT_EQ(send_one(cut(outside_in, 99, {150})[1]), "kept") << "its first fragment made room";
  EXPECT_EQ(send_one(inside_out[1]), outward);
}

// RFC 3168 s5.3.
TEST_F(Fragments, a_congestion_mark_on_one_is_on_the_packet) {
  for (const auto& builder : {from_inside().udp(4000, 53), from_outside().udp(53, 4000)}) {
    auto capable = builder;
    const auto packet = capable.tos(2).payload_size(3000).build();
    const auto marked = capable.tos(3).build();
    const auto incapable = capable.tos(0).build();
    EXPECT_TRUE(send_all({cut(packet, 1, {150})[0], cut(marked, 1, {150})[1]})[1].ends_with("tos 0x3"));
    EXPECT_TRUE(send_all({cut(packet, 1, {150})[0], cut(packet, 1, {150})[1]})[1].ends_with("tos 0x2"));
    EXPECT_EQ(send_all({cut(marked, 1, {150})[0], cut(incapable, 1, {150})[1]})[1],
              "dropped: fragments_malformed");
  }
}

TEST_F(Fragments, with_options_pass_the_checks_of_whole_packets) {
  auto routed =
      from_outside().udp(53, 4000).payload_size(1200).ipv4_options({131, 7, 4, 1, 2, 3, 4, 0}).build();
  put16(routed, 6, 0x2000);
  put16(routed, 10, 0);
  put16(routed, 10, internet_checksum(std::span(routed).first(28)));
  EXPECT_EQ(send_one(routed), "kept");
  const auto packet = from_outside().udp(53, 4000).payload_size(3000).build();
  EXPECT_EQ(send_one(fragment_of(packet, 0, 1208, 3008, false)), "dropped: source_route");
  EXPECT_TRUE(take_output().starts_with("192.0.2.14 > 198.51.100.7 icmp 3/5"));
}

TEST_F(Fragments, an_error_about_the_first_one_is_translated) {
  send(from_inside().udp(4000, 53).build());
  const auto sent = PacketBuilder(pool, far4).udp(4000, 53).payload_size(1400).build();
  auto quoted = cut(sent, 7, {150})[0];
  quoted.resize(28);
  EXPECT_EQ(send(from_outside().icmp(3, 4, 1000, quoted).build()),
            "2001:db8:64:ff9b::c633:6407 > 2001:db8:112::2 icmp 2/0 rest 0x500 "
            "[[2001:db8:112::2]:4000 > [2001:db8:64:ff9b::c633:6407]:53 udp ttl 64 size 1240] ttl 63");
  auto later = cut(sent, 7, {150})[1];
  later.resize(28);
  EXPECT_EQ(send(from_outside().icmp(3, 4, 1000, later).build()), "dropped: icmp_untranslatable");
}

RC_GTEST_FIXTURE_PROP(Fragments, whatever_the_cuts_and_the_order_the_packet_is_the_same, ()) {
  begin_anew();
  const bool is_outward = *rc::gen::arbitrary<bool>();
  const auto size = *rc::gen::inRange<std::size_t>(16, 60'000);
  auto payload = Octets(size);
  std::iota(payload.begin(), payload.end(), *rc::gen::arbitrary<std::uint8_t>());
  auto builder = is_outward ? from_inside().udp(4000, 53) : from_outside().udp(53, 4000);
  builder.payload(payload);
  if (!is_outward && *rc::gen::arbitrary<bool>()) builder.zero_checksum();
  const auto packet = builder.build();
  const auto set =
      *rc::gen::container<std::set<std::size_t>>(rc::gen::inRange<std::size_t>(1, (size + 7) / 8 + 1));
  Cuts cuts(set.begin(), set.end());
  if (cuts.size() > 40) cuts.resize(40);
  if (cuts.empty()) cuts = {1};
  const auto fragments = cut(packet, *rc::gen::arbitrary<std::uint16_t>(), cuts);
  std::vector<std::size_t> order(fragments.size());
  std::iota(order.begin(), order.end(), 0U);
  for (std::size_t i = order.size(); i > 1; --i)
    std::swap(order[i - 1], order[*rc::gen::inRange<std::size_t>(0, i)]);
  std::string told;
  for (const std::size_t which : order) {
    RC_ASSERT(told.empty());
    told = send_one(fragments[which]);
    if (told == "kept") told.clear();
  }
  RC_ASSERT(find_fault(last).empty());
  RC_ASSERT(payload_of(last) == payload);
}

}  // namespace
}  // namespace portolan::nat::test
