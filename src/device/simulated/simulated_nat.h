// SPDX-License-Identifier: BSD-2-Clause
//
// A NAT that forwards nothing: external ports, lifetimes, implicit mappings, filters and hold-down as
// device.h wants them, of profiles addresses, ports and their number, in ordered maps that are easy to
// believe. For tests, the simulator and dry runs.
#pragma once

#include <algorithm>
#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "device/device.h"
#include "device/pool_use.h"

namespace portolan::device {

struct SimulatedConfig {
  /// External addresses, all of one family.
  std::vector<IpAddress> pool;
  Port first_port{1024};
  Port last_port{65535};
  std::set<Protocol> protocols{Protocol::tcp, Protocol::udp};
  /// How long a freed port stays away from others than its last owner (RFC 6887 s15).
  Seconds hold_down{120};
  /// How long outbound traffic keeps an implicit mapping (RFC 4787 REQ-5).
  Seconds implicit_lifetime{300};
  std::size_t filters_per_mapping = 8;
  std::uint16_t ports_per_set = 256;
};

class SimulatedNat {
 public:
  explicit SimulatedNat(SimulatedConfig config);

  /// Carries out one operation.
  auto apply(TimePoint now, const Operation& operation) -> Result;

  /// Outbound traffic of an internal endpoint to `remote`: makes or refreshes its implicit mapping and
  /// returns the external endpoint, nothing if no port is free.
  auto outbound(TimePoint now, const MappingKey& key, const Endpoint& remote = {}) -> std::optional<Endpoint>;

  /// Where inbound traffic from `remote` to an external endpoint goes at `now`, if anywhere.
  [[nodiscard]] auto inbound(TimePoint now, Protocol protocol, const Endpoint& external,
                             const Endpoint& remote = {}) const -> std::optional<Endpoint>;

  /// Changes the external addresses, of the family they had; says what became of explicit mappings and
  /// PEER's tuples at those that are gone.
  auto set_pool(TimePoint now, std::vector<IpAddress> pool) -> std::vector<Event>;

  /// By protocol. Cost O(mappings)
  [[nodiscard]] auto pool_use(TimePoint now) const -> std::vector<PoolUse>;
  /// Explicit mappings, tuples that PEER keeps, and profiles.
  [[nodiscard]] auto inventory(TimePoint now) const -> Inventory;

  /// Explicit mappings alive at `now`, port sets by their first port.
  [[nodiscard]] auto explicit_mappings(TimePoint now) const -> std::map<MappingKey, Endpoint>;
  /// The inventory of profiles, in order of realm and prefix.
  [[nodiscard]] auto profiles() const -> std::vector<PutProfile>;

 private:
  struct External {
    Protocol protocol = Protocol::all;
    Endpoint endpoint;
    auto operator<=>(const External&) const = default;
  };
  /// Until when something keeps a tuple.
  struct Tuple {
    TimePoint by_traffic;
    TimePoint by_peer;
    [[nodiscard]] auto until() const -> TimePoint { return std::max(by_traffic, by_peer); }
  };
  /// One port. In a set, the first one's has what is of the set.
  struct Entry {
    MappingKey owner;
    MappingKey first;  // key of the set it is or was explicit in
    TimePoint explicit_until;
    TimePoint held_until;
    bool was_explicit = false;
    std::uint16_t port_count = 1;
    std::vector<RemoteFilter> filters;
    PortRange external_ports;
    bool reserves_companion = false;
    bool is_bound_to_address = false;
    bool preserve_parity = false;
    std::map<Endpoint, Tuple> tuples;

    [[nodiscard]] auto implicit_until() const -> TimePoint;
    [[nodiscard]] auto is_explicit(TimePoint now) const -> bool { return explicit_until > now; }
    [[nodiscard]] auto is_mapped(TimePoint now) const -> bool {
      return is_explicit(now) || implicit_until() > now;
    }
  };

  auto carry_out(TimePoint now, const Install& wanted) -> Result;
  auto carry_out(TimePoint now, const Remove& unwanted) -> Result;
  auto carry_out(TimePoint now, const InstallPeer& wanted) -> Result;
  auto carry_out(TimePoint now, const ReleasePeer& unwanted) -> Result;
  auto carry_out(TimePoint now, const PutProfile& wanted) -> Result;
  auto carry_out(TimePoint now, const DropProfile& unwanted) -> Result;

  /// The most specific profile of an internal address, if there is one.
  [[nodiscard]] auto profile_of(const MappingKey& key) const -> const PutProfile*;
  /// Whether a subscriber has as many ports for its own traffic as it may.
  [[nodiscard]] auto is_at_limit(TimePoint now, const MappingKey& key) const -> bool;

  [[nodiscard]] auto unsupported(const MappingKey& key) const -> bool;
  [[nodiscard]] auto find(TimePoint now, const MappingKey& key) -> Entry*;
  [[nodiscard]] auto endpoint_of(const MappingKey& key) const -> const Endpoint& {
    return by_owner_.at(key).endpoint;
  }
  [[nodiscard]] auto is_free(TimePoint now, const External& external, const MappingKey& owner) const -> bool;
  /// The other protocol's port of that number keeps `owner` from having this one.
  [[nodiscard]] auto is_companion_of_another(TimePoint now, const External& external, const MappingKey& owner,
                                             bool reserves_companion) const -> bool;
  /// How many ports from `external` on the set of `wanted` may have, at most `count`.
  [[nodiscard]] auto fitting(TimePoint now, const Install& wanted, const Endpoint& external,
                             unsigned count) const -> unsigned;
  /// Where a set of `count` ports finds most room, and how much.
  struct Place {
    Endpoint external;
    unsigned count = 0;
  };
  [[nodiscard]] auto choose(TimePoint now, const Install& wanted, unsigned count) const -> Place;
  auto assign(const MappingKey& key, const Endpoint& external) -> Entry&;
  /// Keeps a tuple of a mapped endpoint at least until then.
  void refresh(Entry& entry, const Endpoint& remote, TimePoint traffic, TimePoint peer) const;

  SimulatedConfig config_;
  std::map<External, Entry> entries_;
  std::map<MappingKey, External> by_owner_;
  std::map<std::pair<Realm, Prefix>, PutProfile> profiles_;
};

}  // namespace portolan::device
