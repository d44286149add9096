// SPDX-License-Identifier: BSD-2-Clause
//
// Rewrites packets of known sessions from one family to the other, in place (RFC 7915 s4.1, s5.1).
#pragma once

#include <cstdint>

#include "nat/counters.h"
#include "nat/embedding.h"
#include "nat/frame.h"
#include "nat/identifications.h"
#include "nat/parse.h"
#include "nat/session_entry.h"

namespace portolan::nat {

/// Whether `offload` fits `packet`, so that it can be translated with it.
[[nodiscard]] auto is_consistent(const Offload& offload, const Packet& packet, Direction direction) -> bool;

/// Octets of the largest packet that leaves the machine for `packet`, after translation to a header
/// of `new_header_size`: its own size, or that of one segment.
[[nodiscard]] auto wire_size(const Offload& offload, const Packet& packet, std::uint32_t new_header_size)
    -> std::uint32_t;

/// Lowers the segment size of a TCP superpacket until its segments take at most `mtu` octets over
/// IPv6. Only TCP can: the cuts between UDP datagrams have a meaning.
void limit_segments(Offload& offload, const Packet& packet, std::uint32_t mtu);

/// Lowers the maximum segment size that a SYN announces to `mss_max`, and mends its checksum.
///
/// Spec    RFC 9293 s3.7.1
void clamp_mss(const Frame& frame, const Packet& packet, std::uint16_t mss_max);

/// Whether it is a UDP packet without checksum.
[[nodiscard]] auto lacks_checksum(const Frame& frame, const Packet& packet) -> bool;

/// Whether an IPv6 packet can become an IPv4 one: too_long, bad_checksum (UDP without one), or none.
[[nodiscard]] auto check_for_ipv4(const Frame& frame, const Packet& packet) -> DropReason;

/// Rewrites an IPv6 TCP, UDP or echo packet of the session of `entry` (direction from_ipv6).
///
/// Spec    RFC 7915 s5.1, s5.2, s5.5; RFC 6146 s3.7
/// In      frame: is_consistent(), check_for_ipv4() said none, hop limit above 0; suffix_delta:
///         checksum correction for octets of the destination that the prefix's canonical form has not
void to_ipv4(Frame& frame, const Packet& packet, const SessionEntry& entry, std::uint16_t suffix_delta,
             Identifications& identifications);

/// Rewrites an IPv4 TCP, UDP or echo packet of the session of `entry` (direction from_ipv4). A UDP
/// packet without checksum gets one (RFC 6146 s3.4).
///
/// Spec    RFC 7915 s4.1, s4.2, s4.5; RFC 6146 s3.7
void to_ipv6(Frame& frame, const Packet& packet, const SessionEntry& entry, const Embedding& embedding);

/// Writes an IPv4 header without options; addresses as they stand in packets.
struct Ipv4Fields {
  std::uint8_t tos = 0;
  std::uint8_t ttl = 0;
  std::uint8_t protocol = 0;
  std::uint16_t total_length = 0;
  std::uint16_t identification = 0;
  bool dont_fragment = false;
  std::uint32_t source = 0;
  std::uint32_t destination = 0;
};
void write_ipv4(std::uint8_t* at, const Ipv4Fields& fields);

/// Writes the first 8 octets of an IPv6 header, flow label 0; the addresses are the caller's.
struct Ipv6Fields {
  std::uint8_t traffic_class = 0;
  std::uint8_t hop_limit = 0;
  std::uint8_t next_header = 0;
  std::uint16_t payload_length = 0;
};
void write_ipv6(std::uint8_t* at, const Ipv6Fields& fields);

/// RFC 7915 s5.1: packets of at most 1260 octets may be fragmented on the IPv4 side, others not.
[[nodiscard]] constexpr auto must_not_fragment(std::uint32_t ipv4_size) -> bool {
  return ipv4_size > ipv6::minimum_mtu - header_growth;
}

/// Mends the checksum of TCP or UDP whose addresses changed by address_delta, addresses and ports by
/// flow_delta.
void adjust_transport(std::uint8_t* field, bool is_partial, bool is_udp, std::uint16_t address_delta,
                      std::uint16_t flow_delta);
/// Turns an echo message of `size` octets into the other family's, identifier apart; the deltas are
/// those of a SessionEntry.
void echo_to_ipv4(std::uint8_t* transport, std::uint32_t size, bool is_partial, std::uint16_t flow_delta);
void echo_to_ipv6(std::uint8_t* transport, std::uint32_t size, bool is_partial, std::uint16_t address_delta,
                  std::uint16_t flow_delta);

/// Completes the checksum of a translated IPv6 packet that needs_csum, as its sender's hardware would.
void complete_checksum(Frame& frame);

/// ICMP type of the other family's echo message.
[[nodiscard]] auto translated_echo_type(std::uint8_t type) -> std::uint8_t;

/// Place of the checksum in a transport header.
[[nodiscard]] constexpr auto checksum_offset(std::uint8_t protocol) -> std::uint32_t {
  if (protocol == protocol::tcp) return tcp::checksum;
  return protocol == protocol::udp ? udp::checksum : icmp::checksum;
}

}  // namespace portolan::nat
