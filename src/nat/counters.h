// SPDX-License-Identifier: BSD-2-Clause
//
// What the translator counts: one counter per reason to drop a packet, one per kind translated, and
// how full its tables are.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "nat/session_entry.h"

namespace portolan::nat {

/// Why a packet was dropped.
enum class DropReason : std::uint8_t {
  none,                   ///< not dropped
  malformed,              ///< header fields contradict each other
  truncated,              ///< shorter than its headers say
  bad_checksum,           ///< IPv4 header or ICMP checksum wrong, or none in a UDP packet that needs one
  bad_offload,            ///< offload metadata does not fit the packet
  too_long,               ///< would exceed 65535 octets
  fragment,               ///< a fragment; none is dropped for that alone
  left_to_host,           ///< to an address that is the host's too, and not the translator's; none is dropped
  fragments_malformed,    ///< fragments that overlap, contradict each other or are too many (RFC 5722)
  fragments_incomplete,   ///< packets of which some fragments did not come in time, or made room
  extension_in_fragment,  ///< IPv6 extension header behind a fragment header (RFC 7915 s5.1.1)
  unsupported_protocol,   ///< neither TCP, UDP nor ICMP
  source_route,           ///< IPv4 source route option not used up (RFC 7915 s4.1)
  routing_header,         ///< IPv6 routing header with segments left (RFC 7915 s5.1)
  illegal_source,         ///< loopback, multicast, link-local, unspecified; to the host: of the pool
  illegal_destination,    ///< embedded destination that cannot be one
  source_in_prefix,       ///< hairpinning loop (RFC 6146 s3.5)
  destination_not_in_prefix,      ///< not for the translator
  destination_not_in_pool,        ///< not for the translator
  non_global_ipv4,                ///< well-known prefix with a non-global address (RFC 6052 s3.1)
  untranslated,                   ///< to or from an address of Config::untranslated (RFC 6888 s3 REQ-6)
  hop_limit_exceeded,             ///< TTL or hop limit used up
  filtered,                       ///< the mapping does not let this peer in (RFC 6887 s13.3, RFC 6146 s3.5.1)
  unsolicited_syn,                ///< from outside; it waits for one from inside (RFC 6146 s3.5.2.2)
  no_mapping,                     ///< no binding for it, and it cannot make one
  not_reconciled,                 ///< no binding for it, and none is made yet: Nat64::allow_implicit()
  bindings_exhausted,             ///< Limits::bindings
  sessions_exhausted,             ///< Limits::sessions
  subscribers_exhausted,          ///< Limits::subscribers
  subscriber_sessions_exhausted,  ///< Limits::sessions_per_subscriber
  subscriber_ports_exhausted,     ///< Allowance::ports_max
  subscriber_rate_exceeded,       ///< Allowance::sessions_per_second_max
  ports_exhausted,                ///< no external port left for the subscriber's address
  too_big,                        ///< does not fit the IPv6 MTU and must not be fragmented
  fragments_lost,                 ///< would be fragmented, but the output queue has no room
  icmp_unknown,                   ///< ICMP type that is not translated (RFC 7915 s4.2, s5.2)
  icmp_untranslatable,            ///< ICMP error whose code, pointer or inner packet has no counterpart
  end,
};
inline constexpr std::size_t drop_reason_count = std::to_underlying(DropReason::end);
/// Lower-case name, as in metrics.
[[nodiscard]] auto to_string(DropReason reason) -> std::string_view;

/// What was translated.
enum class Kind : std::uint8_t { udp, tcp, icmp_echo, icmp_error, end };
inline constexpr std::size_t kind_count = std::to_underlying(Kind::end);
/// Lower-case name, as in metrics.
[[nodiscard]] auto to_string(Kind kind) -> std::string_view;

struct Counters {
  std::array<std::uint64_t, drop_reason_count> dropped{};
  /// By Direction (from_ipv6, from_ipv4), then Kind.
  std::array<std::array<std::uint64_t, kind_count>, 2> translated{};
  std::array<std::uint64_t, 2> translated_octets{};
  std::uint64_t hairpinned = 0;  ///< also counted once in each direction
  std::uint64_t bindings_made = 0;
  std::uint64_t sessions_made = 0;
  std::uint64_t without_session = 0;  ///< packets of explicit mappings that passed while limits were reached
  std::uint64_t errors_generated = 0;
  std::uint64_t fragmented = 0;           ///< packets that left as several
  std::uint64_t reassembled = 0;          ///< packets that came as several
  std::uint64_t left_to_host = 0;         ///< given back to the host, which shares an address
  std::uint64_t probes_sent = 0;          ///< to TCP connections idle for long
  std::uint64_t errors_rate_limited = 0;  ///< not generated because of Limits::errors_per_second
  std::uint64_t simultaneous_opens = 0;   ///< SYNs from inside that met a waiting one
  std::uint64_t syns_lost = 0;            ///< from outside, beyond Limits::waiting_syns: never answered
  std::uint64_t outputs_lost = 0;         ///< generated, but the output queue was full
  std::uint64_t hold_downs_cut = 0;       ///< ports freed early because of Limits::hold_downs
  // Present numbers.
  std::uint32_t bindings = 0;
  std::uint32_t explicit_bindings = 0;
  std::uint32_t sessions = 0;
  std::uint32_t subscribers = 0;
  std::uint32_t profiles = 0;
  std::uint32_t port_blocks = 0;
  std::uint32_t hold_downs = 0;
  std::uint32_t waiting_syns = 0;
  std::uint32_t fragmented_packets = 0;  ///< of which some fragments are here
  /// Of UDP, TCP and echo identifiers: external ports that hosts' own traffic may have, and those of them
  /// that nobody else may have now, because they are bound, in hold-down or in a subscriber's block.
  std::array<std::uint64_t, 3> pool_ports{};
  std::array<std::uint64_t, 3> pool_ports_taken{};

  [[nodiscard]] auto drops(DropReason reason) const -> std::uint64_t {
    return dropped[std::to_underlying(reason)];
  }
  [[nodiscard]] auto packets(Direction direction, Kind kind) const -> std::uint64_t {
    return translated[std::to_underlying(direction)][std::to_underlying(kind)];
  }
};

}  // namespace portolan::nat
