// SPDX-License-Identifier: BSD-2-Clause
//
// What a NAT44 has promised: explicit mappings, what PEER keeps, and ports held down, by number. It decides
// as device.h wants it and does nothing; the kernel, which alone knows hosts' own traffic, is asked by a
// function.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/mapping_key.h"
#include "base/random.h"
#include "base/timer_wheel.h"
#include "device/device.h"
#include "device/nftables/external_ports.h"

namespace portolan::device {

/// What a socket's own traffic has outside, and how long it stays so if no more comes.
struct Traffic {
  Endpoint external;
  Seconds left{};
};
using FindTraffic = std::function<std::optional<Traffic>(const MappingKey&)>;

/// What may be mapped, and where to.
struct MappingRules {
  Family family = Family::ipv4;  ///< of internal and external addresses
  std::vector<Prefix> inside;
  /// False: external endpoints are the internal ones, and what follows of addresses and ports does not
  /// matter.
  bool translates = true;
  std::vector<Ipv4Address> pool{};
  PortRange explicit_ports{};
  Seconds hold_down{};
  std::uint32_t mappings_max = 0;  ///< ports
  std::uint32_t filters_max = 0;
  bool maps_all_ports = false;
};

class NftablesMappings {
 public:
  /// 1 and up; of something that is gone it is given to something else.
  using Number = std::uint32_t;

  static constexpr std::size_t filters_per_mapping = 8;
  static constexpr std::uint16_t ports_per_set = 256;
  static constexpr std::size_t peers_per_mapping = 256;

  struct Peer {
    Port internal_port;
    Endpoint remote_peer;
    Endpoint external;
    TimePoint until;
  };
  /// Consecutive internal ports on as many external ones, mostly one; or one of port 0.
  struct Mapping {
    MappingKey key;     ///< of the first port
    Endpoint external;  ///< of the first port
    std::uint16_t port_count = 1;
    TimePoint explicit_until{};
    TimePoint traffic_until{};  ///< as far as it was known when the mapping ended
    TimePoint held_until{};
    bool was_explicit = false;
    bool reserves_companion = false;
    bool is_bound_to_address = false;
    bool preserve_parity = false;
    PortRange external_ports{};
    std::vector<RemoteFilter> filters{};
    std::vector<Peer> peers{};

    [[nodiscard]] auto is_explicit(TimePoint now) const -> bool { return explicit_until > now; }
    /// Until when PEER keeps one of its flows.
    [[nodiscard]] auto peers_until() const -> TimePoint;
    [[nodiscard]] auto is_mapped(TimePoint now) const -> bool {
      return is_explicit(now) || traffic_until > now || peers_until() > now;
    }
  };

  NftablesMappings(const MappingRules& rules, Random& random);

  auto install(TimePoint now, const Install& wanted, const FindTraffic& traffic) -> Result;
  auto remove(TimePoint now, const Remove& unwanted, const FindTraffic& traffic) -> Result;

  /// Why no flow of `key` to `remote_peer` can be kept, if so: there are as many as may be.
  [[nodiscard]] auto refusal_of_peer(TimePoint now, const MappingKey& key, const Endpoint& remote_peer)
      -> std::optional<Refusal>;
  /// Where PEER's flow of `wanted` would leave, if there is no such flow yet.
  [[nodiscard]] auto place_peer(TimePoint now, const InstallPeer& wanted, const FindTraffic& traffic)
      -> std::expected<Endpoint, Refusal>;
  /// Keeps a flow, which leaves as `external`, at least until then; returns until when it is kept now.
  auto keep_peer(TimePoint now, const MappingKey& key, const Endpoint& remote_peer, const Endpoint& external,
                 TimePoint until) -> TimePoint;
  /// Whether `key` may have `external`, where a flow of its is found to leave, as its own.
  [[nodiscard]] auto may_have(TimePoint now, const MappingKey& key, const Endpoint& external) const -> bool;
  /// Where a flow leaves that PEER keeps.
  [[nodiscard]] auto peer_external(const MappingKey& key, const Endpoint& remote_peer) const
      -> std::optional<Endpoint>;
  /// Ends its being kept by PEER.
  void release_peer(TimePoint now, const MappingKey& key, const Endpoint& remote_peer);

  /// The port is somebody's own traffic's until then.
  void let_traffic(TimePoint now, const MappingKey& key, TimePoint until);

  /// Changes the external addresses; says what became of what was at those that are gone.
  auto set_pool(TimePoint now, std::vector<Ipv4Address> pool) -> std::vector<Event>;
  [[nodiscard]] auto pool() const -> const std::vector<Ipv4Address>& { return ports_.pool(); }
  /// Of the ports that are given away: those of mappings, not those that hosts' flows share.
  [[nodiscard]] auto pool_use() const -> std::vector<PoolUse> {
    return {ports_.use_of(Protocol::tcp), ports_.use_of(Protocol::udp)};
  }
  [[nodiscard]] auto is_external(const IpAddress& address) const -> bool { return ports_.has(address); }
  /// Whether there is no external address to map to.
  [[nodiscard]] auto lacks_address() const -> bool { return rules_.translates && pool().empty(); }

  /// Ends what is due. A port that traffic still uses stays its owner's.
  void advance(TimePoint now, const FindTraffic& traffic);
  [[nodiscard]] auto next_deadline() const -> std::optional<TimePoint> { return wheel_.next_deadline(); }

  /// Null if nothing has that number.
  [[nodiscard]] auto mapping(Number number) const -> const Mapping*;
  /// The one that `key` is one port of, if it is mapped.
  [[nodiscard]] auto find(TimePoint now, const MappingKey& key) const -> const Mapping*;
  /// Numbers whose mapping may have begun, changed or ended since the last call; some may come twice.
  [[nodiscard]] auto take_changed() -> std::vector<Number>;
  [[nodiscard]] auto numbers() const -> std::vector<Number>;
  [[nodiscard]] auto inventory(TimePoint now) const -> Inventory;

  /// Why nothing of `key` can be mapped, if so.
  [[nodiscard]] auto refusal_of(const MappingKey& key) const -> std::optional<Refusal>;

 private:
  struct Place {
    Endpoint external;
    std::uint32_t count = 0;
  };
  /// How an external port may be had.
  enum class Reach : std::uint8_t {
    chosen,  ///< among those that are given away
    any,     ///< wherever traffic is already
  };

  [[nodiscard]] auto number_of(const MappingKey& key) const -> Number;
  /// The number of what `key` is mapped by; 0 if it is not. What ended a moment ago gives way first.
  [[nodiscard]] auto live_number(TimePoint now, const MappingKey& key) -> Number;
  [[nodiscard]] auto at(Number number) -> Mapping& { return mappings_[number]; }
  [[nodiscard]] auto at(Number number) const -> const Mapping& { return mappings_[number]; }
  [[nodiscard]] auto is_available(const Endpoint& external, const MappingKey& key, Reach reach) const -> bool;
  [[nodiscard]] auto is_companion_of_another(TimePoint now, const Endpoint& external, const MappingKey& key,
                                             bool reserves_companion) const -> bool;
  /// How many ports from `external` on a set of `wanted` may have, at most `count`.
  [[nodiscard]] auto fitting(TimePoint now, const Install& wanted, const Endpoint& external,
                             std::uint32_t count, Reach reach) const -> std::uint32_t;
  /// Addresses where a new place may be, the best first.
  [[nodiscard]] auto addresses_for(const Install& wanted) const -> std::vector<Ipv4Address>;
  [[nodiscard]] auto choose(TimePoint now, const Install& wanted, std::uint32_t count) -> Place;
  [[nodiscard]] auto choose_at(TimePoint now, const Install& wanted, Ipv4Address address,
                               std::optional<bool> odd, std::uint32_t count) -> Place;
  /// Where the mapping of `wanted` goes, which is not there yet.
  [[nodiscard]] auto new_place(TimePoint now, const Install& wanted, std::uint32_t count,
                               const std::optional<Traffic>& own) -> Place;
  /// How many of the internal ports of `wanted` lie nowhere else.
  [[nodiscard]] auto unmapped(TimePoint now, const MappingKey& key, std::uint32_t count) const
      -> std::uint32_t;
  [[nodiscard]] auto has_room(std::uint32_t ports) const -> bool {
    return port_count_ + ports <= rules_.mappings_max &&
           (!free_.empty() || mappings_.size() <= rules_.mappings_max);
  }

  auto make(const MappingKey& key, const Place& place) -> Number;
  /// Gives an existing mapping more ports, which fit.
  void grow(Number number, std::uint32_t count);
  void give_ports(Number number, std::uint32_t from);
  /// Every port of a set has its filters.
  [[nodiscard]] auto has_room_for_filters(std::size_t filters, std::uint32_t ports,
                                          const Mapping* before) const -> bool;
  void set_filters(Mapping& mapping, const std::vector<RemoteFilter>& filters);
  /// Holds down the ports of what is no longer mapped, or gives them back.
  void settle(TimePoint now, Number number);
  void forget(Number number);
  /// Forgets what is held down, once all of it is somebody's again.
  void forget_if_empty(Number number);
  void arm(TimePoint now, Number number);

  MappingRules rules_;
  ExternalPorts ports_;
  std::vector<Mapping> mappings_{1};  ///< by number; port_count 0: none
  std::vector<Number> free_;
  std::unordered_map<MappingKey, Number, MappingKeyHash> by_key_;  ///< each port's
  std::uint32_t port_count_ = 0;
  std::uint32_t filter_count_ = 0;
  TimerWheel wheel_;
  std::vector<Number> changed_;
};

}  // namespace portolan::device
