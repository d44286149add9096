// SPDX-License-Identifier: BSD-2-Clause
#include "media/rtp.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

#include "media/rtcp.h"

namespace portolan::media {
namespace {

using Octets = std::vector<std::uint8_t>;

auto bytes(const Octets& octets) { return std::as_bytes(std::span(octets)); }

const Octets plain{0x80, 0x80, 0x12, 0x34, 0, 0, 0, 160, 0xde, 0xad, 0xbe, 0xef, 1, 2, 3};

TEST(Rtp, a_packet_is_read_field_by_field) {
  const auto packet = decode_rtp(bytes(plain));
  ASSERT_TRUE(packet);
  EXPECT_TRUE(packet->marker);
  EXPECT_EQ(packet->payload_type, 0);
  EXPECT_EQ(packet->sequence_number, 0x1234);
  EXPECT_EQ(packet->timestamp, 160U);
  EXPECT_EQ(packet->ssrc, 0xdeadbeefU);
  EXPECT_EQ(packet->payload.size(), 3U);
}

TEST(Rtp, what_is_written_is_what_was_read) {
  std::array<std::byte, 64> buffer{};
  const std::size_t size = encode_rtp(*decode_rtp(bytes(plain)), buffer);
  ASSERT_EQ(size, plain.size());
  EXPECT_TRUE(std::ranges::equal(std::span(buffer).first(size), bytes(plain)));
}

TEST(Rtp, a_buffer_that_is_too_small_by_one_octet_gets_nothing) {
  std::vector<std::byte> buffer(plain.size() - 1);
  EXPECT_EQ(encode_rtp(*decode_rtp(bytes(plain)), buffer), 0U);
}

TEST(Rtp, contributing_sources_extension_and_padding_are_left_out) {
  const Octets octets{0xb1, 0x08, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2,  // V, P, X, one CSRC
                      9,    9,    9, 9,                          // CSRC
                      0xbe, 0xde, 0, 1, 7, 7, 7, 7,              // extension of one word
                      42,   0,    2};                            // a sample and two octets of padding
  const auto packet = decode_rtp(bytes(octets));
  ASSERT_TRUE(packet);
  EXPECT_EQ(packet->payload_type, 8);
  ASSERT_EQ(packet->payload.size(), 1U);
  EXPECT_EQ(packet->payload[0], std::byte{42});
}

TEST(Rtp, what_is_no_packet_is_refused_with_its_reason) {
  struct Case {
    Octets octets;
    RtpError error;
  };
  const std::vector<Case> cases{
      {{}, RtpError::too_short},
      {{0x80, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0}, RtpError::too_short},
      {{0x40, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2}, RtpError::bad_version},
      {{0x80, 200, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2}, RtpError::is_rtcp},
      {{0x81, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2}, RtpError::too_short},
      {{0x90, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1}, RtpError::bad_extension},
      {{0xa0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2}, RtpError::bad_padding},
      {{0xa0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0}, RtpError::bad_padding},
      {{0xa0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 2}, RtpError::bad_padding},
  };
  for (const Case& each : cases) {
    const auto packet = decode_rtp(bytes(each.octets));
    ASSERT_FALSE(packet) << each.octets.size();
    EXPECT_EQ(packet.error(), each.error) << to_string(packet.error());
  }
}

TEST(Rtp, payload_types_beside_those_of_rtcp_are_accepted) {
  for (const std::uint8_t type : std::to_array<std::uint8_t>({71, 77, 127})) {
    const Octets octets{0x80, type, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2};
    EXPECT_TRUE(decode_rtp(bytes(octets)).has_value()) << int{type};
  }
}

auto whole_report() -> RtcpPacket {
  RtcpPacket packet;
  packet.ssrc = 0x01020304;
  packet.sender =
      SenderInfo{.ntp_time = 0x1122334455667788, .rtp_timestamp = 160, .packets = 3, .octets = 480};
  packet.blocks.push_back({.ssrc = 5,
                           .fraction_lost = 64,
                           .cumulative_lost = -3,
                           .highest_sequence = 0x1fffe,
                           .jitter = 12,
                           .last_report = 0xaabbccdd,
                           .delay = 65536});
  packet.canonical_name = "client4@mysip.example";
  return packet;
}

TEST(Rtcp, a_report_is_read_as_it_was_written) {
  for (const bool is_bye : {false, true}) {
    RtcpPacket packet = whole_report();
    packet.is_bye = is_bye;
    const auto octets = encode_rtcp(packet);
    EXPECT_EQ(octets.size() % 4, 0U);
    const auto read = decode_rtcp(octets);
    ASSERT_TRUE(read) << to_string(read.error());
    EXPECT_EQ(*read, packet);
  }
}

TEST(Rtcp, names_of_all_lengths_are_padded_right) {
  for (std::size_t length = 0; length <= canonical_name_octets_max + 1; ++length) {
    RtcpPacket packet;
    packet.canonical_name.assign(length, 'n');
    const auto read = decode_rtcp(encode_rtcp(packet));
    ASSERT_TRUE(read) << length;
    EXPECT_EQ(read->canonical_name.size(), std::min(length, canonical_name_octets_max));
  }
}

TEST(Rtcp, blocks_beyond_a_report_s_limit_are_cut) {
  for (const std::size_t count : {report_blocks_max - 1, report_blocks_max, report_blocks_max + 1}) {
    RtcpPacket packet;
    packet.blocks.resize(count);
    const auto read = decode_rtcp(encode_rtcp(packet));
    ASSERT_TRUE(read);
    EXPECT_EQ(read->blocks.size(), std::min(count, report_blocks_max));
  }
}

TEST(Rtcp, what_is_no_report_is_refused_with_its_reason) {
  struct Case {
    Octets octets;
    RtcpError error;
  };
  const std::vector<Case> cases{
      {{}, RtcpError::too_short},
      {{0x80, 201, 0, 1, 0, 0, 0}, RtcpError::too_short},
      {{0x40, 201, 0, 1, 0, 0, 0, 1}, RtcpError::bad_version},
      {{0x81, 202, 0, 1, 0, 0, 0, 1}, RtcpError::no_report},
      {{0x80, 201, 0, 2, 0, 0, 0, 1}, RtcpError::bad_length},
      {{0x80, 201, 0, 1, 0, 0, 0, 1, 0x80}, RtcpError::bad_length},
      {{0x81, 201, 0, 1, 0, 0, 0, 1}, RtcpError::bad_report},
      {{0x80, 200, 0, 1, 0, 0, 0, 1}, RtcpError::bad_report},
  };
  for (const Case& each : cases) {
    const auto packet = decode_rtcp(bytes(each.octets));
    ASSERT_FALSE(packet) << each.octets.size();
    EXPECT_EQ(packet.error(), each.error) << to_string(packet.error());
  }
}

TEST(Rtcp, unknown_packets_and_those_of_others_are_skipped) {
  const Octets octets{0x80, 201, 0, 1, 0, 0, 0, 1,   // our report, empty
                      0x80, 207, 0, 1, 9, 9, 9, 9,   // XR
                      0x81, 203, 0, 1, 0, 0, 0, 2};  // somebody else leaves
  const auto packet = decode_rtcp(bytes(octets));
  ASSERT_TRUE(packet);
  EXPECT_EQ(packet->ssrc, 1U);
  EXPECT_FALSE(packet->is_bye);
}

}  // namespace
}  // namespace portolan::media
