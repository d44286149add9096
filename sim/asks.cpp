// SPDX-License-Identifier: BSD-2-Clause
#include "sim/asks.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "wire/message.h"
#include "wire/nat_pmp.h"
#include "wire/options.h"

namespace portolan::sim {
namespace {

constexpr std::uint64_t hosts_of_user = 2;
constexpr std::uint64_t internal_ports = 5;
constexpr std::size_t garbage_octets_max = 80;

/// Hosts of three users: plain, trusted, and one behind a NAT44, which also speaks NAT-PMP.
auto host(Choices& choices) -> IpAddress {
  constexpr std::array<std::string_view, 3 * hosts_of_user> hosts{"2001:db8:112::1", "2001:db8:112::2",
                                                                  "2001:db8:113::1", "2001:db8:113::2",
                                                                  "198.51.100.1",    "198.51.100.2"};
  return *IpAddress::parse(hosts.at(choices.below(hosts.size())));
}

auto internal_port(Choices& choices) -> Port {
  if (choices.one_in(30)) return Port{0};
  return Port{static_cast<std::uint16_t>(3000 + choices.below(internal_ports))};
}

auto suggested_port(Choices& choices) -> Port {
  if (choices.one_in(2)) return Port{0};
  return Port{static_cast<std::uint16_t>(first_external_port + choices.below(41))};
}

auto suggested_address(Choices& choices) -> IpAddress {
  switch (choices.below(8)) {
    case 0: return external_address(choices.below(external_addresses));
    case 1: return *IpAddress::parse("203.0.113.1");
    case 2: return choices.one_in(4) ? IpAddress{} : IpAddress::unspecified(Family::ipv4);
    default: return IpAddress::unspecified(Family::ipv4);
  }
}

auto protocol(Choices& choices) -> Protocol {
  switch (choices.below(12)) {
    case 0: return Protocol::all;
    case 1: return Protocol{132};
    case 2:
    case 3: return Protocol::tcp;
    default: return Protocol::udp;
  }
}

auto lifetime_s(Choices& choices) -> std::uint32_t {
  if (choices.one_in(4)) return 0;
  if (choices.one_in(20)) return 0xffffffff;
  return static_cast<std::uint32_t>(1 + choices.below(700));
}

auto nonce(Choices& choices) -> Nonce {
  Nonce nonce;
  nonce.octets.fill(choices.one_in(12) ? std::byte{2} : std::byte{1});
  return nonce;
}

auto filter(Choices& choices, const IpAddress& from) -> wire::Filter {
  if (choices.one_in(4)) return {};
  const bool is_ipv4 = from.is_ipv4() != choices.one_in(10);
  return {.prefix_length = static_cast<std::uint8_t>(128 - choices.below(8)),
          .remote_port = Port{static_cast<std::uint16_t>(choices.below(2) * 5060)},
          .remote_address = *IpAddress::parse(is_ipv4 ? "203.0.113.7" : "2001:db8:64:ff9b::203.0.113.7")};
}

void append(Choices& choices, wire::Datagram& datagram, const IpAddress& from) {
  const auto put = [&](const auto& option) { static_cast<void>(wire::append_option(datagram, option)); };
  switch (choices.below(11)) {
    case 0: return put(wire::ThirdParty{.internal_address = host(choices)});
    case 1: return put(wire::PreferFailure{});
    case 2: {
      for (std::uint64_t i = 0; i <= choices.below(4); ++i) put(filter(choices, from));
      return;
    }
    case 3: {
      constexpr std::array<std::string_view, 3> texts{"camera", "", "\xff"};
      return put(wire::Description{.text = std::as_bytes(std::span(texts.at(choices.below(texts.size()))))});
    }
    case 4: return put(wire::Prefix64::request());
    case 5:
    case 6:
      return put(wire::PortSet{.size = static_cast<std::uint16_t>(1 + choices.below(5)),
                               .first_internal_port = internal_port(choices),
                               .parity = choices.one_in(2)});
    case 7: {
      put(wire::ThirdParty{.internal_address = host(choices)});
      return put(wire::ThirdPartyId{.id = third_party_id()});
    }
    case 8: return put(wire::CheckpointRequired{});
    case 9: return put(wire::PortReservation{});
    default: {
      const auto code = static_cast<wire::OptionCode>(choices.below(256));
      static_cast<void>(wire::append_option(datagram, code, third_party_id()));
    }
  }
}

auto pcp_body(Choices& choices, const IpAddress& from) -> decltype(wire::Request::body) {
  switch (choices.below(8)) {
    case 0: return wire::Announce{};
    case 1:
    case 2:
      return wire::PeerRequest{.nonce = nonce(choices),
                               .protocol = protocol(choices),
                               .internal_port = internal_port(choices),
                               .suggested_external_port = suggested_port(choices),
                               .suggested_external_address = suggested_address(choices),
                               .remote_peer_port = Port{static_cast<std::uint16_t>(5060 * choices.below(3))},
                               .remote_peer_address = *IpAddress::parse(
                                   from.is_ipv4() ? "203.0.113.7" : "2001:db8:64:ff9b::203.0.113.7")};
    default:
      return wire::MapRequest{.nonce = nonce(choices),
                              .protocol = protocol(choices),
                              .internal_port = internal_port(choices),
                              .suggested_external_port = suggested_port(choices),
                              .suggested_external_address = suggested_address(choices)};
  }
}

auto pcp(Choices& choices, const IpAddress& from) -> std::vector<std::byte> {
  wire::Request request{.version = choices.one_in(5) ? wire::version_1 : wire::version_2,
                        .opcode = wire::Opcode::announce,
                        .requested_lifetime_s = lifetime_s(choices),
                        .client_address = choices.one_in(30) ? host(choices) : from,
                        .body = pcp_body(choices, from),
                        .options = {}};
  if (std::holds_alternative<wire::MapRequest>(request.body)) request.opcode = wire::Opcode::map;
  if (std::holds_alternative<wire::PeerRequest>(request.body)) request.opcode = wire::Opcode::peer;
  wire::Datagram datagram = wire::encode_request(request);
  if (choices.one_in(2))
    for (std::uint64_t i = 0; i <= choices.below(3); ++i) append(choices, datagram, from);
  return {datagram.octets().begin(), datagram.octets().end()};
}

auto nat_pmp(Choices& choices) -> std::vector<std::byte> {
  namespace nat_pmp = wire::nat_pmp;
  nat_pmp::Request request = nat_pmp::AddressRequest{};
  const auto map_protocol = choices.one_in(3) ? Protocol::tcp : Protocol::udp;
  switch (choices.below(8)) {
    case 0: break;
    case 1: request = nat_pmp::MapRequest{.protocol = map_protocol}; break;  // deletes all
    case 2: request = nat_pmp::UnknownOpcode{.opcode = nat_pmp::Opcode{9}}; break;
    default:
      request = nat_pmp::MapRequest{.protocol = map_protocol,
                                    .internal_port = internal_port(choices),
                                    .suggested_external_port = suggested_port(choices),
                                    .requested_lifetime_s = lifetime_s(choices)};
  }
  std::vector<std::byte> octets(nat_pmp::map_request_octets);
  octets.resize(nat_pmp::write_request(request, octets));
  return octets;
}

auto garbage(Choices& choices) -> std::vector<std::byte> {
  std::vector<std::byte> octets(choices.below(garbage_octets_max));
  for (std::byte& octet : octets) octet = static_cast<std::byte>(choices.below(256));
  return octets;
}

void damage(Choices& choices, std::vector<std::byte>& octets) {
  if (octets.empty()) return;
  if (choices.one_in(2))
    octets[choices.below(octets.size())] ^= static_cast<std::byte>(choices.below(256));
  else
    octets.resize(choices.below(octets.size() + 8));
}

}  // namespace

auto external_address(std::uint64_t which) -> IpAddress {
  return *IpAddress::parse(which == 0 ? "192.0.2.14" : "192.0.2.15");
}

auto third_party_id() -> std::vector<std::byte> { return {std::byte{7}, std::byte{8}}; }

auto make_ask(Choices& choices) -> Ask {
  const IpAddress from = host(choices);
  const bool speaks_nat_pmp = from.is_ipv4() && choices.one_in(2);
  std::vector<std::byte> octets;
  if (choices.one_in(25))
    octets = garbage(choices);
  else
    octets = speaks_nat_pmp ? nat_pmp(choices) : pcp(choices, from);
  if (choices.one_in(15)) damage(choices, octets);
  return {Endpoint{from, Port{static_cast<std::uint16_t>(12345 + choices.below(2))}}, std::move(octets)};
}

}  // namespace portolan::sim
