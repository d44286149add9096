// SPDX-License-Identifier: BSD-2-Clause
//
// NAT-PMP messages field by field, in the words of RFC 6886.
#include <cstdint>
#include <string_view>
#include <utility>
#include <variant>

#include "wire/dissect_parts.h"
#include "wire/nat_pmp.h"
#include "wire/protocol.h"

namespace portolan::wire {
namespace {

constexpr std::string_view message_source = "RFC 6886 s3";
constexpr std::string_view address_source = "RFC 6886 s3.2";
constexpr std::string_view map_source = "RFC 6886 s3.3";
constexpr std::string_view result_source = "RFC 6886 s3.5";

auto opcode_of(std::span<const std::byte> datagram) -> nat_pmp::Opcode {
  return static_cast<nat_pmp::Opcode>(std::to_integer<std::uint8_t>(datagram[1]) & ~response_bit);
}

auto octets_text(const Dissection& message) -> std::string {
  return fmt::format("{} octets", message.remaining());
}

void dissect_version(Dissection& message) {
  message.skip(1);
  message.value(1, 0, "Version", message_source, "0");
}

void dissect_header(Dissection& message, std::string_view kind) {
  const nat_pmp::Opcode opcode = opcode_of(message.ahead(2));
  const std::string name = to_string(opcode);
  message.heading(0, message.remaining(), fmt::format("NAT-PMP {} {}", name, kind), octets_text(message),
                  message_source);
  dissect_version(message);
  message.skip(1);
  message.value(1, 1, "Opcode", message_source, "{} ({})", std::to_underlying(opcode),
                name.starts_with("opcode ") ? "unassigned" : name);
}

void dissect_result(Dissection& message, const nat_pmp::Response& response) {
  std::size_t from = message.offset();
  const std::string word = to_string(response.result);
  message.skip(sizeof response.result);
  message.value(1, from, "Result Code", result_source, "{} ({})", std::to_underlying(response.result),
                word.starts_with("result code ") ? "unassigned" : word);
  if (std::holds_alternative<nat_pmp::UnknownOpcode>(response.body)) return;
  from = message.offset();
  message.skip(sizeof response.epoch_time_s);
  message.value(1, from, "Seconds Since Start of Epoch", "RFC 6886 s3.6", "{} s", response.epoch_time_s);
}

void dissect_port(Dissection& message, std::string_view name, Port port) {
  const std::size_t from = message.offset();
  message.skip(sizeof port.value);
  message.value(1, from, name, map_source, "{}", port);
}

void dissect_lifetime(Dissection& message, std::string_view name, std::uint32_t lifetime_s,
                      std::string_view meaning) {
  const std::size_t from = message.offset();
  message.skip(sizeof lifetime_s);
  message.value(1, from, name, map_source, "{} s{}", lifetime_s, meaning);
}

/// Octets nobody reads: behind the message, or all of an unknown opcode's.
void dissect_rest(Dissection& message) { message.octets(1, message.remaining(), "Octets not decoded"); }

void dissect_refusal(Dissection& message, std::string_view reason) {
  message.heading(0, message.remaining(), fmt::format("Not a NAT-PMP message ({})", reason),
                  octets_text(message), message_source);
  message.octets(1, message.remaining());
}

void dissect_request(Dissection& message) {
  const auto request = nat_pmp::decode_request(message.ahead(message.remaining()));
  if (!request) return dissect_refusal(message, to_string(request.error()));
  dissect_header(message, "request");
  if (const auto* map = std::get_if<nat_pmp::MapRequest>(&*request)) {
    message.reserved(1, 2, map_source);
    dissect_port(message, "Internal Port", map->internal_port);
    dissect_port(message, "Suggested External Port", map->suggested_external_port);
    dissect_lifetime(message, "Requested Port Mapping Lifetime", map->requested_lifetime_s,
                     map->is_delete_all() ? " (delete all)"
                     : map->is_delete()   ? " (delete)"
                                          : "");
  }
  dissect_rest(message);
}

void dissect_response(Dissection& message) {
  const auto response = nat_pmp::decode_response(message.ahead(message.remaining()));
  if (!response) return dissect_refusal(message, to_string(response.error()));
  if (std::holds_alternative<nat_pmp::UnsupportedVersion>(response->body)) {
    message.heading(0, message.remaining(), "NAT-PMP refusal of another version", octets_text(message),
                    result_source);
    dissect_version(message);
    message.frame(1, 1, "Opcode", result_source, 0);
    dissect_result(message, *response);
    return dissect_rest(message);
  }
  dissect_header(message, "response");
  dissect_result(message, *response);
  if (const auto* address = std::get_if<nat_pmp::AddressResponse>(&response->body)) {
    const std::size_t from = message.offset();
    message.skip(sizeof address->external_address.value);
    message.value(1, from, "External IPv4 Address", address_source, "{}", address->external_address);
  } else if (const auto* map = std::get_if<nat_pmp::MapResponse>(&response->body)) {
    dissect_port(message, "Internal Port", map->internal_port);
    dissect_port(message, "Mapped External Port", map->mapped_external_port);
    dissect_lifetime(message, "Port Mapping Lifetime", map->lifetime_s, "");
  }
  dissect_rest(message);
}

}  // namespace

void dissect_nat_pmp(Dissection& message) {
  // The refusal of another version has no bit that marks it as a response (RFC 6886 s3.5).
  const auto datagram = message.ahead(message.remaining());
  const auto response = nat_pmp::decode_response(datagram);
  const bool is_response = (std::to_integer<unsigned>(datagram[1]) & response_bit) != 0;
  if (is_response || response)
    dissect_response(message);
  else
    dissect_request(message);
}

}  // namespace portolan::wire
