// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/composing.h"

#include <utility>

#include <fmt/format.h>

#include "wire/compose.h"
#include "wire/message.h"
#include "wire/nat_pmp.h"

namespace portolan {
namespace {

/// What RFC 6886 s3.3 recommends.
constexpr std::uint32_t default_lifetime_s = wire::nat_pmp::recommended_lifetime_s;

auto pcp_of(const SendCommand& command, const IpAddress& source, Random& random) -> wire::Draft::Pcp {
  wire::Draft::Pcp pcp = command.pcp;
  const bool is_announce = pcp.opcode == std::to_underlying(wire::Opcode::announce);
  pcp.requested_lifetime_s = command.lifetime.value_or(is_announce ? 0 : default_lifetime_s);
  pcp.client_address = command.client_address.value_or(source);
  if (command.nonce)
    pcp.body.nonce = *command.nonce;
  else
    random.fill(pcp.body.nonce.octets);
  return pcp;
}

auto nat_pmp_of(const SendCommand& command) -> wire::nat_pmp::Request {
  if (command.kind == SendCommand::Kind::nat_pmp_address) return wire::nat_pmp::AddressRequest{};
  return wire::nat_pmp::MapRequest{.protocol = command.pcp.body.protocol,
                                   .internal_port = command.pcp.body.internal_port,
                                   .suggested_external_port = command.pcp.body.suggested_external_port,
                                   .requested_lifetime_s = command.lifetime.value_or(default_lifetime_s)};
}

}  // namespace

auto message_of(const SendCommand& command, const IpAddress& source, Random& random)
    -> std::expected<std::vector<std::byte>, std::string> {
  const auto with = [&command](auto content) {
    return wire::compose({.content = std::move(content), .edits = command.edits, .size = command.size});
  };
  if (command.raw) return with(*command.raw);
  if (command.kind == SendCommand::Kind::pcp) return with(pcp_of(command, source, random));
  return with(nat_pmp_of(command));
}

auto answer_word(std::span<const std::byte> datagram) -> std::string {
  if (const auto response = wire::decode_response(datagram, {.version_1 = true}))
    return fmt::format("{} {}", wire::to_string(response->opcode), wire::to_string(response->result));
  if (const auto response = wire::nat_pmp::decode_response(datagram))
    return fmt::format("NAT-PMP {}", wire::nat_pmp::to_string(response->result));
  // An error may repeat what its sender did not understand: the header says what it is (RFC 6887 s8.2, s9).
  if (datagram.size() >= wire::header_octets) {
    const auto opcode = std::to_integer<std::uint8_t>(datagram[1]);
    const auto result = wire::ResultCode{std::to_integer<std::uint8_t>(datagram[3])};
    const bool is_pcp =
        datagram[0] == std::byte{wire::version_1} || datagram[0] == std::byte{wire::version_2};
    if (is_pcp && (opcode & wire::response_bit) != 0 && result != wire::ResultCode::success)
      return fmt::format("{} {}", wire::to_string(wire::Opcode(opcode & ~unsigned{wire::response_bit})),
                         wire::to_string(result));
  }
  return "not understood";
}

auto is_success(std::span<const std::byte> datagram) -> bool {
  if (const auto response = wire::decode_response(datagram, {.version_1 = true}))
    return response->result == wire::ResultCode::success;
  const auto response = wire::nat_pmp::decode_response(datagram);
  return response && response->result == wire::nat_pmp::ResultCode::success;
}

}  // namespace portolan
