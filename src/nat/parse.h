// SPDX-License-Identifier: BSD-2-Clause
//
// Reads the headers of one packet, once, and checks everything the translator later relies on.
#pragma once

#include <cstdint>
#include <span>

#include "nat/counters.h"
#include "nat/packet.h"

namespace portolan::nat {

/// A packet whose IP header, and whose transport header as far as used, lie within `data`.
struct Packet {
  std::uint8_t* data = nullptr;
  std::uint32_t size = 0;         ///< octets of the IP packet; the frame may be longer
  std::uint32_t header_size = 0;  ///< octets before the transport header
  std::uint8_t protocol = 0;      ///< tcp, udp, icmp or icmpv6 if parsed without error
  std::uint8_t traffic_class = 0;
  std::uint8_t hop_limit = 0;
  std::uint8_t tcp_flags = 0;
  std::uint16_t identification = 0;  ///< IPv4, or low half of an atomic fragment's
  bool dont_fragment = false;        ///< IPv4 DF
  bool is_atomic_fragment = false;   ///< IPv6 fragment header on a whole packet (RFC 6946)
  // Of a fragment, whose octets of the packet's payload begin at header_size; IPv6: behind the fragment
  // header.
  std::uint32_t fragment_offset = 0;          ///< of these octets, in octets
  std::uint32_t fragment_identification = 0;  ///< all 32 bits of IPv6's
  bool more_fragments = false;
  // What an IPv6 destination in a translation prefix says; parse_ipv6() knows none.
  std::uint8_t prefix = 0;          ///< number of the prefix
  std::uint32_t remote = 0;         ///< the IPv4 address, as it stands in packets
  std::uint32_t error_pointer = 0;  ///< for routing_header: offset of Segments Left

  [[nodiscard]] auto transport() const -> std::uint8_t* { return data + header_size; }
  [[nodiscard]] auto transport_size() const -> std::uint32_t { return size - header_size; }
};

/// How much of the packet must be there.
enum class Extent : std::uint8_t {
  whole,  ///< a packet received
  start,  ///< a packet quoted in an ICMP error: its headers and 8 octets more; a first fragment will do
};

/// Reads an IPv6 packet, stepping over extension headers (RFC 7915 s5.1).
///
/// Out     packet: filled as far as read, also on failure
/// Errors  malformed, truncated, fragment, extension_in_fragment, routing_header, unsupported_protocol; else
///         none
[[nodiscard]] auto parse_ipv6(std::span<std::byte> octets, Extent extent, Packet& packet) -> DropReason;

/// Reads an IPv4 packet; options are looked at for source routes only (RFC 7915 s4.1).
///
/// Errors  malformed, truncated, bad_checksum, fragment, source_route, unsupported_protocol; else none
[[nodiscard]] auto parse_ipv4(std::span<std::byte> octets, Extent extent, Packet& packet) -> DropReason;

}  // namespace portolan::nat
