// SPDX-License-Identifier: BSD-2-Clause
//
// What the translator must be told, with the defaults and minimums of the RFCs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/port_range.h"
#include "base/time.h"
#include "nat/pool_range.h"

namespace portolan::nat {

/// Idle times (RFC 6146 s4, RFC 5508 s3.2, RFC 5382 s5).
struct Timeouts {
  Seconds udp{300};               ///< at least 120 (UDP_MIN)
  Seconds tcp_established{7200};  ///< at least 7200; then tcp_closing more: 2 h 4 min in all
  Seconds tcp_opening{240};       ///< until the other side's SYN; at least 6 (RFC 7857 s2.1)
  Seconds tcp_closing{240};       ///< after both FINs or an RST; at least 240
  Seconds icmp{60};               ///< at least 60
  Seconds hold_down{120};         ///< how long a released port waits (RFC 6888 s2 REQ-8)
  Seconds fragment{5};            ///< at least 2 (FRAGMENT_MIN): from a packet's first fragment to the last
};

/// Limits of tables; memory for all of them is reserved, not touched, at start. Sessions begun from
/// outside, and those of explicit mappings, are made only while less than half of `sessions` and of
/// `sessions_per_subscriber` is in use.
struct Limits {
  std::uint32_t bindings = 262'144;
  std::uint32_t sessions = 262'144;
  std::uint32_t subscribers = 65'536;  ///< with any binding
  std::uint32_t sessions_per_subscriber = 16'384;
  std::uint32_t profiles = 65'536;         ///< of Nat64::put_profile()
  std::uint32_t port_blocks = 65'536;      ///< given to subscribers
  std::uint32_t hold_downs = 65'536;       ///< beyond it the oldest port is freed early
  std::uint32_t errors_per_second = 1000;  ///< ICMP errors made for each side (RFC 4443 s2.4 (f)); 0: none
  std::uint32_t filters_per_mapping = 8;   ///< remote peers (RFC 6887 s13.3)
  std::uint32_t filters = 65'536;          ///< of all mappings
  std::uint32_t ports_per_set = 256;       ///< of one port set (RFC 7753)
  std::uint32_t waiting_syns = 4096;  ///< from outside, that nobody waits for; beyond it they get no answer
  std::uint32_t fragments = 16'384;   ///< of 1.5 kB that wait for others, half from each side; at least 256
};

/// Who may send to what a host's own traffic mapped (RFC 6146 s3.5; RFC 4787 s5, RFC 5382 s4.3). Mappings
/// that the server asks for let everyone in whom their filters let in (RFC 6887 s11).
enum class Filtering : std::uint8_t {
  endpoint_independent,  ///< everyone
  address_dependent,     ///< whoever has an address with which there is a session
};
struct Filterings {
  Filtering udp = Filtering::endpoint_independent;
  Filtering tcp = Filtering::endpoint_independent;
  Filtering icmp = Filtering::endpoint_independent;

  auto operator==(const Filterings&) const -> bool = default;
};

/// Most translation prefixes, and most prefixes of destinations that are not translated.
inline constexpr std::size_t prefixes_max = 8;
inline constexpr std::size_t untranslated_max = 256;

/// What a subscriber may have (RFC 6888 s3 REQ-4, REQ-5). A subscriber is all addresses that have the first
/// `subscriber_prefix_length` bits in common.
struct Allowance {
  static constexpr std::uint32_t no_maximum = 0xffffffffU;
  static constexpr std::uint16_t port_block_max = 16'384;
  /// What a profile asks for as port_block_size if its subscribers shall have no blocks though everybody has.
  static constexpr std::uint16_t no_port_blocks = 1;

  std::uint8_t subscriber_prefix_length = 128;
  /// Its external address, as long as the pool has it; unspecified: any.
  Ipv4Address external_address{};
  /// So many consecutive ports, a multiple of 64 up to port_block_max, are given at a time; 0: one by one.
  std::uint16_t port_block_size = 0;
  /// Where its external ports lie, but for those that an explicit mapping suggests.
  PortRange external_ports{};
  /// Ports of its own traffic, of UDP, TCP and echo identifiers each; at least 1.
  std::uint32_t ports_max = no_maximum;
  /// Sessions, at most Limits::sessions_per_subscriber of them; at least 1.
  std::uint32_t sessions_max = no_maximum;
  /// Sessions that it may begin in a second; at least 1.
  std::uint32_t sessions_per_second_max = no_maximum;

  auto operator==(const Allowance&) const -> bool = default;
};

/// External ports that follow from a subscriber's place in a prefix (RFC 7422 s2); port_plan.h has the
/// algorithm.
struct Deterministic {
  Prefix inside;  ///< whose subscribers have ports of their own
  std::uint32_t dynamic_factor =
      0;                  ///< D: ports for so many more subscribers are for who needs more; 0: none are
  Port first_port{1024};  ///< those below are nobody's

  auto operator==(const Deterministic&) const -> bool = default;
};

struct Config {
  /// Translation prefix: length 32, 40, 48, 56, 64 or 96 (RFC 6052 s2.2). Hosts see in it who begins from
  /// outside.
  Prefix prefix;
  /// Others that destinations may have; a host gets its answers from the one it used. None lies in another.
  std::vector<Prefix> more_prefixes;
  /// IPv4 prefixes that nothing is translated to or from (RFC 6888 s3 REQ-6).
  std::vector<Prefix> untranslated;
  /// Whether hosts that send there are told, by ICMPv6 1/1.
  bool answers_untranslated = true;
  /// IPv4 addresses that are the translator's, at most Pool::addresses_max of them.
  std::vector<PoolRange> pool;
  /// Source of ICMPv6 errors made here; unspecified: the first pool address inside `prefix`.
  Ipv6Address own_address;
  /// Smallest external port of implicit mappings; explicit ones may have any but UDP 5350 and 5351.
  Port first_port{1024};
  /// Whether a host's own traffic keeps its port number outside if it is free; if not, ports are drawn, which
  /// are harder to guess (RFC 6888 s5 REQ-15).
  bool preserves_ports = true;
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
  Filterings filtering;
  /// Whether who is not let in is told: by ICMP 3/13 at once; of a SYN, after the 6 seconds in which the
  /// inside may still send one, by 3/3 (RFC 6146 s3.5.1, s3.5.2.2, RFC 5382 s4.3 REQ-4).
  bool answers_unsolicited = true;
  Timeouts timeouts;
  Limits limits;
  /// What subscribers without a profile may have.
  Allowance allowance;
  /// Hosts get ports by a plan.
  std::optional<Deterministic> deterministic{};
};

/// Says what is wrong with `allowance`, or nothing.
[[nodiscard]] auto check(const Allowance& allowance) -> std::expected<void, std::string>;

/// Says what is wrong with `config` in words for its author, or nothing.
[[nodiscard]] auto check(const Config& config) -> std::expected<void, std::string>;

}  // namespace portolan::nat
