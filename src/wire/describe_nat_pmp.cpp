// SPDX-License-Identifier: BSD-2-Clause
//
// NAT-PMP messages field by field, in the words of RFC 6886.
#include <cstdint>
#include <string_view>
#include <utility>
#include <variant>

#include "base/bytes.h"
#include "wire/describe_parts.h"
#include "wire/nat_pmp.h"
#include "wire/protocol.h"

namespace portolan::wire {
namespace {

auto opcode_of(std::span<const std::byte> datagram) -> nat_pmp::Opcode {
  return static_cast<nat_pmp::Opcode>(std::to_integer<std::uint8_t>(datagram[1]) & ~response_bit);
}

void describe_header(Lines& lines, std::span<const std::byte> datagram, std::string_view kind) {
  const nat_pmp::Opcode opcode = opcode_of(datagram);
  const std::string name = to_string(opcode);
  lines.add(0, "NAT-PMP {} {}, {} octets", name, kind, datagram.size());
  lines.add(1, "Version: 0");
  lines.add(1, "Opcode: {} ({})", std::to_underlying(opcode),
            name.starts_with("opcode ") ? "unassigned" : name);
}

void describe_result(Lines& lines, const nat_pmp::Response& response) {
  const std::string word = to_string(response.result);
  lines.add(1, "Result Code: {} ({})", std::to_underlying(response.result),
            word.starts_with("result code ") ? "unassigned" : word);
  if (!std::holds_alternative<nat_pmp::UnknownOpcode>(response.body))
    lines.add(1, "Seconds Since Start of Epoch: {} s", response.epoch_time_s);
}

/// Octets nobody reads: behind the message, or all of an unknown opcode's.
void describe_rest(Lines& lines, std::span<const std::byte> datagram, std::size_t used) {
  if (datagram.size() <= used) return;
  lines.add(1, "Octets not decoded:");
  lines.add_hex(2, datagram.subspan(used));
}

void describe_refusal(Lines& lines, std::span<const std::byte> datagram, std::string_view reason) {
  lines.add(0, "Not a NAT-PMP message ({}), {} octets:", reason, datagram.size());
  lines.add_hex(1, datagram);
}

void describe_request(Lines& lines, std::span<const std::byte> datagram) {
  const auto request = nat_pmp::decode_request(datagram);
  if (!request) return describe_refusal(lines, datagram, to_string(request.error()));
  describe_header(lines, datagram, "request");
  const auto* map = std::get_if<nat_pmp::MapRequest>(&*request);
  if (map == nullptr) return describe_rest(lines, datagram, nat_pmp::address_request_octets);
  lines.add_reserved(1, datagram.subspan(2, 2));
  lines.add(1, "Internal Port: {}", map->internal_port);
  lines.add(1, "Suggested External Port: {}", map->suggested_external_port);
  lines.add(1, "Requested Port Mapping Lifetime: {} s{}", map->requested_lifetime_s,
            map->is_delete_all() ? " (delete all)"
            : map->is_delete()   ? " (delete)"
                                 : "");
  describe_rest(lines, datagram, nat_pmp::map_request_octets);
}

void describe_response(Lines& lines, std::span<const std::byte> datagram) {
  const auto response = nat_pmp::decode_response(datagram);
  if (!response) return describe_refusal(lines, datagram, to_string(response.error()));
  if (std::holds_alternative<nat_pmp::UnsupportedVersion>(response->body)) {
    lines.add(0, "NAT-PMP refusal of another version, {} octets", datagram.size());
    lines.add(1, "Version: 0");
    return describe_result(lines, *response);
  }
  describe_header(lines, datagram, "response");
  describe_result(lines, *response);
  if (const auto* address = std::get_if<nat_pmp::AddressResponse>(&response->body)) {
    lines.add(1, "External IPv4 Address: {}", address->external_address);
    describe_rest(lines, datagram, nat_pmp::address_response_octets);
  } else if (const auto* map = std::get_if<nat_pmp::MapResponse>(&response->body)) {
    lines.add(1, "Internal Port: {}", map->internal_port);
    lines.add(1, "Mapped External Port: {}", map->mapped_external_port);
    lines.add(1, "Port Mapping Lifetime: {} s", map->lifetime_s);
    describe_rest(lines, datagram, nat_pmp::map_response_octets);
  } else {
    describe_rest(lines, datagram, nat_pmp::result_end);
  }
}

}  // namespace

void describe_nat_pmp(Lines& lines, std::span<const std::byte> datagram) {
  // The refusal of another version has no bit that marks it as a response (RFC 6886 s3.5).
  const auto response = nat_pmp::decode_response(datagram);
  const bool is_response = (std::to_integer<unsigned>(datagram[1]) & response_bit) != 0;
  if (is_response || response)
    describe_response(lines, datagram);
  else
    describe_request(lines, datagram);
}

}  // namespace portolan::wire
