// SPDX-License-Identifier: BSD-2-Clause
//
// What an operator sets of the devices that work by nftables.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/port_range.h"
#include "base/time.h"

namespace portolan::device {

/// NAT44 of a Linux router.
struct Nat44Settings {
  std::string outside;         ///< interface towards the Internet
  std::vector<Prefix> inside;  ///< IPv4 prefixes whose hosts are translated
  /// External addresses, at most pool_max; empty: that of the interface `outside`, whichever it is.
  std::vector<Ipv4Address> pool;
  /// Where explicit mappings get their external ports.
  PortRange explicit_ports{.first = Port{1024}, .last = Port{32767}};
  /// Where the kernel takes those of hosts' own traffic; has no port in common with explicit_ports.
  PortRange implicit_ports{.first = Port{32768}, .last = Port{65535}};
  /// How long a freed port stays away from others than its last owner (RFC 6887 s15).
  Seconds hold_down{120};
  /// How long a UDP flow without packets stays (RFC 4787 REQ-5).
  Seconds udp_idle{300};
  std::uint32_t mappings_max = 262144;  ///< ports that are mapped at once
  std::uint32_t filters_max = 16384;    ///< filters of all mappings
  /// Whether mappings of all ports of a protocol, or of all protocols, may be asked for.
  bool maps_all_ports = false;
  /// Whether packets from outside to inside addresses that no flow and no mapping let in are dropped.
  bool drops_unasked = true;
  /// Whether the table stays in the kernel when the program ends.
  bool stays_at_exit = false;

  static constexpr std::size_t pool_max = 256;

  auto operator==(const Nat44Settings&) const -> bool = default;
};

/// Firewall of a Linux router for IPv6 hosts, whose addresses are global.
struct Firewall6Settings {
  std::string outside;         ///< interface towards the Internet
  std::vector<Prefix> inside;  ///< IPv6 prefixes whose hosts are protected
  /// How long a UDP flow without packets stays (RFC 6092 REC-14).
  Seconds udp_idle{300};
  std::uint32_t pinholes_max = 262144;  ///< ports that are open at once
  std::uint32_t filters_max = 16384;    ///< filters of all pinholes
  /// Whether pinholes of all ports of a protocol, or of all protocols, may be asked for.
  bool maps_all_ports = true;
  /// Whether what nobody asked for is dropped here; false: another firewall does it, and lets `mark` pass.
  bool drops_unasked = true;
  /// Packets that a pinhole lets in get this mark, for other firewalls to know them by; 0: none.
  std::uint32_t mark = 0;
  bool stays_at_exit = false;

  auto operator==(const Firewall6Settings&) const -> bool = default;
};

}  // namespace portolan::device
