// SPDX-License-Identifier: BSD-2-Clause
#include "nat/icmp.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "nat/checksum.h"
#include "nat/translate.h"

namespace portolan::nat {
namespace {

constexpr std::uint8_t generated_hop_limit = 64;
// The least an RFC 4884 length may be, whatever the quoted packet's size.
constexpr std::size_t extended_quotation_min = 128;

auto with_code(std::uint8_t type, unsigned code) -> IcmpHeader {
  return {.type = type, .code = static_cast<std::uint8_t>(code), .rest = 0};
}

/// Likely path MTU behind a router that does not know RFC 1191: the next plateau below the packet.
auto plateau_below(std::uint16_t length) -> std::uint32_t {
  for (const std::uint32_t plateau : {32000U, 17914U, 8166U, 4352U, 2002U, 1492U})
    if (plateau < length) return plateau;
  return ipv6::minimum_mtu;
}

auto unreachable_to_ipv6(const IcmpHeader& header, const MtuContext& mtu) -> std::optional<IcmpHeader> {
  switch (header.code) {
    case 0:
    case 1:
    case 5:
    case 6:
    case 7:
    case 8:
    case 11:
    case 12: return with_code(icmp::v6_unreachable, 0);
    case 2: return IcmpHeader{.type = icmp::v6_parameter_problem, .code = 1, .rest = ipv6::next_header};
    case 3: return with_code(icmp::v6_unreachable, 4);
    case 4: {
      const std::uint32_t given = header.rest & 0xffffU;
      const std::uint32_t path = given == 0 ? plateau_below(mtu.quoted_length) : given + header_growth;
      const std::uint32_t least =
          std::min({path, std::uint32_t{mtu.ipv6_mtu}, std::uint32_t{mtu.ipv4_mtu} + header_growth});
      return IcmpHeader{
          .type = icmp::v6_packet_too_big, .code = 0, .rest = std::max(ipv6::minimum_mtu, least)};
    }
    case 9:
    case 10:
    case 13:
    case 15: return with_code(icmp::v6_unreachable, 1);
    default: return std::nullopt;
  }
}

/// RFC 7915 Figure 3.
auto pointer_to_ipv6(std::uint32_t pointer) -> std::optional<std::uint32_t> {
  switch (pointer) {
    case 0: return 0;
    case 1: return 1;
    case 2:
    case 3: return 4;
    case 8: return 7;
    case 9: return 6;
    case 12:
    case 13:
    case 14:
    case 15: return 8;
    case 16:
    case 17:
    case 18:
    case 19: return 24;
    default: return std::nullopt;
  }
}

/// RFC 7915 Figure 6.
auto pointer_to_ipv4(std::uint32_t pointer) -> std::optional<std::uint32_t> {
  if (pointer >= 8 && pointer <= 23) return 12;
  if (pointer >= 24 && pointer <= 39) return 16;
  switch (pointer) {
    case 0: return 0;
    case 1: return 1;
    case 4:
    case 5: return 2;
    case 6: return 9;
    case 7: return 8;
    default: return std::nullopt;
  }
}

auto unreachable_to_ipv4(std::uint8_t code) -> std::optional<IcmpHeader> {
  switch (code) {
    case 0:
    case 2:
    case 3: return with_code(icmp::v4_unreachable, 1);
    case 1: return with_code(icmp::v4_unreachable, 10);
    case 4: return with_code(icmp::v4_unreachable, 3);
    default: return std::nullopt;
  }
}

auto split(std::span<const std::uint8_t> message, std::size_t length) -> Quotation {
  const auto body = message.subspan(icmp::header_size);
  if (length < extended_quotation_min || length >= body.size()) return {.packet = body, .extensions = {}};
  return {.packet = body.first(length), .extensions = body.subspan(length)};
}

/// The DS field of a TOS octet or traffic class; the two ECN bits are about one packet's way only.
auto differentiated_services(std::uint8_t traffic_class) -> std::uint8_t { return traffic_class & 0xfcU; }

void write_header(std::uint8_t* at, const IcmpHeader& header) {
  at[icmp::type] = header.type;
  at[icmp::code] = header.code;
  store_raw16(at + icmp::checksum, 0);
  store32(at + icmp::rest, header.rest);
}

}  // namespace

auto error_to_ipv6(const IcmpHeader& header, const MtuContext& mtu) -> std::optional<IcmpHeader> {
  switch (header.type) {
    case icmp::v4_unreachable: return unreachable_to_ipv6(header, mtu);
    case icmp::v4_time_exceeded: return with_code(icmp::v6_time_exceeded, header.code);
    case icmp::v4_parameter_problem:
      if (header.code != 0 && header.code != 2) return std::nullopt;
      if (const auto pointer = pointer_to_ipv6(header.rest >> 24U))
        return IcmpHeader{.type = icmp::v6_parameter_problem, .code = 0, .rest = *pointer};
      return std::nullopt;
    default: return std::nullopt;
  }
}

auto error_to_ipv4(const IcmpHeader& header, const MtuContext& mtu) -> std::optional<IcmpHeader> {
  switch (header.type) {
    case icmp::v6_unreachable: return unreachable_to_ipv4(header.code);
    case icmp::v6_packet_too_big: {
      const std::uint32_t path = header.rest > header_growth ? header.rest - header_growth : 0;
      const std::uint32_t least =
          std::min({path, std::uint32_t{mtu.ipv4_mtu}, std::uint32_t{mtu.ipv6_mtu} - header_growth});
      return IcmpHeader{.type = icmp::v4_unreachable, .code = 4, .rest = least};
    }
    case icmp::v6_time_exceeded: return with_code(icmp::v4_time_exceeded, header.code);
    case icmp::v6_parameter_problem:
      if (header.code == 1) return with_code(icmp::v4_unreachable, 2);
      if (header.code != 0) return std::nullopt;
      if (const auto pointer = pointer_to_ipv4(header.rest))
        return IcmpHeader{.type = icmp::v4_parameter_problem, .code = 0, .rest = *pointer << 24U};
      return std::nullopt;
    default: return std::nullopt;
  }
}

auto quotation_v4(std::span<const std::uint8_t> message) -> Quotation {
  // In 32-bit words, octet 5.
  return split(message, has_extensions_v4(message[icmp::type]) ? message[5] * 4U : 0);
}

auto quotation_v6(std::span<const std::uint8_t> message) -> Quotation {
  // In 64-bit words, octet 4.
  return split(message, has_extensions_v6(message[icmp::type]) ? message[4] * 8U : 0);
}

void set_icmpv4_checksum(std::span<std::uint8_t> message) {
  store_raw16(message.data() + icmp::checksum, 0);
  const std::uint64_t sum = sum_octets(message.data(), static_cast<std::uint32_t>(message.size()));
  store_raw16(message.data() + icmp::checksum, static_cast<std::uint16_t>(~fold(sum)));
}

void set_icmpv6_checksum(std::span<std::uint8_t> message, const std::uint8_t* source,
                         const std::uint8_t* destination) {
  store_raw16(message.data() + icmp::checksum, 0);
  const auto size = static_cast<std::uint32_t>(message.size());
  const std::uint64_t sum = sum_octets(source, 16) + sum_octets(destination, 16) +
                            sum_protocol_and_length(protocol::icmpv6, size) +
                            sum_octets(message.data(), size);
  store_raw16(message.data() + icmp::checksum, static_cast<std::uint16_t>(~fold(sum)));
}

auto make_icmpv6_error(std::span<std::byte> out, const Ipv6Address& source, const Ipv6Address& destination,
                       const IcmpHeader& header, std::span<const std::byte> invoking) -> std::size_t {
  auto* const at = reinterpret_cast<std::uint8_t*>(out.data());
  const std::size_t quoted =
      std::min<std::size_t>(invoking.size(), ipv6::minimum_mtu - ipv6::header_size - icmp::header_size);
  const std::size_t message_size = icmp::header_size + quoted;
  const auto* const cause = reinterpret_cast<const std::uint8_t*>(invoking.data());
  const auto traffic_class = static_cast<std::uint8_t>(cause[0] << 4U | cause[1] >> 4U);
  write_ipv6(at, {.traffic_class = differentiated_services(traffic_class),
                  .hop_limit = generated_hop_limit,
                  .next_header = protocol::icmpv6,
                  .payload_length = static_cast<std::uint16_t>(message_size)});
  std::memcpy(at + ipv6::source, source.octets.data(), 16);
  std::memcpy(at + ipv6::destination, destination.octets.data(), 16);
  std::uint8_t* const message = at + ipv6::header_size;
  write_header(message, header);
  std::memcpy(message + icmp::header_size, invoking.data(), quoted);
  set_icmpv6_checksum({message, message_size}, at + ipv6::source, at + ipv6::destination);
  return ipv6::header_size + message_size;
}

auto make_icmpv4_error(std::span<std::byte> out, Ipv4Address source, Ipv4Address destination,
                       std::uint16_t identification, const IcmpHeader& header,
                       std::span<const std::byte> invoking) -> std::size_t {
  auto* const at = reinterpret_cast<std::uint8_t*>(out.data());
  const std::size_t quoted =
      std::min<std::size_t>(invoking.size(), icmpv4_error_max - ipv4::header_size - icmp::header_size);
  const std::size_t message_size = icmp::header_size + quoted;
  std::uint8_t* const message = at + ipv4::header_size;
  write_header(message, header);
  std::memcpy(message + icmp::header_size, invoking.data(), quoted);
  set_icmpv4_checksum({message, message_size});
  std::array<std::uint8_t, 4> from{};
  std::array<std::uint8_t, 4> to{};
  store32(from.data(), source.value);
  store32(to.data(), destination.value);
  write_ipv4(at, {.tos = differentiated_services(std::to_integer<std::uint8_t>(invoking[ipv4::tos])),
                  .ttl = generated_hop_limit,
                  .protocol = protocol::icmp,
                  .total_length = static_cast<std::uint16_t>(ipv4::header_size + message_size),
                  .identification = identification,
                  .dont_fragment = false,
                  .source = load_raw32(from.data()),
                  .destination = load_raw32(to.data())});
  return ipv4::header_size + message_size;
}

}  // namespace portolan::nat
