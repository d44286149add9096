// SPDX-License-Identifier: BSD-2-Clause
//
// What the translator shows of itself to those who look: rows of its tables, and which way a packet would go.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/address.h"
#include "base/mapping_key.h"
#include "base/port_range.h"
#include "base/remote_filter.h"
#include "base/time.h"
#include "nat/config.h"
#include "nat/counters.h"
#include "nat/tcp_state.h"

namespace portolan::nat {

/// Which rows are wanted; what is not set matches anything. An echo identifier counts as port.
struct RowFilter {
  Prefix internal{};  ///< internal addresses
  std::optional<Protocol> protocol{};
  std::optional<Port> internal_port{};
  std::optional<Ipv4Address> external_address{};
  std::optional<Port> external_port{};
  std::optional<Ipv4Address> remote_address{};  ///< sessions only
  std::optional<Port> remote_port{};            ///< sessions only
  bool only_explicit = false;                   ///< bindings only

  auto operator==(const RowFilter&) const -> bool = default;
};

/// A BIB entry (RFC 6146 s3.1).
struct BindingRow {
  Protocol protocol = Protocol::udp;  ///< udp, tcp, or icmp for echo identifiers
  Endpoint internal;
  Endpoint external;
  bool is_explicit = false;
  /// Explicit: of its set, in the row of the set's first port; 1 else.
  std::uint16_t port_count = 1;
  Seconds remaining{};  ///< explicit: until it ends; else 0: it lasts as long as its sessions
  std::uint32_t sessions = 0;
  std::uint16_t filters = 0;  ///< how many filters its mapping has

  auto operator==(const BindingRow&) const -> bool = default;
};

/// A session table entry (RFC 6146 s3.2).
struct SessionRow {
  Protocol protocol = Protocol::udp;
  Endpoint internal;
  Endpoint external;
  Endpoint remote;  ///< IPv4
  std::optional<TcpState> state{};
  bool is_outbound = false;  ///< a packet from inside began it
  Seconds remaining{};       ///< until it ends if no packet comes
  bool is_kept = false;      ///< by PEER

  auto operator==(const SessionRow&) const -> bool = default;
};

/// A subscriber, by the first address of its prefix.
struct HostRow {
  IpAddress address;
  Ipv4Address external_address;
  std::uint32_t bindings = 0;
  std::uint32_t sessions = 0;

  auto operator==(const HostRow&) const -> bool = default;
};

/// An address of the pool.
struct PoolRow {
  Ipv4Address address;
  PortRange ports{};
  std::array<std::uint32_t, 3> bindings{};    ///< UDP, TCP, echo
  std::array<std::uint32_t, 3> hold_downs{};  ///< the same

  auto operator==(const PoolRow&) const -> bool = default;
};

/// An explicit mapping, a port set as a whole.
struct MappingRow {
  MappingKey key;
  Endpoint external;
  std::uint16_t port_count = 1;
  Seconds remaining{};
  std::vector<RemoteFilter> filters{};
  PortRange external_ports{};
  bool is_bound_to_address = false;
  bool preserve_parity = false;

  auto operator==(const MappingRow&) const -> bool = default;
};

/// A profile, as it was put.
struct ProfileRow {
  Prefix internal;
  Allowance asked;                ///< what is 0 is as for everybody
  std::uint32_t subscribers = 0;  ///< that have anything now

  auto operator==(const ProfileRow&) const -> bool = default;
};

/// A session that PEER keeps.
struct PeerRow {
  MappingKey key;
  Endpoint remote_peer;  ///< as the host inside sees it
  Endpoint external;
  Seconds remaining{};

  auto operator==(const PeerRow&) const -> bool = default;
};

/// A packet that might come. Of echo requests the identifier stands as the source's port inside, and as the
/// destination's port outside, where a reply has it.
struct TraceQuery {
  Protocol protocol = Protocol::udp;
  Endpoint source;
  Endpoint destination;
  std::uint8_t tcp_flags = 0;
};

/// What would become of it.
struct TraceResult {
  enum class Filter : std::uint8_t {
    not_asked,  ///< it did not get that far, or a session passes whatever filters say
    none,       ///< the mapping has none
    passed,
    refused,
  };

  DropReason reason = DropReason::none;  ///< none: it would be forwarded
  Endpoint source;                       ///< as it would leave; port 0: a free one is drawn
  Endpoint destination;
  std::optional<SessionRow> session{};  ///< found
  std::optional<BindingRow> binding{};  ///< found
  bool makes_session = false;
  bool makes_binding = false;
  Filter filter = Filter::not_asked;
  bool is_hairpinned = false;  ///< the outcome is that of the way back in
};

}  // namespace portolan::nat
