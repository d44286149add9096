// SPDX-License-Identifier: BSD-2-Clause
#include "sim/answer_check.h"

#include <algorithm>

#include <fmt/format.h>

#include "wire/nat_pmp.h"

namespace portolan::sim {
namespace {

namespace nat_pmp = wire::nat_pmp;
using Wrong = std::optional<std::string>;

auto octet(const std::vector<std::byte>& octets, std::size_t index) -> unsigned {
  return std::to_integer<unsigned>(octets[index]);
}

/// IPv4 hosts speak NAT-PMP (RFC 6886 s1.1); an answer of version 0 is in it.
auto is_nat_pmp(const server::Answer& answer) -> bool {
  return !answer.octets.empty() && answer.octets[0] == std::byte{0};
}

/// What an answer says of a mapping.
struct Said {
  bool is_peer = false;
  Protocol protocol = Protocol::all;
  Port internal_port;
  std::optional<IpAddress> external_address;
  Port external_port;
  std::uint32_t lifetime_s = 0;
};

auto wrong_mapping(const Said& said, const server::ContractTable& contracts, TimePoint now) -> Wrong {
  bool found = false;
  contracts.for_each([&](const Contract& contract) {
    const MappingKey& key = contract.key.mapping;
    const auto offset = static_cast<std::uint16_t>(said.internal_port.value - key.internal_port.value);
    const bool is_it = contract.key.is_peer() == said.is_peer && key.protocol == said.protocol &&
                       offset < contract.port_count &&
                       (!said.external_address || *said.external_address == contract.external_address) &&
                       contract.external_port.value <= said.external_port.value &&
                       said.external_port.value - contract.external_port.value <= offset;
    constexpr std::uint32_t endless = 0xffffffff;
    const auto lifetime =
        server::has_end(contract, now) ? server::remaining_life(contract, now).count() : endless;
    found |= is_it && lifetime == said.lifetime_s;
  });
  if (found) return {};
  return fmt::format("no contract is what an answer says: port {} as port {} for {} s", said.internal_port,
                     said.external_port, said.lifetime_s);
}

auto wrong_nat_pmp(const Ask& ask, const server::Answer& answer, const server::ContractTable& contracts,
                   TimePoint now) -> Wrong {
  if (!ask.first.address.is_ipv4() || octet(ask.second, 0) != 0) return "a NAT-PMP answer to another format";
  if (octet(answer.octets, 1) != (octet(ask.second, 1) | 0x80U)) return "a NAT-PMP answer of another opcode";
  const auto response = nat_pmp::decode_response(answer.octets);
  if (!response) return "a NAT-PMP answer cannot be decoded";
  const auto* map = std::get_if<nat_pmp::MapResponse>(&response->body);
  if (map == nullptr) return {};
  const auto request = nat_pmp::decode_request(ask.second);
  if (!request || !std::holds_alternative<nat_pmp::MapRequest>(*request)) return "a mapping nobody asked for";
  const auto& asked = std::get<nat_pmp::MapRequest>(*request);
  if (map->internal_port != asked.internal_port || map->protocol != asked.protocol)
    return "a NAT-PMP answer for another port";
  if (response->result != nat_pmp::ResultCode::success || asked.is_delete()) {
    if (map->lifetime_s != 0 || map->mapped_external_port != Port{0})
      return "a NAT-PMP refusal or deletion maps something";
    return {};
  }
  return wrong_mapping({.protocol = map->protocol,
                        .internal_port = map->internal_port,
                        .external_address = {},
                        .external_port = map->mapped_external_port,
                        .lifetime_s = map->lifetime_s},
                       contracts, now);
}

auto wrong_pcp(const Ask& ask, const server::Answer& answer, const server::ContractTable& contracts,
               TimePoint now) -> Wrong {
  if (octet(answer.octets, 1) != (octet(ask.second, 1) | 0x80U)) return "an answer of another opcode";
  const auto request = wire::decode_request(ask.second, {.version_1 = true});
  if (!request) {
    // The copy of what is no request need not be a whole response (RFC 6887 s8.2).
    if (answer.octets.size() < wire::header_octets || answer.octets.size() % 4 != 0)
      return "an error answer of a wrong size";
    if (octet(answer.octets, 3) == 0) return "success for what is no request";
    return {};
  }
  const auto response = wire::decode_response(answer.octets, {.version_1 = true});
  if (!response) return "an answer cannot be decoded";
  if (response->version != request->version) return "an answer of another version";
  if (response->result != wire::ResultCode::success) return {};
  if (!response->options.is_well_formed()) return "an answer with ill-framed options";
  if (request->requested_lifetime_s == 0 && request->opcode == wire::Opcode::map) return {};
  if (const auto* map = std::get_if<wire::MapResponse>(&response->body)) {
    if (map->nonce != std::get<wire::MapRequest>(request->body).nonce) return "an answer with another nonce";
    return wrong_mapping({.protocol = map->protocol,
                          .internal_port = map->internal_port,
                          .external_address = map->assigned_external_address,
                          .external_port = map->assigned_external_port,
                          .lifetime_s = response->lifetime_s},
                         contracts, now);
  }
  if (const auto* peer = std::get_if<wire::PeerResponse>(&response->body)) {
    if (peer->nonce != std::get<wire::PeerRequest>(request->body).nonce)
      return "an answer with another nonce";
    return wrong_mapping({.is_peer = true,
                          .protocol = peer->protocol,
                          .internal_port = peer->internal_port,
                          .external_address = peer->assigned_external_address,
                          .external_port = peer->assigned_external_port,
                          .lifetime_s = response->lifetime_s},
                         contracts, now);
  }
  return {};
}

}  // namespace

auto is_error(const server::Answer& answer) -> bool {
  // The result code ends at the same place in both; PCP's has one octet.
  return octet(answer.octets, 3) != 0;
}

auto wrong_answer(const Ask& ask, const server::Answer& answer, const server::ContractTable& contracts,
                  TimePoint now) -> std::optional<std::string> {
  if (answer.client != ask.first) return "an answer to somebody else";
  if (answer.octets.size() < 4 || answer.octets.size() > wire::message_octets_max)
    return "an answer of a wrong size";
  return is_nat_pmp(answer) ? wrong_nat_pmp(ask, answer, contracts, now)
                            : wrong_pcp(ask, answer, contracts, now);
}

}  // namespace portolan::sim
