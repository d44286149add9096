// SPDX-License-Identifier: BSD-2-Clause
#include "nat/parse.h"

#include "nat/checksum.h"

namespace portolan::nat {
namespace {

// Longer chains of extension headers occur in attacks only.
constexpr int extension_headers_max = 8;

auto parse_transport(std::uint32_t available, Extent extent, Packet& packet) -> DropReason {
  const std::uint8_t* transport = packet.transport();
  if (available < packet.header_size + 8) return DropReason::truncated;
  if (packet.protocol == protocol::udp) {
    // Octets behind the UDP length are not UDP's and travel along untouched.
    const std::uint16_t length = load16(transport + udp::length);
    if (extent == Extent::whole && (length < udp::header_size || length > packet.transport_size()))
      return DropReason::malformed;
    return DropReason::none;
  }
  if (packet.protocol != protocol::tcp || extent == Extent::start) return DropReason::none;
  if (available < packet.header_size + tcp::header_size) return DropReason::truncated;
  const std::uint32_t tcp_header = (transport[tcp::data_offset] >> 4U) * 4U;
  if (tcp_header < tcp::header_size || tcp_header > packet.transport_size()) return DropReason::malformed;
  packet.tcp_flags = transport[tcp::flags];
  return DropReason::none;
}

/// Whether more is needed than this packet has; of a quoted packet the start is enough.
auto is_fragment(const Packet& packet, Extent extent) -> bool {
  return packet.fragment_offset != 0 || (packet.more_fragments && extent == Extent::whole);
}

/// Whether an IPv6 header of that number is an extension header that a packet's payload may begin with.
auto is_extension(std::uint8_t header) -> bool {
  return header == protocol::hop_by_hop || header == protocol::routing || header == protocol::fragment ||
         header == protocol::authentication || header == protocol::destination_options;
}

/// RFC 8200 s4.5, RFC 791 s3.1.
auto check_fragment(const Packet& packet) -> DropReason {
  if (packet.header_size > packet.size) return DropReason::malformed;
  const std::uint32_t size = packet.size - packet.header_size;
  const bool is_cut_well = !packet.more_fragments || size % 8 == 0;
  return is_cut_well && packet.fragment_offset + size <= 0xffff ? DropReason::fragment
                                                                : DropReason::malformed;
}

/// Whether the options hold a source route with stops to come.
auto has_source_route(const std::uint8_t* options, std::uint32_t size) -> bool {
  for (std::uint32_t at = 0; at < size;) {
    if (options[at] == ipv4::option_end) return false;
    if (options[at] == ipv4::option_no_operation) {
      ++at;
      continue;
    }
    if (at + 2 > size || options[at + 1] < 2) return false;  // options are ignored, broken ones too
    const std::uint32_t length = options[at + 1];
    const bool is_route =
        options[at] == ipv4::option_loose_source_route || options[at] == ipv4::option_strict_source_route;
    // Used up once the pointer, counted from 1, is behind the option (RFC 791 s3.1).
    if (is_route && at + 3 <= size && options[at + 2] <= length) return true;
    at += length;
  }
  return false;
}

}  // namespace

auto parse_ipv6(std::span<std::byte> octets, Extent extent, Packet& packet) -> DropReason {
  auto* data = reinterpret_cast<std::uint8_t*>(octets.data());
  packet = {};
  packet.data = data;
  if (octets.size() < ipv6::header_size) return DropReason::truncated;
  if (data[0] >> 4U != 6) return DropReason::malformed;
  packet.size = ipv6::header_size + load16(data + ipv6::payload_length);
  packet.traffic_class = static_cast<std::uint8_t>(data[0] << 4U | data[1] >> 4U);
  packet.hop_limit = data[ipv6::hop_limit];
  if (extent == Extent::whole && packet.size > octets.size()) return DropReason::truncated;
  const auto available =
      static_cast<std::uint32_t>(packet.size < octets.size() ? packet.size : octets.size());

  packet.header_size = ipv6::header_size;
  packet.protocol = data[ipv6::next_header];
  for (int i = 0; i <= extension_headers_max; ++i) {
    const std::uint8_t* header = data + packet.header_size;
    switch (packet.protocol) {
      case protocol::tcp:
      case protocol::udp:
      case protocol::icmpv6: return parse_transport(available, extent, packet);
      case protocol::hop_by_hop:
      case protocol::destination_options:
      case protocol::routing:
        if (available < packet.header_size + 8) return DropReason::truncated;
        if (packet.protocol == protocol::routing && header[3] != 0) {
          packet.error_pointer = packet.header_size + 3;
          return DropReason::routing_header;
        }
        packet.protocol = header[0];
        packet.header_size += 8 + header[1] * 8U;
        break;
      case protocol::fragment:
        if (available < packet.header_size + ipv6::fragment_header_size) return DropReason::truncated;
        packet.is_atomic_fragment = true;
        packet.identification = load16(header + 6);
        packet.fragment_identification = load32(header + 4);
        packet.fragment_offset = load16(header + 2) & ipv6::fragment_offset_mask;
        packet.more_fragments = (load16(header + 2) & ipv6::fragment_more) != 0;
        packet.protocol = header[0];
        packet.header_size += ipv6::fragment_header_size;
        if (is_extension(packet.protocol)) return DropReason::extension_in_fragment;
        if (is_fragment(packet, extent)) return check_fragment(packet);
        break;
      default: return DropReason::unsupported_protocol;
    }
    if (packet.header_size > available) return DropReason::truncated;
  }
  return DropReason::malformed;
}

auto parse_ipv4(std::span<std::byte> octets, Extent extent, Packet& packet) -> DropReason {
  auto* data = reinterpret_cast<std::uint8_t*>(octets.data());
  packet = {};
  packet.data = data;
  if (octets.size() < ipv4::header_size) return DropReason::truncated;
  if (data[0] >> 4U != 4) return DropReason::malformed;
  packet.header_size = (data[0] & 0xfU) * 4U;
  packet.size = load16(data + ipv4::total_length);
  packet.traffic_class = data[ipv4::tos];
  packet.hop_limit = data[ipv4::ttl];
  packet.protocol = data[ipv4::protocol];
  packet.identification = load16(data + ipv4::identification);
  const std::uint16_t flags = load16(data + ipv4::flags);
  packet.dont_fragment = (flags & ipv4::dont_fragment) != 0;
  if (packet.header_size < ipv4::header_size || packet.size < packet.header_size)
    return DropReason::malformed;
  if (packet.header_size > octets.size() || (extent == Extent::whole && packet.size > octets.size()))
    return DropReason::truncated;
  // Routers on the way change a quoted header without mending its checksum.
  if (extent == Extent::whole && fold(sum_octets(data, packet.header_size)) != 0xffff)
    return DropReason::bad_checksum;
  packet.fragment_identification = packet.identification;
  packet.fragment_offset = (flags & ipv4::offset_mask) * 8U;
  packet.more_fragments = (flags & ipv4::more_fragments) != 0;
  if (is_fragment(packet, extent)) return check_fragment(packet);
  if (has_source_route(data + ipv4::header_size, packet.header_size - ipv4::header_size))
    return DropReason::source_route;
  if (packet.protocol != protocol::tcp && packet.protocol != protocol::udp &&
      packet.protocol != protocol::icmp)
    return DropReason::unsupported_protocol;
  const auto available =
      static_cast<std::uint32_t>(packet.size < octets.size() ? packet.size : octets.size());
  return parse_transport(available, extent, packet);
}

}  // namespace portolan::nat
