// SPDX-License-Identifier: BSD-2-Clause
//
// RTP and RTCP packets, telephone-events and WAV files. Properties: what was read comes back from what is
// written of it; a payload lies within its packet; limits hold.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/check.h"
#include "media/rtcp.h"
#include "media/rtp.h"
#include "media/telephone_event.h"
#include "media/wav.h"

namespace portolan::media {
namespace {

auto is_same(const RtpPacket& left, const RtpPacket& right) -> bool {
  return left.payload_type == right.payload_type && left.marker == right.marker &&
         left.sequence_number == right.sequence_number && left.timestamp == right.timestamp &&
         left.ssrc == right.ssrc && std::ranges::equal(left.payload, right.payload);
}

void check_rtp(std::span<const std::byte> octets) {
  const auto packet = decode_rtp(octets);
  if (!packet) return;
  PORTOLAN_CHECK(packet->payload.size() + rtp_header_octets <= octets.size());
  std::vector<std::byte> buffer(rtp_header_octets + packet->payload.size());
  PORTOLAN_CHECK(encode_rtp(*packet, buffer) == buffer.size());
  const auto again = decode_rtp(buffer);
  PORTOLAN_CHECK(again && is_same(*again, *packet));
}

void check_rtcp(std::span<const std::byte> octets) {
  const auto packet = decode_rtcp(octets);
  if (!packet) return;
  PORTOLAN_CHECK(packet->blocks.size() <= report_blocks_max);
  PORTOLAN_CHECK(packet->canonical_name.size() <= canonical_name_octets_max);
  const auto again = decode_rtcp(encode_rtcp(*packet));
  PORTOLAN_CHECK(again && *again == *packet);
}

}  // namespace

extern "C" auto LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) -> int {
  const auto octets = std::as_bytes(std::span(data, size));
  check_rtp(octets);
  check_rtcp(octets);
  if (const auto event = decode_telephone_event(octets))
    PORTOLAN_CHECK(decode_telephone_event(encode_telephone_event(*event)) == *event);
  if (const auto samples = parse_wav(octets)) PORTOLAN_CHECK(parse_wav(encode_wav(*samples)) == *samples);
  return 0;
}

}  // namespace portolan::media
