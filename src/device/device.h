// SPDX-License-Identifier: BSD-2-Clause
//
// The server's view of a NAT or firewall. A device owns external addresses and ports and enforces
// lifetimes by itself; the server reaches it only by batches and gets their results later, because a
// device may live behind a TCP connection or in another thread.
//
// How each kind carries out the operations:
//
//   operation   | NAT64                        | nftables NAT44               | IPv6 firewall
//   ------------+------------------------------+------------------------------+--------------------------
//   Install     | static BIB entry (RFC 6146   | element of the DNAT map and  | element of the pinhole
//               | s3.1) with a deadline; an    | of the SNAT map, with        | set, with timeout;
//               | implicit entry of the same   | timeout; an implicit         | external = internal
//               | endpoint becomes explicit,   | conntrack entry gives the    | address and port, any
//               | keeps its external port      | external port                | other is not provided
//   filters     | looked at when a session     | set of the mapping's mark,   | in the key of the pinhole
//               | begins                       | conntrack new only           | set
//   Remove      | entry loses its static mark; | elements deleted; flows in   | element deleted;
//               | live sessions keep it until  | conntrack keep their port    | conntrack keeps flows
//               | idle; else the port goes     | until idle; else hold-down   | alive until idle
//               | into hold-down               |                              |
//   InstallPeer | session with a lifetime of   | conntrack entry made with    | conntrack entry with a
//               | its own                      | its NAT, with a timeout      | timeout
//   PutProfile  | subscribers are counted,     | none: profile_unsupported    | none: profile_unsupported
//               | get ports, are limited by it |                              |
//   batch       | one queue hand-over          | one netlink transaction      | one netlink transaction
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/address.h"
#include "base/mapping_key.h"
#include "base/port_range.h"
#include "base/remote_filter.h"
#include "base/time.h"
#include "device/inventory.h"

namespace portolan::device {

using portolan::RemoteFilter;

/// Numbers batches of one server run, ascending.
struct BatchId {
  std::uint64_t value = 0;
  auto operator<=>(const BatchId&) const = default;
};

/// What to do if the suggested external address and port cannot be had.
enum class Match : std::uint8_t {
  suggested,  ///< assign another
  exact,      ///< refuse with cannot_provide_external; unspecified parts match anything
};

/// Creates or renews the explicit mapping `key`; idempotent.
///
/// Spec    RFC 6887 s11.3, s13.3, s15, s10; RFC 7753 s4.2, s4.4
/// In      external_address, external_port: the suggestion; all-zeros and 0 for no preference;
///         lifetime > 0, counted from when the device applies it
/// Effect  An explicit mapping of `key` keeps its external endpoint and gets the lifetime, or a longer one
///         for which outbound traffic keeps it anyway. Otherwise
///         an implicit one of the same internal endpoint becomes explicit. Otherwise one is made at
///         the suggestion if it is free (ports in hold-down are free for their last owner), else by
///         Match.
///         Filters: `filters` replaces those the mapping had. Packets that begin something from outside
///         are let through if one of them matches, or if there is none. Flows that such packets began
///         and that are no longer allowed end. Answers to what the inside began always pass: filters
///         are about the inbound mapping.
///         Port sets: internal ports from key.internal_port on are mapped onto as many consecutive
///         external ports. A device may map fewer, but at least one (Applied::port_count). The
///         suggestion, exact or not, is the first one's. A set is one thing under the key of its first
///         port: renewed and removed as a whole, and it keeps its size whatever is asked later. Ports
///         that are explicit under another key end the set before them; the first one being so is
///         refused with no_resources: the server knows its mappings, and asks for those.
///         Companion: with `reserves_companion` the port of the same number for the other one of TCP and UDP
///         stays free for the same internal address, as long as the mapping lives; a new place is one where
///         that is so (RFC 6886 s3.3). Only IPv4 hosts can have that wish: a NAT64 knows none.
///         Restoration: what was promised before others had wishes comes back where their companions are,
///         too. Range: a new place, also one after the pool has changed, is looked for in `external_ports`,
///         and every port of a set is in it. What is suggested beyond is not to be had. A mapping that
///         exists, implicit or explicit, stays where it is. Given address: a new place is at `given_address`
///         if it can be, as long as the device has that address; another one that is suggested is not to be
///         had then. A mapping that exists, implicit or explicit, stays where it is. Bound: when its external
///         address leaves the pool, a mapping with `is_bound_to_address` as last asked for is lost instead of
///         moved (RFC 6887 s14.2).
struct Install {
  MappingKey key;
  IpAddress external_address;
  Port external_port;
  Match match = Match::suggested;
  Seconds lifetime{};
  std::vector<RemoteFilter> filters{};
  std::uint16_t port_count = 1;  ///< at least 1
  /// The first external port shall be even or odd as the internal one is, if a new place is looked for.
  bool preserve_parity = false;
  PortRange external_ports{};
  bool reserves_companion = false;
  bool is_restoration = false;
  bool is_bound_to_address = false;
  IpAddress given_address{};  ///< unspecified: none

  auto operator==(const Install&) const -> bool = default;
};

/// Ends the explicit mapping `key`, a port set as a whole.
///
/// Spec    RFC 6887 s15, s15.1
/// Effect  Its external ports enter hold-down for their internal endpoints, unless outbound traffic
///         keeps implicit mappings alive on them. Done again, it is answered like the first time, with
///         what remains now. No mapping at all is success.
/// Errors  outbound_mapping: there is only an implicit or PEER-made mapping that never was explicit
struct Remove {
  MappingKey key;
  std::uint16_t port_count = 1;  ///< as installed; the device goes by its own record

  auto operator==(const Remove&) const -> bool = default;
};

/// Creates or extends the outbound mapping of `key` towards `remote_peer`.
///
/// Spec    RFC 6887 s12.3, s15
/// In      remote_peer: as the client sees it; the suggestion as in Install; lifetime > 0
/// Effect  If the five-tuple exists, the suggestion is ignored, and it lives at least `lifetime` from
///         now; never shorter than it would have. If only the internal endpoint is mapped, the tuple is
///         added on its external endpoint, which must agree with what is suggested. Otherwise it is made
///         at the suggestion, or anywhere in `external_ports` without one; `given_address` as in Install.
/// Errors  cannot_provide_external: the suggestion cannot be honoured; remote_peer_invalid
struct InstallPeer {
  MappingKey key;
  Endpoint remote_peer;
  IpAddress external_address;
  Port external_port;
  Seconds lifetime{};
  PortRange external_ports{};
  IpAddress given_address{};

  auto operator==(const InstallPeer&) const -> bool = default;
};

/// Takes an InstallPeer back: from now on the tuple lives as long as traffic keeps it. Always success.
struct ReleasePeer {
  MappingKey key;
  Endpoint remote_peer;

  auto operator==(const ReleasePeer&) const -> bool = default;
};

/// Says what the subscribers with internal addresses in a prefix may have of the device; idempotent. The
/// device keeps to it by itself until told otherwise, also while no server is there.
///
/// Spec    RFC 6888 s3 REQ-4, REQ-5, s5 REQ-14
/// In      The most specific profile of an address counts. A subscriber is all addresses that have the first
///         `subscriber_prefix_length` bits in common; what it may have is for each, not for all of the
///         prefix.
/// Effect  A profile of the same realm and prefix is replaced. New mappings go by the new one, limits count
/// at
///         once. What exists stays, where it is, even if it is more than the profile lets a subscriber have.
///         External address: that of all new mappings, unless one is suggested to an explicit one; while the
///         device has no such address it is as if there were none in the profile.
///         Ports: where new external ports are looked for, unless one is suggested.
///         Blocks: with `port_block_size` the ports of a subscriber are taken from blocks of so many
///         consecutive ports, of all protocols, that are given to it and nobody else. An explicit mapping may
///         have any free port outside of all blocks if it is suggested.
///         Limits: they are about hosts' own traffic. Explicit mappings are limited by the server.
/// Errors  not_inside: such a prefix holds no addresses the device translates; no_resources;
///         profile_unsupported: the device can't do that
struct PutProfile {
  /// Ports one by one. No size of a block.
  static constexpr std::uint16_t no_port_blocks = 1;

  Realm realm{};
  Prefix internal_prefix;
  /// 1 to 128, in the 128-bit form of addresses as in Prefix; 0: the device's own, but that no subscriber is
  /// larger than the profile's prefix.
  std::uint8_t subscriber_prefix_length = 128;
  IpAddress external_address{};  ///< unspecified: any
  PortRange external_ports{};
  std::uint16_t port_block_size = 0;          ///< 0: as everybody has; no_port_blocks: none
  std::uint32_t ports_max = 0;                ///< of each protocol; 0: the device's own limit
  std::uint32_t sessions_max = 0;             ///< 0: the device's own limit
  std::uint32_t sessions_per_second_max = 0;  ///< 0: the device's own limit

  auto operator==(const PutProfile&) const -> bool = default;
};

/// Takes a PutProfile back: less specific ones, or none, count. Always success.
struct DropProfile {
  Realm realm{};
  Prefix internal_prefix;

  auto operator==(const DropProfile&) const -> bool = default;
};

using Operation = std::variant<Install, Remove, InstallPeer, ReleasePeer, PutProfile, DropProfile>;

/// Result of an operation that was carried out; of those about profiles all of it is unspecified.
struct Applied {
  /// Of the mapping installed or removed; unspecified if there was none to remove.
  IpAddress external_address;
  Port external_port;
  /// Install: the lifetime it got. Remove, ReleasePeer: how long outbound traffic keeps the mapping alive
  /// if no more comes (RFC 6887 s15), 0 if it is gone. InstallPeer: how long the tuple lives at least.
  Seconds lifetime{};
  /// How many consecutive ports the mapping has.
  std::uint16_t port_count = 1;

  auto operator==(const Applied&) const -> bool = default;
};

/// Why an operation was not carried out; nothing changed.
enum class Refusal : std::uint8_t {
  cannot_provide_external,  ///< the suggestion is binding and taken, reserved or not the device's
  no_resources,             ///< no external port or table space left
  unsupported_protocol,     ///< the device can't map this protocol, port 0, or external family
  not_inside,               ///< the internal address is none the device translates (family, link-local, ...)
  network_failure,          ///< no external address at present
  excessive_filters,        ///< more filters than the device holds for a mapping, or in all
  outbound_mapping,         ///< Remove: the mapping belongs to outbound traffic (RFC 6887 s15.1)
  remote_peer_invalid,      ///< InstallPeer: nothing can be sent to that peer (RFC 6887 s12.3)
  unreachable,              ///< the device can't be reached; it may or may not have done it
  profile_unsupported,      ///< PutProfile: the device can't keep to what it says
};
[[nodiscard]] auto to_string(Refusal refusal) -> std::string_view;

using Result = std::expected<Applied, Refusal>;

/// The external address of an explicit mapping went away, and the mapping was given another endpoint;
/// lifetime and filters are as they were. `port_count` may be smaller than before: the last ports of a
/// set that no longer fit are gone.
struct Moved {
  MappingKey key;
  std::uint16_t port_count = 1;
  IpAddress external_address;
  Port external_port;

  auto operator==(const Moved&) const -> bool = default;
};

/// The same, and there was no other endpoint: the mapping is gone.
struct Lost {
  MappingKey key;

  auto operator==(const Lost&) const -> bool = default;
};

/// The same for what InstallPeer keeps: a five-tuple never moves, because its peer would not know it.
struct LostPeer {
  MappingKey key;
  Endpoint remote_peer;

  auto operator==(const LostPeer&) const -> bool = default;
};

/// What a device did to mappings unasked (RFC 6887 s14.2). Mere expiry is no event.
using Event = std::variant<Moved, Lost, LostPeer>;

/// All that a device has, in one part or several, when the server begins with it: at start, and each time it
/// was out of reach.
struct Inventory {
  std::vector<MappingRecord> mappings{};
  std::vector<PeerRecord> peers{};
  /// As they were put. They come before all else: a part with mappings or peers has the last ones at most.
  std::vector<PutProfile> profiles{};
  bool is_first = true;
  bool is_last = true;
  /// Of a device made of several: which mappings it has told all about with the last part, those of the one
  /// that is there (again); empty: all. The same in each part.
  std::function<bool(const MappingKey&)> is_about{};
  /// Whether it tells of profiles.
  bool is_about_profiles = true;
};

/// How the device that has a mapping stands with the server, as far as the inventories that the server was
/// handed do not say.
enum class Standing : std::uint8_t {
  there,
  awaits_reconciliation,  ///< it is there, and its inventory is yet to be handed over and reconciled
  out_of_reach,           ///< it answers unreachable, at once or after a while
};
using StandingOf = std::function<Standing(const MappingKey&)>;

/// A NAT or firewall that carries out batches.
///
/// Operations of a batch are carried out in order, each seeing the effect of earlier ones; batches in
/// order of apply(). Each batch is answered once by `completion`, with one result per operation, in
/// order of apply(), never from inside apply(), on the thread that called it. Events come on the same
/// thread, in order with the answers: what an answer tells was so after the events before it.
///
/// A device that may be out of reach, and come back with less or more than it should have, hands over its
/// inventory when it is there (again). The server then has it repaired by reconcile() and says reconciled().
/// Until then the device gives no external port to anybody else, for a time of its own choice at most.
/// Batches of apply() that were not answered when it went out of reach are carried out after reconciled(), or
/// answered with unreachable; batches of reconcile() are answered with unreachable at once.
class Device {
 public:
  using Completion = std::function<void(BatchId, std::vector<Result>)>;
  using EventHandler = std::function<void(std::vector<Event>)>;
  using InventoryHandler = std::function<void(Inventory)>;

  virtual ~Device() = default;
  virtual void apply(BatchId batch, std::vector<Operation> operations) = 0;
  /// As apply(), for what the inventory lacks, or has too much.
  virtual void reconcile(BatchId batch, std::vector<Operation> operations) {
    apply(batch, std::move(operations));
  }
  /// It has all that was promised.
  virtual void reconciled() {}
};

}  // namespace portolan::device
