// SPDX-License-Identifier: BSD-2-Clause
//
// Writes datagrams field by field. Lenient where the decoder is strict: what can be read of a
// malformed message is shown, with the reason why nobody would accept it.
#include "wire/describe.h"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/bytes.h"
#include "base/nonce.h"
#include "wire/describe_parts.h"
#include "wire/nat_pmp.h"
#include "wire/protocol.h"

namespace portolan::wire {
namespace {

constexpr std::size_t hex_octets_per_line = 16;
/// More of an undecoded part than this is counted, not shown.
constexpr std::size_t hex_octets_max = 256;

constexpr std::size_t map_body_octets = map_message_octets - header_octets;
constexpr std::size_t peer_body_octets = peer_message_octets - header_octets;
/// AUTHENTICATION opcode data (RFC 7652 s5.2).
constexpr std::size_t authentication_body_octets = 8;

auto protocol_text(Protocol protocol) -> std::string {
  const auto number = std::to_underlying(protocol);
  if (protocol == Protocol::all) return "0 (all protocols)";
  const std::string name = to_string(protocol);
  return name == std::to_string(number) ? name : fmt::format("{} ({})", number, name);
}

void describe_map(Lines& lines, ByteReader& reader, std::uint8_t version, bool is_response) {
  const std::string_view kind = is_response ? "Assigned" : "Suggested";
  if (version != version_1) {
    Nonce nonce;
    reader.copy_to(nonce.octets);
    lines.add(1, "Mapping Nonce: {}", to_string(nonce));
  }
  lines.add(1, "Protocol: {}", protocol_text(static_cast<Protocol>(reader.read<std::uint8_t>())));
  lines.add_reserved(1, reader.take(3));
  lines.add(1, "Internal Port: {}", reader.read<std::uint16_t>());
  lines.add(1, "{} External Port: {}", kind, reader.read<std::uint16_t>());
  lines.add(1, "{} External IP Address: {}", kind, address_text(reader.read_address()));
}

void describe_peer(Lines& lines, ByteReader& reader, std::uint8_t version, bool is_response) {
  describe_map(lines, reader, version, is_response);
  lines.add(1, "Remote Peer Port: {}", reader.read<std::uint16_t>());
  lines.add_reserved(1, reader.take(2));
  lines.add(1, "Remote Peer IP Address: {}", address_text(reader.read_address()));
}

void describe_authentication(Lines& lines, ByteReader& reader) {
  lines.add(1, "Session ID: {}", reader.read<std::uint32_t>());
  lines.add(1, "Sequence Number: {}", reader.read<std::uint32_t>());
}

/// Body and options behind the header.
void describe_payload(Lines& lines, std::uint8_t version, Opcode opcode, bool is_response,
                      std::span<const std::byte> payload) {
  const std::size_t nonce_missing = version == version_1 ? nonce_octets : 0;
  const auto body_octets = [&]() -> std::size_t {
    switch (opcode) {
      case Opcode::announce: return 0;
      case Opcode::map: return map_body_octets - nonce_missing;
      case Opcode::peer: return peer_body_octets - nonce_missing;
      case Opcode::authentication: return authentication_body_octets;
    }
    return payload.size() + 1;
  }();
  if (payload.size() < body_octets) {
    if (payload.empty() && std::to_underlying(opcode) > std::to_underlying(Opcode::authentication)) return;
    lines.add(1, "Opcode-specific octets, not decoded ({}):",
              std::to_underlying(opcode) > std::to_underlying(Opcode::authentication)
                  ? "unknown opcode"
                  : "too short for the opcode");
    lines.add_hex(2, payload);
    return;
  }
  ByteReader reader(payload);
  if (opcode == Opcode::map) describe_map(lines, reader, version, is_response);
  if (opcode == Opcode::peer) describe_peer(lines, reader, version, is_response);
  if (opcode == Opcode::authentication) describe_authentication(lines, reader);
  describe_options(lines, payload.subspan(body_octets));
}

void describe_pcp(Lines& lines, std::span<const std::byte> datagram) {
  ByteReader reader(datagram);
  const auto version = reader.read<std::uint8_t>();
  const auto opcode_octet = reader.read<std::uint8_t>();
  const bool is_response = (opcode_octet & response_bit) != 0;
  const auto opcode = static_cast<Opcode>(opcode_octet & ~response_bit);
  const std::string name = to_string(opcode);
  lines.add(0, "PCP {}{} {}, {} octets", version == version_1 ? "version 1 " : "", name,
            is_response ? "response" : "request", datagram.size());
  const std::size_t limit = message_limit(version);
  if (datagram.size() > limit) lines.add(1, "Malformed: longer than {} octets", limit);
  if (datagram.size() % 4 != 0) lines.add(1, "Malformed: not a multiple of 4 octets long");
  lines.add(1, "Version: {}{}", version, version == version_1 ? " (drafts before RFC 6887)" : "");
  lines.add(1, "Opcode: {} ({})", std::to_underlying(opcode),
            name.starts_with("opcode ") ? "unassigned" : name);
  if (is_response) {
    lines.add_reserved(1, reader.take(1));
    const auto result = static_cast<ResultCode>(reader.read<std::uint8_t>());
    const std::string word = to_string(result);
    lines.add(1, "Result Code: {} ({})", std::to_underlying(result),
              word.starts_with("result code ") ? "unassigned" : word);
    lines.add(1, "Lifetime: {} s", reader.read<std::uint32_t>());
    lines.add(1, "Epoch Time: {} s", reader.read<std::uint32_t>());
    lines.add_reserved(1, reader.take(12));
  } else {
    lines.add_reserved(1, reader.take(2));
    lines.add(1, "Requested Lifetime: {} s", reader.read<std::uint32_t>());
    lines.add(1, "PCP Client's IP Address: {}", address_text(reader.read_address()));
  }
  describe_payload(lines, version, opcode, is_response, reader.take(reader.remaining()));
}

}  // namespace

void Lines::add_hex(std::size_t level, std::span<const std::byte> octets) {
  const std::size_t hidden = octets.size() - std::min(octets.size(), hex_octets_max);
  octets = octets.first(octets.size() - hidden);
  while (!octets.empty()) {
    const auto line = octets.first(std::min(octets.size(), hex_octets_per_line));
    std::string hex;
    for (const std::byte octet : line)
      fmt::format_to(std::back_inserter(hex), "{}{:02x}", hex.empty() ? "" : " ",
                     std::to_integer<unsigned>(octet));
    add(level, "{}", hex);
    octets = octets.subspan(line.size());
  }
  if (hidden != 0) add(level, "... and {} octets more", hidden);
}

void Lines::add_reserved(std::size_t level, std::span<const std::byte> octets) {
  if (is_zero(octets)) return;
  add(level, "Reserved (not zero):");
  add_hex(level + 1, octets);
}

auto address_text(const IpAddress& address) -> std::string {
  return address.is_ipv4() ? fmt::format("{} (::ffff:{})", address, address) : to_string(address);
}

auto is_zero(std::span<const std::byte> octets) -> bool {
  return std::ranges::all_of(octets, [](std::byte octet) { return octet == std::byte{0}; });
}

auto describe(std::span<const std::byte> datagram, std::size_t indent) -> std::string {
  Lines lines(indent);
  const auto version = datagram.empty() ? std::uint8_t{0} : std::to_integer<std::uint8_t>(datagram[0]);
  const bool is_pcp = version == version_1 || version == version_2;
  if (datagram.size() >= header_octets && is_pcp) {
    describe_pcp(lines, datagram);
  } else if (datagram.size() >= 2 && version == nat_pmp::version) {
    describe_nat_pmp(lines, datagram);
  } else {
    const std::string reason = datagram.size() < 2 ? "shorter than 2 octets"
                               : is_pcp            ? "shorter than the 24 octets of a header"
                                                   : fmt::format("version {}", version);
    lines.add(0, "Not a PCP or NAT-PMP message ({}), {} octets{}", reason, datagram.size(),
              datagram.empty() ? "" : ":");
    lines.add_hex(1, datagram);
  }
  return std::move(lines).text();
}

}  // namespace portolan::wire
