// SPDX-License-Identifier: BSD-2-Clause
#include "wire/dissect.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "base/address.h"
#include "base/nonce.h"
#include "wire/dissect_parts.h"
#include "wire/nat_pmp.h"
#include "wire/protocol.h"

namespace portolan::wire {
namespace {

constexpr std::size_t map_body_octets = map_message_octets - header_octets;
constexpr std::size_t peer_body_octets = peer_message_octets - header_octets;
/// AUTHENTICATION opcode data (RFC 7652 s5.2).
constexpr std::size_t authentication_body_octets = 8;

constexpr std::string_view message_source = "RFC 6887 s7";
constexpr std::string_view request_source = "RFC 6887 s7.1";
constexpr std::string_view response_source = "RFC 6887 s7.2";
constexpr std::string_view map_source = "RFC 6887 s11.1";
constexpr std::string_view peer_source = "RFC 6887 s12.1";
constexpr std::string_view authentication_source = "RFC 7652 s5.2";

auto protocol_text(Protocol protocol) -> std::string {
  const auto number = std::to_underlying(protocol);
  if (protocol == Protocol::all) return "0 (all protocols)";
  const std::string name = to_string(protocol);
  return name == std::to_string(number) ? name : fmt::format("{} ({})", number, name);
}

auto is_known(Opcode opcode) -> bool {
  return std::to_underlying(opcode) <= std::to_underlying(Opcode::authentication);
}

/// The part that MAP and PEER have in common; `source` defines it.
void dissect_map(Dissection& message, std::uint8_t version, bool is_response, std::string_view source) {
  const std::string_view kind = is_response ? "Assigned" : "Suggested";
  std::size_t from = message.offset();
  if (version != version_1) {
    Nonce nonce;
    std::ranges::copy(message.ahead(nonce_octets), nonce.octets.begin());
    message.skip(nonce_octets);
    message.value(1, from, "Mapping Nonce", source, "{}", to_string(nonce));
    from = message.offset();
  }
  const auto protocol = static_cast<Protocol>(message.read<std::uint8_t>());
  message.value(1, from, "Protocol", source, "{}", protocol_text(protocol));
  message.reserved(1, 3, source);
  from = message.offset();
  const auto internal_port = message.read<std::uint16_t>();
  message.value(1, from, "Internal Port", source, "{}", internal_port);
  from = message.offset();
  const auto external_port = message.read<std::uint16_t>();
  message.value(1, from, fmt::format("{} External Port", kind), source, "{}", external_port);
  from = message.offset();
  const IpAddress external_address = message.read_address();
  message.value(1, from, fmt::format("{} External IP Address", kind), source, "{}",
                address_text(external_address));
}

void dissect_peer(Dissection& message, std::uint8_t version, bool is_response) {
  dissect_map(message, version, is_response, peer_source);
  std::size_t from = message.offset();
  const auto port = message.read<std::uint16_t>();
  message.value(1, from, "Remote Peer Port", peer_source, "{}", port);
  message.reserved(1, 2, peer_source);
  from = message.offset();
  const IpAddress address = message.read_address();
  message.value(1, from, "Remote Peer IP Address", peer_source, "{}", address_text(address));
}

void dissect_authentication(Dissection& message) {
  std::size_t from = message.offset();
  const auto session = message.read<std::uint32_t>();
  message.value(1, from, "Session ID", authentication_source, "{}", session);
  from = message.offset();
  const auto sequence = message.read<std::uint32_t>();
  message.value(1, from, "Sequence Number", authentication_source, "{}", sequence);
}

auto body_octets(Opcode opcode, std::uint8_t version) -> std::size_t {
  const std::size_t nonce_missing = version == version_1 ? nonce_octets : 0;
  switch (opcode) {
    case Opcode::announce: return 0;
    case Opcode::map: return map_body_octets - nonce_missing;
    case Opcode::peer: return peer_body_octets - nonce_missing;
    case Opcode::authentication: return authentication_body_octets;
  }
  return 0;
}

/// Body and options behind the header.
void dissect_payload(Dissection& message, std::uint8_t version, Opcode opcode, bool is_response) {
  if (!is_known(opcode))
    return message.octets(1, message.remaining(), "Opcode-specific octets, not decoded (unknown opcode)",
                          message_source);
  if (message.remaining() < body_octets(opcode, version))
    return message.octets(1, message.remaining(),
                          "Opcode-specific octets, not decoded (too short for the opcode)", message_source);
  if (opcode == Opcode::map) dissect_map(message, version, is_response, map_source);
  if (opcode == Opcode::peer) dissect_peer(message, version, is_response);
  if (opcode == Opcode::authentication) dissect_authentication(message);
  dissect_options(message);
}

void dissect_response_header(Dissection& message) {
  message.reserved(1, 1, response_source);
  std::size_t from = message.offset();
  const auto result = static_cast<ResultCode>(message.read<std::uint8_t>());
  const std::string word = to_string(result);
  message.value(1, from, "Result Code", "RFC 6887 s7.4", "{} ({})", std::to_underlying(result),
                word.starts_with("result code ") ? "unassigned" : word);
  from = message.offset();
  const auto lifetime = message.read<std::uint32_t>();
  message.value(1, from, "Lifetime", response_source, "{} s", lifetime);
  from = message.offset();
  const auto epoch_time = message.read<std::uint32_t>();
  message.value(1, from, "Epoch Time", "RFC 6887 s8.5", "{} s", epoch_time);
  message.reserved(1, 12, response_source);
}

void dissect_request_header(Dissection& message) {
  message.reserved(1, 2, request_source);
  std::size_t from = message.offset();
  const auto lifetime = message.read<std::uint32_t>();
  message.value(1, from, "Requested Lifetime", request_source, "{} s", lifetime);
  from = message.offset();
  const IpAddress client = message.read_address();
  message.value(1, from, "PCP Client's IP Address", request_source, "{}", address_text(client));
}

void dissect_pcp(Dissection& message) {
  const auto head = message.ahead(2);
  const auto version = std::to_integer<std::uint8_t>(head[0]);
  const auto opcode_octet = std::to_integer<std::uint8_t>(head[1]);
  const bool is_response = (opcode_octet & response_bit) != 0;
  const auto opcode = static_cast<Opcode>(opcode_octet & ~response_bit);
  const std::string name = to_string(opcode);
  const std::size_t size = message.remaining();
  const std::string_view header_source = is_response ? response_source : request_source;
  message.heading(0, size,
                  fmt::format("PCP {}{} {}", version == version_1 ? "version 1 " : "", name,
                              is_response ? "response" : "request"),
                  fmt::format("{} octets", size), header_source);
  const std::size_t limit = message_limit(version);
  if (size > limit) message.fault(1, fmt::format("longer than {} octets", limit), message_source);
  if (size % 4 != 0) message.fault(1, "not a multiple of 4 octets long", message_source);
  message.skip(1);
  message.value(1, 0, "Version", header_source, "{}{}", version,
                version == version_1 ? " (drafts before RFC 6887)" : "");
  message.skip(1);
  message.value(1, 1, "Opcode", header_source, "{} ({})", std::to_underlying(opcode),
                is_known(opcode) ? name : "unassigned");
  if (is_response)
    dissect_response_header(message);
  else
    dissect_request_header(message);
  dissect_payload(message, version, opcode, is_response);
}

}  // namespace

auto to_string(Field::Kind kind) -> std::string_view {
  switch (kind) {
    case Field::Kind::heading: return "heading";
    case Field::Kind::value: return "value";
    case Field::Kind::frame: return "frame";
    case Field::Kind::reserved: return "reserved";
    case Field::Kind::octets: return "octets";
    case Field::Kind::fault: return "fault";
  }
  return "unknown";
}

void Dissection::add_octets(Field::Kind kind, std::size_t level, std::size_t count, std::string_view name,
                            std::string_view source) {
  if (count == 0) return;
  std::string hex;
  for (const std::byte octet : ahead(count))
    fmt::format_to(std::back_inserter(hex), "{}{:02x}", hex.empty() ? "" : " ",
                   std::to_integer<unsigned>(octet));
  fields_.push_back({.kind = kind,
                     .level = level,
                     .offset = offset_,
                     .size = count,
                     .name = std::string(name),
                     .value = std::move(hex),
                     .source = source});
  offset_ += count;
}

auto address_text(const IpAddress& address) -> std::string {
  return address.is_ipv4() ? fmt::format("{} (::ffff:{})", address, address) : to_string(address);
}

auto is_zero(std::span<const std::byte> octets) -> bool {
  return std::ranges::all_of(octets, [](std::byte octet) { return octet == std::byte{0}; });
}

auto dissect(std::span<const std::byte> datagram) -> std::vector<Field> {
  Dissection message(datagram);
  const auto version = datagram.empty() ? std::uint8_t{0} : std::to_integer<std::uint8_t>(datagram[0]);
  const bool is_pcp = version == version_1 || version == version_2;
  if (datagram.size() >= header_octets && is_pcp) {
    dissect_pcp(message);
  } else if (datagram.size() >= 2 && version == nat_pmp::version) {
    dissect_nat_pmp(message);
  } else {
    const std::string reason = datagram.size() < 2 ? "shorter than 2 octets"
                               : is_pcp            ? "shorter than the 24 octets of a header"
                                                   : fmt::format("version {}", version);
    message.heading(0, datagram.size(), fmt::format("Not a PCP or NAT-PMP message ({})", reason),
                    fmt::format("{} octets", datagram.size()), message_source);
    message.octets(1, datagram.size());
  }
  return std::move(message).fields();
}

}  // namespace portolan::wire
