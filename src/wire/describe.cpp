// SPDX-License-Identifier: BSD-2-Clause
//
// Writes datagrams field by field. Lenient where the decoder is strict: what can be read of a
// malformed message is shown, with the reason why nobody would accept it.
#include "wire/describe.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/bytes.h"
#include "base/nonce.h"
#include "wire/escape.h"
#include "wire/message.h"
#include "wire/protocol.h"

namespace portolan::wire {
namespace {

constexpr std::size_t hex_octets_per_line = 16;
/// More of an undecoded part than this is counted, not shown.
constexpr std::size_t hex_octets_max = 256;

constexpr std::size_t map_body_octets = map_message_octets - header_octets;
/// PEER opcode data (RFC 6887 s12.1).
constexpr std::size_t peer_body_octets = 56;
/// AUTHENTICATION opcode data (RFC 7652 s5.2).
constexpr std::size_t authentication_body_octets = 8;

/// Collects lines at the indent of the caller, deeper ones at two more spaces a level.
class Lines {
 public:
  explicit Lines(std::size_t indent) : indent_(indent) {}

  template <typename... Values>
  void add(std::size_t level, fmt::format_string<Values...> format, Values&&... values) {
    text_.append(indent_ + 2 * level, ' ');
    fmt::format_to(std::back_inserter(text_), format, std::forward<Values>(values)...);
    text_.push_back('\n');
  }

  void add_hex(std::size_t level, std::span<const std::byte> octets) {
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

  [[nodiscard]] auto text() && -> std::string { return std::move(text_); }

 private:
  std::string text_;
  std::size_t indent_;
};

auto protocol_text(Protocol protocol) -> std::string {
  const auto number = std::to_underlying(protocol);
  if (protocol == Protocol::all) return "0 (all protocols)";
  const std::string name = to_string(protocol);
  return name == std::to_string(number) ? name : fmt::format("{} ({})", number, name);
}

auto address_text(const IpAddress& address) -> std::string {
  return address.is_ipv4() ? fmt::format("{} (::ffff:{})", address, address) : to_string(address);
}

auto is_zero(std::span<const std::byte> octets) -> bool {
  return std::ranges::all_of(octets, [](std::byte octet) { return octet == std::byte{0}; });
}

/// Reserved fields are worth a line only if someone used them.
void describe_reserved(Lines& lines, std::size_t level, std::span<const std::byte> octets) {
  if (is_zero(octets)) return;
  lines.add(level, "Reserved (not zero):");
  lines.add_hex(level + 1, octets);
}

void describe_map(Lines& lines, ByteReader& reader, bool is_response) {
  const std::string_view kind = is_response ? "Assigned" : "Suggested";
  Nonce nonce;
  reader.copy_to(nonce.octets);
  lines.add(1, "Mapping Nonce: {}", to_string(nonce));
  lines.add(1, "Protocol: {}", protocol_text(static_cast<Protocol>(reader.read<std::uint8_t>())));
  describe_reserved(lines, 1, reader.take(3));
  lines.add(1, "Internal Port: {}", reader.read<std::uint16_t>());
  lines.add(1, "{} External Port: {}", kind, reader.read<std::uint16_t>());
  lines.add(1, "{} External IP Address: {}", kind, address_text(reader.read_address()));
}

void describe_peer(Lines& lines, ByteReader& reader, bool is_response) {
  describe_map(lines, reader, is_response);
  lines.add(1, "Remote Peer Port: {}", reader.read<std::uint16_t>());
  describe_reserved(lines, 1, reader.take(2));
  lines.add(1, "Remote Peer IP Address: {}", address_text(reader.read_address()));
}

void describe_authentication(Lines& lines, ByteReader& reader) {
  lines.add(1, "Session ID: {}", reader.read<std::uint32_t>());
  lines.add(1, "Sequence Number: {}", reader.read<std::uint32_t>());
}

/// RFC 6887 s13.3.
auto describe_filter(Lines& lines, ByteReader& reader) -> bool {
  if (reader.remaining() != 20) return false;
  describe_reserved(lines, 2, reader.take(1));
  lines.add(2, "Prefix Length: {}", reader.read<std::uint8_t>());
  lines.add(2, "Remote Peer Port: {}", reader.read<std::uint16_t>());
  lines.add(2, "Remote Peer IP Address: {}", address_text(reader.read_address()));
  return true;
}

/// RFC 7225 s4.1: 12 octets hold prefix and suffix, `prefix_octets` of them the prefix.
auto describe_prefix64(Lines& lines, ByteReader& reader) -> bool {
  const std::size_t prefix_octets = reader.read<std::uint16_t>();
  const auto prefix_and_suffix = reader.take(12);
  if (!reader.ok() || prefix_octets > 12) return false;
  Ipv6Address prefix;
  std::memcpy(prefix.octets.data(), prefix_and_suffix.data(), prefix_octets);
  lines.add(2, "Prefix64: {}/{}", IpAddress{prefix}, 8 * prefix_octets);
  const auto suffix = prefix_and_suffix.subspan(prefix_octets);
  if (!is_zero(suffix)) {
    lines.add(2, "Suffix:");
    lines.add_hex(3, suffix);
  }
  if (reader.remaining() == 0) return true;
  const std::size_t count = reader.read<std::uint16_t>();
  lines.add(2, "IPv4 Prefix Count: {}", count);
  for (std::size_t i = 0; i < count && reader.remaining() >= 6; ++i) {
    const auto length = reader.read<std::uint16_t>();
    lines.add(2, "IPv4 Prefix: {}/{}", Ipv4Address{reader.read<std::uint32_t>()}, length);
  }
  return true;
}

/// RFC 7753 s4.
auto describe_port_set(Lines& lines, ByteReader& reader) -> bool {
  if (reader.remaining() != 5) return false;
  lines.add(2, "Port Set Size: {}", reader.read<std::uint16_t>());
  lines.add(2, "First Internal Port: {}", reader.read<std::uint16_t>());
  lines.add(2, "Parity Bit: {}", reader.read<std::uint8_t>() & 1U);
  return true;
}

/// False if the data is not as the option's definition says, or the option is not known here.
auto describe_option_data(Lines& lines, const Option& option) -> bool {
  ByteReader reader(option.data);
  switch (option.code) {
    case OptionCode::third_party:
      if (option.data.size() != 16) return false;
      lines.add(2, "Internal IP Address: {}", address_text(reader.read_address()));
      return true;
    case OptionCode::filter: return describe_filter(lines, reader);
    case OptionCode::description: lines.add(2, "Description: \"{}\"", escape(option.data)); return true;
    case OptionCode::prefix64: return describe_prefix64(lines, reader);
    case OptionCode::port_set: return describe_port_set(lines, reader);
    default: return option.data.empty();
  }
}

void describe_options(Lines& lines, std::span<const std::byte> octets) {
  const OptionList options(octets);
  std::size_t used = 0;
  for (const Option& option : options) {
    const std::string name = to_string(option.code);
    const bool is_named = !name.starts_with("option ");
    lines.add(1, "Option {}{}, {} octets{}",
              is_named ? name : std::to_string(std::to_underlying(option.code)),
              is_named ? fmt::format(" ({})", std::to_underlying(option.code)) : " (unassigned)",
              option.data.size(), option.data.empty() ? "" : ":");
    if (!describe_option_data(lines, option)) lines.add_hex(2, option.data);
    used += option_header_octets + padded(option.data.size());
  }
  if (used == octets.size()) return;
  lines.add(1, "Malformed options: a length runs past the end of the message:");
  lines.add_hex(2, octets.subspan(used));
}

/// Body and options behind the header.
void describe_payload(Lines& lines, Opcode opcode, bool is_response, std::span<const std::byte> payload) {
  const auto body_octets = [&]() -> std::size_t {
    switch (opcode) {
      case Opcode::announce: return 0;
      case Opcode::map: return map_body_octets;
      case Opcode::peer: return peer_body_octets;
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
  if (opcode == Opcode::map) describe_map(lines, reader, is_response);
  if (opcode == Opcode::peer) describe_peer(lines, reader, is_response);
  if (opcode == Opcode::authentication) describe_authentication(lines, reader);
  describe_options(lines, payload.subspan(body_octets));
}

void describe_version_2(Lines& lines, std::span<const std::byte> datagram) {
  ByteReader reader(datagram);
  reader.skip(1);  // version
  const auto opcode_octet = reader.read<std::uint8_t>();
  const bool is_response = (opcode_octet & response_bit) != 0;
  const auto opcode = static_cast<Opcode>(opcode_octet & ~response_bit);
  const std::string name = to_string(opcode);
  lines.add(0, "PCP {} {}, {} octets", name, is_response ? "response" : "request", datagram.size());
  if (datagram.size() > message_octets_max)
    lines.add(1, "Malformed: longer than {} octets", message_octets_max);
  if (datagram.size() % 4 != 0) lines.add(1, "Malformed: not a multiple of 4 octets long");
  lines.add(1, "Version: 2");
  lines.add(1, "Opcode: {} ({})", std::to_underlying(opcode),
            name.starts_with("opcode ") ? "unassigned" : name);
  if (is_response) {
    describe_reserved(lines, 1, reader.take(1));
    const auto result = static_cast<ResultCode>(reader.read<std::uint8_t>());
    const std::string word = to_string(result);
    lines.add(1, "Result Code: {} ({})", std::to_underlying(result),
              word.starts_with("result code ") ? "unassigned" : word);
    lines.add(1, "Lifetime: {} s", reader.read<std::uint32_t>());
    lines.add(1, "Epoch Time: {} s", reader.read<std::uint32_t>());
    describe_reserved(lines, 1, reader.take(12));
  } else {
    describe_reserved(lines, 1, reader.take(2));
    lines.add(1, "Requested Lifetime: {} s", reader.read<std::uint32_t>());
    lines.add(1, "PCP Client's IP Address: {}", address_text(reader.read_address()));
  }
  describe_payload(lines, opcode, is_response, reader.take(reader.remaining()));
}

}  // namespace

auto describe(std::span<const std::byte> datagram, std::size_t indent) -> std::string {
  Lines lines(indent);
  const auto version = datagram.empty() ? std::uint8_t{0} : std::to_integer<std::uint8_t>(datagram[0]);
  if (datagram.size() >= header_octets && version == version_2) {
    describe_version_2(lines, datagram);
  } else {
    const std::string_view reason = datagram.size() < 2    ? "shorter than 2 octets"
                                    : version == version_2 ? "shorter than the 24 octets of a header"
                                    : version == 0         ? "version 0 is NAT-PMP, RFC 6886"
                                                           : "not version 2";
    lines.add(0, "Not a PCP version 2 message ({}), {} octets{}", reason, datagram.size(),
              datagram.empty() ? "" : ":");
    lines.add_hex(1, datagram);
  }
  return std::move(lines).text();
}

}  // namespace portolan::wire
