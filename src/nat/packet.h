// SPDX-License-Identifier: BSD-2-Clause
//
// Where the fields of IPv4, IPv6, TCP, UDP, ICMP and virtio-net headers stand, and how to read and
// write them at any alignment. Freestanding: also compiled for BPF, so it includes <stdint.h> only.
//
// load16/load32 give host order. load_raw16/load_raw32 keep the octets as they stand in memory, the
// form in which checksum.h adds and the session table compares.
#pragma once

#include <stdint.h>

namespace portolan::nat {

inline auto load_raw16(const uint8_t* at) -> uint16_t {
  uint16_t value = 0;
  __builtin_memcpy(&value, at, sizeof value);
  return value;
}
inline auto load_raw32(const uint8_t* at) -> uint32_t {
  uint32_t value = 0;
  __builtin_memcpy(&value, at, sizeof value);
  return value;
}
inline void store_raw16(uint8_t* at, uint16_t value) { __builtin_memcpy(at, &value, sizeof value); }
inline void store_raw32(uint8_t* at, uint32_t value) { __builtin_memcpy(at, &value, sizeof value); }

inline auto load16(const uint8_t* at) -> uint16_t {
  return static_cast<uint16_t>(static_cast<uint32_t>(at[0]) << 8U | at[1]);
}
inline auto load32(const uint8_t* at) -> uint32_t {
  return static_cast<uint32_t>(load16(at)) << 16U | load16(at + 2);
}
inline void store16(uint8_t* at, uint16_t value) {
  at[0] = static_cast<uint8_t>(value >> 8U);
  at[1] = static_cast<uint8_t>(value);
}
inline void store32(uint8_t* at, uint32_t value) {
  store16(at, static_cast<uint16_t>(value >> 16U));
  store16(at + 2, static_cast<uint16_t>(value));
}

/// Host order to "as it stands in the packet", and back.
inline auto to_raw16(uint16_t host) -> uint16_t {
  uint8_t octets[2];
  store16(octets, host);
  return load_raw16(octets);
}
inline auto from_raw16(uint16_t raw) -> uint16_t { return to_raw16(raw); }

/// Internet protocol numbers the translator knows.
namespace protocol {
constexpr uint8_t hop_by_hop = 0;
constexpr uint8_t icmp = 1;
constexpr uint8_t igmp = 2;
constexpr uint8_t tcp = 6;
constexpr uint8_t udp = 17;
constexpr uint8_t routing = 43;
constexpr uint8_t fragment = 44;
constexpr uint8_t authentication = 51;
constexpr uint8_t icmpv6 = 58;
constexpr uint8_t destination_options = 60;
}  // namespace protocol

/// IPv4 header (RFC 791 s3.1).
///
///    0                   1                   2                   3
///   |Version|  IHL  |Type of Service|          Total Length         |
///   |         Identification        |Flags|      Fragment Offset    |
///   |  Time to Live |    Protocol   |         Header Checksum       |
///   |                       Source Address                          |
///   |                    Destination Address                        |
namespace ipv4 {
constexpr uint32_t header_size = 20;
constexpr uint32_t tos = 1;
constexpr uint32_t total_length = 2;
constexpr uint32_t identification = 4;
constexpr uint32_t flags = 6;
constexpr uint32_t ttl = 8;
constexpr uint32_t protocol = 9;
constexpr uint32_t checksum = 10;
constexpr uint32_t source = 12;
constexpr uint32_t destination = 16;

constexpr uint16_t dont_fragment = 0x4000;
constexpr uint16_t more_fragments = 0x2000;
constexpr uint16_t offset_mask = 0x1fff;

constexpr uint8_t option_end = 0;
constexpr uint8_t option_no_operation = 1;
constexpr uint8_t option_loose_source_route = 131;
constexpr uint8_t option_strict_source_route = 137;
}  // namespace ipv4

/// IPv6 header (RFC 8200 s3).
///
///   |Version| Traffic Class |           Flow Label                  |
///   |         Payload Length        |  Next Header  |   Hop Limit   |
///   |                  Source Address, 16 octets                    |
///   |               Destination Address, 16 octets                  |
namespace ipv6 {
constexpr uint32_t header_size = 40;
constexpr uint32_t payload_length = 4;
constexpr uint32_t next_header = 6;
constexpr uint32_t hop_limit = 7;
constexpr uint32_t source = 8;
constexpr uint32_t destination = 24;
constexpr uint32_t minimum_mtu = 1280;

/// Fragment header (RFC 8200 s4.5).
constexpr uint32_t fragment_header_size = 8;
constexpr uint16_t fragment_offset_mask = 0xfff8;
constexpr uint16_t fragment_more = 0x0001;
}  // namespace ipv6

/// What a translation between the two header sizes adds or takes away.
constexpr uint32_t header_growth = ipv6::header_size - ipv4::header_size;

namespace tcp {
constexpr uint32_t header_size = 20;
constexpr uint32_t source_port = 0;
constexpr uint32_t destination_port = 2;
constexpr uint32_t data_offset = 12;
constexpr uint32_t flags = 13;
constexpr uint32_t checksum = 16;

constexpr uint8_t option_end = 0;
constexpr uint8_t option_no_operation = 1;
constexpr uint8_t option_mss = 2;

constexpr uint8_t fin = 0x01;
constexpr uint8_t syn = 0x02;
constexpr uint8_t rst = 0x04;
constexpr uint8_t ack = 0x10;
}  // namespace tcp

namespace udp {
constexpr uint32_t header_size = 8;
constexpr uint32_t source_port = 0;
constexpr uint32_t destination_port = 2;
constexpr uint32_t length = 4;
constexpr uint32_t checksum = 6;
}  // namespace udp

/// ICMP and ICMPv6 share their first eight octets (RFC 792, RFC 4443 s2.1).
namespace icmp {
constexpr uint32_t header_size = 8;
constexpr uint32_t type = 0;
constexpr uint32_t code = 1;
constexpr uint32_t checksum = 2;
constexpr uint32_t identifier = 4;
constexpr uint32_t rest = 4;

constexpr uint8_t v4_echo_reply = 0;
constexpr uint8_t v4_unreachable = 3;
constexpr uint8_t v4_echo_request = 8;
constexpr uint8_t v4_time_exceeded = 11;
constexpr uint8_t v4_parameter_problem = 12;
constexpr uint8_t v6_unreachable = 1;
constexpr uint8_t v6_packet_too_big = 2;
constexpr uint8_t v6_time_exceeded = 3;
constexpr uint8_t v6_parameter_problem = 4;
constexpr uint8_t v6_echo_request = 128;
constexpr uint8_t v6_echo_reply = 129;
}  // namespace icmp

/// Offload metadata of one packet: the layout of the 10-octet virtio_net_hdr that a TUN with
/// IFF_VNET_HDR puts before each packet; numbers in the machine's byte order.
///
/// gso_type none: the packet is complete. Otherwise it is a superpacket that a network card or the
/// kernel will cut into segments of `gso_size` payload octets, each with the first `hdr_len` octets.
struct Offload {
  uint8_t flags;
  uint8_t gso_type;
  uint16_t hdr_len;
  uint16_t gso_size;
  uint16_t csum_start;   ///< from the packet's first octet
  uint16_t csum_offset;  ///< of the checksum field, from csum_start

  /// The checksum field holds the pseudo-header's sum, not complemented; whoever sends the packet
  /// completes it over the octets from csum_start on.
  static constexpr uint8_t needs_csum = 1;
  static constexpr uint8_t gso_none = 0;
  static constexpr uint8_t gso_tcpv4 = 1;
  static constexpr uint8_t gso_tcpv6 = 4;
  static constexpr uint8_t gso_udp_l4 = 5;
  static constexpr uint8_t gso_ecn = 0x80;
};
static_assert(sizeof(Offload) == 10);

}  // namespace portolan::nat
