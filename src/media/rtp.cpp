// SPDX-License-Identifier: BSD-2-Clause
#include "media/rtp.h"

#include "base/bytes.h"

namespace portolan::media {
namespace {

constexpr unsigned version = 2;
constexpr std::uint8_t rtcp_like_first = 72;
constexpr std::uint8_t rtcp_like_last = 76;

}  // namespace

auto to_string(RtpError error) -> std::string_view {
  switch (error) {
    case RtpError::too_short: return "too short";
    case RtpError::bad_version: return "not version 2";
    case RtpError::is_rtcp: return "an RTCP packet";
    case RtpError::bad_extension: return "an extension longer than the packet";
    case RtpError::bad_padding: return "padding longer than the packet";
  }
  return "?";
}

auto decode_rtp(std::span<const std::byte> datagram) noexcept -> std::expected<RtpPacket, RtpError> {
  ByteReader reader(datagram);
  const auto first = reader.read<std::uint8_t>();
  const auto second = reader.read<std::uint8_t>();
  RtpPacket packet;
  packet.sequence_number = reader.read<std::uint16_t>();
  packet.timestamp = reader.read<std::uint32_t>();
  packet.ssrc = reader.read<std::uint32_t>();
  if (!reader.ok()) return std::unexpected(RtpError::too_short);
  if (first >> 6U != version) return std::unexpected(RtpError::bad_version);
  packet.marker = (second & 0x80U) != 0;
  packet.payload_type = second & payload_type_max;
  if (packet.payload_type >= rtcp_like_first && packet.payload_type <= rtcp_like_last)
    return std::unexpected(RtpError::is_rtcp);
  reader.skip(std::size_t{4} * (first & 0x0fU));
  if (!reader.ok()) return std::unexpected(RtpError::too_short);
  if ((first & 0x10U) != 0) {
    reader.skip(2);
    const std::size_t words = reader.read<std::uint16_t>();
    reader.skip(4 * words);
    if (!reader.ok()) return std::unexpected(RtpError::bad_extension);
  }
  packet.payload = reader.take(reader.remaining());
  if ((first & 0x20U) != 0) {
    const std::size_t padding =
        packet.payload.empty() ? 0 : std::to_integer<std::size_t>(packet.payload.back());
    if (padding == 0 || padding > packet.payload.size()) return std::unexpected(RtpError::bad_padding);
    packet.payload = packet.payload.first(packet.payload.size() - padding);
  }
  return packet;
}

auto encode_rtp(const RtpPacket& packet, std::span<std::byte> buffer) noexcept -> std::size_t {
  ByteWriter writer(buffer);
  writer.write(std::uint8_t{version << 6U});
  writer.write(static_cast<std::uint8_t>((packet.marker ? 0x80U : 0U) | (packet.payload_type & 0x7fU)));
  writer.write(packet.sequence_number);
  writer.write(packet.timestamp);
  writer.write(packet.ssrc);
  writer.write(packet.payload);
  return writer.ok() ? writer.size() : 0;
}

}  // namespace portolan::media
