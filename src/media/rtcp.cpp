// SPDX-License-Identifier: BSD-2-Clause
#include "media/rtcp.h"

#include <algorithm>

#include "base/bytes.h"

namespace portolan::media {
namespace {

constexpr unsigned version = 2;
/// RFC 3550 s12.1, s12.2
constexpr std::uint8_t sender_report = 200;
constexpr std::uint8_t receiver_report = 201;
constexpr std::uint8_t source_description = 202;
constexpr std::uint8_t goodbye = 203;
constexpr std::uint8_t canonical_name_item = 1;
constexpr std::size_t header_octets = 4;
constexpr std::size_t block_octets = 24;
constexpr std::size_t sender_octets = 20;

/// One packet of the compound: what its header says, and its body.
struct Part {
  std::uint8_t count = 0;
  std::uint8_t type = 0;
  std::span<const std::byte> body;
};

/// Padding is left in: nothing read here goes beyond what its count says.
auto next_part(ByteReader& reader) -> std::expected<Part, RtcpError> {
  const auto first = reader.read<std::uint8_t>();
  Part part;
  part.count = first & 0x1fU;
  part.type = reader.read<std::uint8_t>();
  const std::size_t words = reader.read<std::uint16_t>();
  if (!reader.ok()) return std::unexpected(RtcpError::bad_length);
  if (first >> 6U != version) return std::unexpected(RtcpError::bad_version);
  part.body = reader.take(4 * words);
  if (!reader.ok()) return std::unexpected(RtcpError::bad_length);
  return part;
}

auto sign_extended(std::uint32_t value24) -> std::int32_t {
  return static_cast<std::int32_t>((value24 & 0x800000U) != 0 ? value24 | 0xff000000U : value24);
}

auto read_report(const Part& part, bool is_first, RtcpPacket& packet) -> bool {
  ByteReader reader(part.body);
  const auto ssrc = reader.read<std::uint32_t>();
  if (is_first) packet.ssrc = ssrc;
  if (part.type == sender_report) {
    SenderInfo info;
    info.ntp_time = reader.read<std::uint64_t>();
    info.rtp_timestamp = reader.read<std::uint32_t>();
    info.packets = reader.read<std::uint32_t>();
    info.octets = reader.read<std::uint32_t>();
    if (is_first) packet.sender = info;
  }
  for (unsigned i = 0; i < part.count; ++i) {
    ReportBlock block;
    block.ssrc = reader.read<std::uint32_t>();
    const auto lost = reader.read<std::uint32_t>();
    block.fraction_lost = static_cast<std::uint8_t>(lost >> 24U);
    block.cumulative_lost = sign_extended(lost & 0xffffffU);
    block.highest_sequence = reader.read<std::uint32_t>();
    block.jitter = reader.read<std::uint32_t>();
    block.last_report = reader.read<std::uint32_t>();
    block.delay = reader.read<std::uint32_t>();
    if (reader.ok() && packet.blocks.size() < report_blocks_max) packet.blocks.push_back(block);
  }
  return reader.ok();
}

/// Chunks that are cut say nothing; what stood before them holds.
void read_description(const Part& part, RtcpPacket& packet) {
  ByteReader reader(part.body);
  for (unsigned i = 0; i < part.count && reader.ok(); ++i) {
    const auto ssrc = reader.read<std::uint32_t>();
    std::size_t octets = 4;
    while (reader.ok()) {
      const auto item = reader.read<std::uint8_t>();
      ++octets;
      if (item == 0) break;
      const auto length = reader.read<std::uint8_t>();
      const auto text = reader.take(length);
      octets += 1U + length;
      if (reader.ok() && item == canonical_name_item && ssrc == packet.ssrc)
        packet.canonical_name.assign(reinterpret_cast<const char*>(text.data()), text.size());
    }
    reader.skip((4 - octets % 4) % 4);
  }
}

void read_goodbye(const Part& part, RtcpPacket& packet) {
  ByteReader reader(part.body);
  for (unsigned i = 0; i < part.count; ++i) {
    const auto ssrc = reader.read<std::uint32_t>();
    if (reader.ok() && ssrc == packet.ssrc) packet.is_bye = true;
  }
}

void write_header(ByteWriter& writer, std::size_t count, std::uint8_t type, std::size_t body_octets) {
  writer.write(static_cast<std::uint8_t>(version << 6U | count));
  writer.write(type);
  writer.write(static_cast<std::uint16_t>(body_octets / 4));
}

}  // namespace

auto to_string(RtcpError error) -> std::string_view {
  switch (error) {
    case RtcpError::too_short: return "too short";
    case RtcpError::bad_version: return "not version 2";
    case RtcpError::no_report: return "does not begin with a report";
    case RtcpError::bad_length: return "lengths that do not add up";
    case RtcpError::bad_report: return "a report shorter than its blocks";
  }
  return "?";
}

auto decode_rtcp(std::span<const std::byte> datagram) -> std::expected<RtcpPacket, RtcpError> {
  if (datagram.size() < header_octets + 4) return std::unexpected(RtcpError::too_short);
  ByteReader reader(datagram);
  RtcpPacket packet;
  for (bool is_first = true; reader.remaining() > 0; is_first = false) {
    const auto part = next_part(reader);
    if (!part) return std::unexpected(part.error());
    const bool is_report = part->type == sender_report || part->type == receiver_report;
    if (is_first && !is_report) return std::unexpected(RtcpError::no_report);
    if (is_report && !read_report(*part, is_first, packet)) return std::unexpected(RtcpError::bad_report);
    if (part->type == source_description) read_description(*part, packet);
    if (part->type == goodbye) read_goodbye(*part, packet);
  }
  return packet;
}

auto encode_rtcp(const RtcpPacket& packet) -> std::vector<std::byte> {
  const std::size_t blocks = std::min(packet.blocks.size(), report_blocks_max);
  const std::string_view name = std::string_view(packet.canonical_name).substr(0, canonical_name_octets_max);
  const std::size_t report = 4 + (packet.sender ? sender_octets : 0) + blocks * block_octets;
  // SSRC, the item, and one to four zero octets that end the chunk.
  const std::size_t items = 2 + name.size();
  const std::size_t chunk = 4 + items + (4 - items % 4);
  const std::size_t total =
      header_octets + report + header_octets + chunk + (packet.is_bye ? header_octets + 4 : 0);
  std::vector<std::byte> octets(total);
  ByteWriter writer(octets);
  write_header(writer, blocks, packet.sender ? sender_report : receiver_report, report);
  writer.write(packet.ssrc);
  if (packet.sender) {
    writer.write(packet.sender->ntp_time);
    writer.write(packet.sender->rtp_timestamp);
    writer.write(packet.sender->packets);
    writer.write(packet.sender->octets);
  }
  for (std::size_t i = 0; i < blocks; ++i) {
    const ReportBlock& block = packet.blocks[i];
    writer.write(block.ssrc);
    writer.write(std::uint32_t{block.fraction_lost} << 24U |
                 (static_cast<std::uint32_t>(block.cumulative_lost) & 0xffffffU));
    writer.write(block.highest_sequence);
    writer.write(block.jitter);
    writer.write(block.last_report);
    writer.write(block.delay);
  }
  write_header(writer, 1, source_description, chunk);
  writer.write(packet.ssrc);
  writer.write(canonical_name_item);
  writer.write(static_cast<std::uint8_t>(name.size()));
  writer.write(std::as_bytes(std::span(name)));
  writer.zeros(4 - items % 4);
  if (packet.is_bye) {
    write_header(writer, 1, goodbye, 4);
    writer.write(packet.ssrc);
  }
  return octets;
}

}  // namespace portolan::media
