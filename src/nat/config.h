// SPDX-License-Identifier: BSD-2-Clause
//
// What the translator must be told, with the defaults and minimums of the RFCs.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/time.h"

namespace portolan::nat {

/// Idle times (RFC 6146 s4, RFC 5508 s3.2, RFC 5382 s5).
struct Timeouts {
  Seconds udp{300};               ///< at least 120 (UDP_MIN)
  Seconds tcp_established{7200};  ///< at least 7200; then tcp_transitory more: 2 h 4 min in all
  Seconds tcp_transitory{240};    ///< at least 240
  Seconds icmp{60};               ///< at least 60
  Seconds hold_down{120};         ///< how long a released port waits (RFC 6888 s2 REQ-8)
  Seconds fragment{5};            ///< at least 2 (FRAGMENT_MIN): from a packet's first fragment to the last
};

/// Limits of tables; memory for all of them is reserved, not touched, at start. Sessions begun from
/// outside, and those of explicit mappings, are made only while less than half of `sessions` and of
/// `sessions_per_host` is in use.
struct Limits {
  std::uint32_t bindings = 262'144;
  std::uint32_t sessions = 262'144;
  std::uint32_t hosts = 65'536;  ///< internal addresses with any binding
  std::uint32_t sessions_per_host = 16'384;
  std::uint32_t hold_downs = 65'536;       ///< beyond it the oldest port is freed early
  std::uint32_t errors_per_second = 1000;  ///< ICMP errors made for each side (RFC 4443 s2.4 (f)); 0: none
  std::uint32_t filters_per_mapping = 8;   ///< remote peers (RFC 6887 s13.3)
  std::uint32_t filters = 65'536;          ///< of all mappings
  std::uint32_t ports_per_set = 256;       ///< of one port set (RFC 7753)
  std::uint32_t fragments = 16'384;  ///< of 1.5 kB that wait for others, half from each side; at least 256
};

struct Config {
  /// Translation prefix: length 32, 40, 48, 56, 64 or 96 (RFC 6052 s2.2).
  Prefix prefix;
  /// IPv4 addresses that are wholly the translator's.
  std::vector<Ipv4Address> pool;
  /// Source of ICMPv6 errors made here; unspecified: the first pool address inside `prefix`.
  Ipv6Address own_address;
  /// Smallest external port of implicit mappings; explicit ones may have any but UDP 5350 and 5351.
  Port first_port{1024};
  /// Largest packet the IPv6 network takes, at least 1280.
  std::uint16_t ipv6_mtu = 1500;
  /// IPv4 packets that may be fragmented are, if they would be larger over IPv6 (RFC 7915 s4.1); 1280 up
  /// to ipv6_mtu. Raise it only if every link inside is known to take as much.
  std::uint16_t lowest_ipv6_mtu = 1280;
  /// Largest packet the IPv4 network takes, at least 68 (used in ICMP only; the kernel fragments).
  std::uint16_t ipv4_mtu = 1500;
  /// Largest maximum segment size that a SYN may carry through, at least 536; 0: the ends decide.
  std::uint16_t mss_max = 0;
  /// TOS and traffic class become each other; if not, the DS field becomes 0 and only the two ECN bits are
  /// kept, which must not be erased (RFC 7915 s4.1, s5.1, RFC 3168 s5).
  bool copies_traffic_class = true;
  /// UDP from IPv4 without checksum gets one; if not, it is dropped (RFC 7915 s4.5).
  bool completes_udp_checksums = true;
  Timeouts timeouts;
  Limits limits;
};

/// Says what is wrong with `config` in words for its author, or nothing.
[[nodiscard]] auto check(const Config& config) -> std::expected<void, std::string>;

}  // namespace portolan::nat
