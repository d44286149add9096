// SPDX-License-Identifier: BSD-2-Clause
#include "device/nftables/mappings.h"

#include <algorithm>
#include <utility>

#include "base/protocol_ports.h"
#include "device/consecutive.h"

namespace portolan::device {
namespace {

auto left(TimePoint until, TimePoint now) -> Seconds {
  return std::max(std::chrono::ceil<Seconds>(until - now), Seconds{0});
}

auto applied(const Endpoint& external, Seconds lifetime, std::uint32_t port_count = 1) -> Applied {
  return {.external_address = external.address,
          .external_port = external.port,
          .lifetime = lifetime,
          .port_count = static_cast<std::uint16_t>(port_count)};
}

auto nothing(const MappingKey& key) -> Applied {
  return applied({IpAddress::unspecified(key.external_family), Port{0}}, {});
}

}  // namespace

NftablesMappings::NftablesMappings(const MappingRules& rules, Random& random)
    : rules_(rules),
      ports_(rules.explicit_ports, random),
      by_key_(16, MappingKeyHash(HashKey::generate(random))),
      wheel_(rules.mappings_max) {
  ports_.set_pool(rules.pool);
}

auto NftablesMappings::Mapping::peers_until() const -> TimePoint {
  TimePoint last{};
  for (const Peer& peer : peers) last = std::max(last, peer.until);
  return last;
}

auto NftablesMappings::refusal_of(const MappingKey& key) const -> std::optional<Refusal> {
  if (key.external_family != rules_.family) return Refusal::unsupported_protocol;
  const bool is_inside =
      key.realm == Realm{} && std::ranges::any_of(rules_.inside, [&](const Prefix& prefix) {
        return prefix.contains(key.internal_address);
      });
  if (!is_inside) return Refusal::not_inside;
  const bool is_of_all_ports = key.internal_port == Port{0};
  if (has_ports(key.protocol) || key.protocol == Protocol::all) {
    if (is_of_all_ports ? rules_.maps_all_ports : key.protocol != Protocol::all) return std::nullopt;
  } else if (is_of_all_ports && key.protocol != Protocol::icmp && key.protocol != Protocol::icmpv6) {
    return std::nullopt;
  }
  return Refusal::unsupported_protocol;
}

auto NftablesMappings::mapping(Number number) const -> const Mapping* {
  return number < mappings_.size() && at(number).port_count > 0 ? &at(number) : nullptr;
}

auto NftablesMappings::number_of(const MappingKey& key) const -> Number {
  const auto found = by_key_.find(key);
  return found == by_key_.end() ? 0 : found->second;
}

auto NftablesMappings::live_number(TimePoint now, const MappingKey& key) -> Number {
  const Number number = number_of(key);
  if (number == 0 || at(number).is_mapped(now)) return number;
  // The wheel comes a little later. Until then it would still have its elements and ports.
  settle(now, number);
  return 0;
}

auto NftablesMappings::find(TimePoint now, const MappingKey& key) const -> const Mapping* {
  const Number number = number_of(key);
  return number != 0 && at(number).is_mapped(now) ? &at(number) : nullptr;
}

auto NftablesMappings::install(TimePoint now, const Install& wanted, const FindTraffic& traffic) -> Result {
  const MappingKey& key = wanted.key;
  if (const auto refusal = refusal_of(key)) return std::unexpected(*refusal);
  if (lacks_address()) return std::unexpected(Refusal::network_failure);
  Number number = live_number(now, key);
  const bool is_explicit = number != 0 && at(number).is_explicit(now);
  if (number != 0 && at(number).key != key) {
    if (is_explicit || !at(number).peers.empty()) return std::unexpected(Refusal::no_resources);
    // What is left of a set goes on as the port that is asked for.
    forget(std::exchange(number, 0));
  }
  // Without translation traffic decides nothing: its flows live as long as they do.
  const bool asks = rules_.translates && key.internal_port != Port{0};
  const std::optional<Traffic> own = asks ? traffic(key) : std::nullopt;
  if (wanted.match == Match::exact) {
    const std::optional<Endpoint> present = number != 0 ? std::optional(at(number).external)
                                                        : (own ? std::optional(own->external) : std::nullopt);
    if (present && !agrees(wanted.external_address, wanted.external_port, *present))
      return std::unexpected(Refusal::cannot_provide_external);
  }
  if (wanted.filters.size() > filters_per_mapping ||
      (!wanted.filters.empty() && key.internal_port == Port{0}))
    return std::unexpected(Refusal::excessive_filters);

  std::uint32_t count = std::clamp<std::uint32_t>(wanted.port_count, 1, ports_per_set);
  count = key.internal_port == Port{0} ? 1 : std::min(count, 65536U - key.internal_port.value);
  if (number == 0) {
    const Place place = new_place(now, wanted, unmapped(now, key, count), own);
    if (place.count == 0)
      return std::unexpected(wanted.match == Match::exact ? Refusal::cannot_provide_external
                                                          : Refusal::no_resources);
    if (!has_room(place.count)) return std::unexpected(Refusal::no_resources);
    if (!has_room_for_filters(wanted.filters.size(), place.count, nullptr))
      return std::unexpected(Refusal::excessive_filters);
    number = make(key, place);
  } else if (!has_room_for_filters(wanted.filters.size(), is_explicit ? at(number).port_count : count,
                                   &at(number))) {
    return std::unexpected(Refusal::excessive_filters);
  } else if (!is_explicit && at(number).port_count < count) {
    const std::uint32_t fits =
        fitting(now, wanted, at(number).external, unmapped(now, key, count), Reach::any);
    if (fits > at(number).port_count && has_room(fits - at(number).port_count)) grow(number, fits);
  }
  Mapping& mapping = at(number);
  Seconds lifetime = std::max(wanted.lifetime, left(mapping.peers_until(), now));
  if (own) lifetime = std::max(lifetime, own->left);
  for (std::uint32_t i = 1; asks && i < mapping.port_count; ++i)
    if (const auto other = traffic(ith(key, i))) lifetime = std::max(lifetime, other->left);
  mapping.explicit_until = now + lifetime;
  mapping.traffic_until = {};
  mapping.was_explicit = true;
  mapping.external_ports = wanted.external_ports;
  mapping.reserves_companion = wanted.reserves_companion;
  mapping.is_bound_to_address = wanted.is_bound_to_address;
  mapping.preserve_parity = wanted.preserve_parity;
  set_filters(mapping, wanted.filters);
  settle(now, number);
  return applied(mapping.external, lifetime, mapping.port_count);
}

auto NftablesMappings::remove(TimePoint now, const Remove& unwanted, const FindTraffic& traffic) -> Result {
  const MappingKey& key = unwanted.key;
  if (refusal_of(key)) return nothing(key);
  const Number number = live_number(now, key);
  if (number == 0) {
    if (key.internal_port != Port{0} && traffic(key)) return std::unexpected(Refusal::outbound_mapping);
    return nothing(key);
  }
  Mapping& mapping = at(number);
  if (!mapping.was_explicit) return std::unexpected(Refusal::outbound_mapping);
  if (mapping.key != key) return nothing(key);
  if (mapping.is_explicit(now)) {
    mapping.explicit_until = {};
    set_filters(mapping, {});
  }
  Seconds remaining = left(mapping.peers_until(), now);
  if (key.internal_port != Port{0})
    for (std::uint32_t i = 0; i < mapping.port_count; ++i)
      if (const auto own = traffic(ith(key, i)); own && own->external == ith(mapping.external, i))
        remaining = std::max(remaining, own->left);
  mapping.traffic_until = remaining > Seconds{0} ? now + remaining : TimePoint{};
  const Result result = applied(mapping.external, remaining, mapping.port_count);
  settle(now, number);
  return result;
}

auto NftablesMappings::place_peer(TimePoint now, const InstallPeer& wanted, const FindTraffic& traffic)
    -> std::expected<Endpoint, Refusal> {
  const bool asked = !wanted.external_address.is_unspecified() || wanted.external_port != Port{0};
  const Number number = live_number(now, wanted.key);
  const Mapping* const present = number != 0 ? &at(number) : nullptr;
  std::optional<Endpoint> external;
  if (present != nullptr) {
    external = ith(present->external, static_cast<std::uint32_t>(wanted.key.internal_port.value -
                                                                 present->key.internal_port.value));
  } else if (const auto own = rules_.translates ? traffic(wanted.key) : std::nullopt;
             own && may_have(now, wanted.key, own->external)) {
    external = own->external;
  }
  if (external) {
    if (!agrees(wanted.external_address, wanted.external_port, *external))
      return std::unexpected(Refusal::cannot_provide_external);
    return *external;
  }
  const Place place = choose(now,
                             Install{.key = wanted.key,
                                     .external_address = wanted.external_address,
                                     .external_port = wanted.external_port,
                                     .match = asked ? Match::exact : Match::suggested,
                                     .lifetime = {},
                                     .external_ports = wanted.external_ports,
                                     .given_address = wanted.given_address},
                             1);
  if (place.count == 0 || !has_room(1))
    return std::unexpected(asked && place.count == 0 ? Refusal::cannot_provide_external
                                                     : Refusal::no_resources);
  return place.external;
}

auto NftablesMappings::keep_peer(TimePoint now, const MappingKey& key, const Endpoint& remote_peer,
                                 const Endpoint& external, TimePoint until) -> TimePoint {
  Number number = live_number(now, key);
  if (number == 0) number = make(key, {.external = external, .count = 1});
  Mapping& mapping = at(number);
  const auto same = std::ranges::find_if(mapping.peers, [&](const Peer& each) {
    return each.internal_port == key.internal_port && each.remote_peer == remote_peer;
  });
  if (same == mapping.peers.end())
    mapping.peers.push_back({.internal_port = key.internal_port,
                             .remote_peer = remote_peer,
                             .external = external,
                             .until = until});
  else
    until = same->until = std::max(same->until, until);
  settle(now, number);
  return until;
}

auto NftablesMappings::refusal_of_peer(TimePoint now, const MappingKey& key, const Endpoint& remote_peer)
    -> std::optional<Refusal> {
  const Number number = live_number(now, key);
  if (number == 0) return has_room(1) ? std::nullopt : std::optional(Refusal::no_resources);
  const bool is_full = at(number).peers.size() >= peers_per_mapping;
  if (is_full && !peer_external(key, remote_peer)) return Refusal::no_resources;
  return std::nullopt;
}

auto NftablesMappings::peer_external(const MappingKey& key, const Endpoint& remote_peer) const
    -> std::optional<Endpoint> {
  const Number number = number_of(key);
  if (number == 0) return std::nullopt;
  const auto& peers = at(number).peers;
  const auto found = std::ranges::find_if(peers, [&](const Peer& each) {
    return each.internal_port == key.internal_port && each.remote_peer == remote_peer;
  });
  return found == peers.end() ? std::nullopt : std::optional(found->external);
}

void NftablesMappings::release_peer(TimePoint now, const MappingKey& key, const Endpoint& remote_peer) {
  const Number number = number_of(key);
  if (number == 0) return;
  std::erase_if(at(number).peers, [&](const Peer& each) {
    return each.internal_port == key.internal_port && each.remote_peer == remote_peer;
  });
  settle(now, number);
}

void NftablesMappings::let_traffic(TimePoint now, const MappingKey& key, TimePoint until) {
  const Number number = number_of(key);
  if (number == 0) return;
  at(number).traffic_until = std::max(at(number).traffic_until, until);
  settle(now, number);
}

auto NftablesMappings::may_have(TimePoint now, const MappingKey& key, const Endpoint& external) const
    -> bool {
  if (!rules_.translates) return external == Endpoint{key.internal_address, key.internal_port};
  return ports_.has(external.address) &&
         (find(now, key) != nullptr ||
          (is_available(external, key, Reach::any) && !is_companion_of_another(now, external, key, false)));
}

auto NftablesMappings::has_room_for_filters(std::size_t filters, std::uint32_t ports,
                                            const Mapping* before) const -> bool {
  const std::size_t freed = before != nullptr ? before->filters.size() * before->port_count : 0;
  return filter_count_ - freed + filters * ports <= rules_.filters_max;
}

void NftablesMappings::set_filters(Mapping& mapping, const std::vector<RemoteFilter>& filters) {
  filter_count_ += static_cast<std::uint32_t>(filters.size() * mapping.port_count);
  filter_count_ -= static_cast<std::uint32_t>(mapping.filters.size() * mapping.port_count);
  mapping.filters = filters;
}

auto NftablesMappings::make(const MappingKey& key, const Place& place) -> Number {
  Number number = 0;
  if (free_.empty()) {
    number = static_cast<Number>(mappings_.size());
    mappings_.emplace_back();
  } else {
    number = free_.back();
    free_.pop_back();
  }
  Mapping& mapping = at(number);
  mapping = {};
  mapping.key = key;
  mapping.external = place.external;
  mapping.port_count = static_cast<std::uint16_t>(place.count);
  give_ports(number, 0);
  return number;
}

void NftablesMappings::grow(Number number, std::uint32_t count) {
  const std::uint32_t from = at(number).port_count;
  at(number).port_count = static_cast<std::uint16_t>(count);
  give_ports(number, from);
}

void NftablesMappings::give_ports(Number number, std::uint32_t from) {
  const MappingKey key = at(number).key;
  const Endpoint external = at(number).external;
  const std::uint32_t count = at(number).port_count;
  port_count_ += count - from;
  std::vector<Number> former;
  for (std::uint32_t i = from; i < count; ++i) {
    Number& owner = by_key_[ith(key, i)];
    if (owner != 0 && (former.empty() || former.back() != owner)) former.push_back(owner);
    owner = number;
    if (rules_.translates) ports_.give(key.protocol, ith(external, i), number);
  }
  for (const Number each : former) forget_if_empty(each);
}

void NftablesMappings::forget_if_empty(Number number) {
  const Mapping& mapping = at(number);
  if (mapping.port_count == 0) return;
  for (std::uint32_t i = 0; i < mapping.port_count; ++i) {
    if (number_of(ith(mapping.key, i)) == number) return;
    if (!rules_.translates || !ports_.has(mapping.external.address)) continue;
    const nat::PortOwner owner = ports_.owner(mapping.key.protocol, ith(mapping.external, i));
    if (owner.binding == number || owner.hold_down == number) return;
  }
  forget(number);
}

void NftablesMappings::settle(TimePoint now, Number number) {
  Mapping& mapping = at(number);
  changed_.push_back(number);
  std::erase_if(mapping.peers, [&](const Peer& peer) { return peer.until <= now; });
  if (!mapping.is_explicit(now)) set_filters(mapping, {});
  const auto is_ours = [&](std::uint32_t i) {
    const nat::PortOwner owner = ports_.owner(mapping.key.protocol, ith(mapping.external, i));
    return owner.binding == number || owner.hold_down == number;
  };
  if (mapping.is_mapped(now)) {
    mapping.held_until =
        std::max({mapping.explicit_until, mapping.traffic_until, mapping.peers_until()}) + rules_.hold_down;
  } else {
    if (mapping.held_until > now + rules_.hold_down) mapping.held_until = now + rules_.hold_down;
    if (mapping.held_until <= now) return forget(number);
    for (std::uint32_t i = 0; i < mapping.port_count && rules_.translates; ++i)
      if (is_ours(i)) ports_.hold(mapping.key.protocol, ith(mapping.external, i), number);
  }
  arm(now, number);
}

void NftablesMappings::arm(TimePoint now, Number number) {
  const Mapping& mapping = at(number);
  TimePoint next = mapping.held_until;
  for (const TimePoint until : {mapping.explicit_until, mapping.traffic_until})
    if (until > now) next = std::min(next, until);
  for (const Peer& peer : mapping.peers) next = std::min(next, peer.until);
  wheel_.schedule(number, next, now);
}

void NftablesMappings::forget(Number number) {
  Mapping& mapping = at(number);
  for (std::uint32_t i = 0; i < mapping.port_count; ++i) {
    if (const auto found = by_key_.find(ith(mapping.key, i));
        found != by_key_.end() && found->second == number)
      by_key_.erase(found);
    if (!ports_.has(mapping.external.address)) continue;
    const Endpoint external = ith(mapping.external, i);
    const nat::PortOwner owner = ports_.owner(mapping.key.protocol, external);
    if (owner.binding == number || owner.hold_down == number) ports_.release(mapping.key.protocol, external);
  }
  set_filters(mapping, {});
  port_count_ -= mapping.port_count;
  mapping = {};
  mapping.port_count = 0;
  wheel_.cancel(number);
  free_.push_back(number);
  changed_.push_back(number);
}

void NftablesMappings::advance(TimePoint now, const FindTraffic& traffic) {
  while (const auto number = wheel_.pop_due(now)) {
    Mapping& mapping = at(*number);
    // Both when it ends and before its port is anybody's.
    if (rules_.translates && mapping.key.internal_port != Port{0} && !mapping.is_mapped(now))
      for (std::uint32_t i = 0; i < mapping.port_count; ++i)
        if (const auto own = traffic(ith(mapping.key, i)); own && own->external == ith(mapping.external, i))
          mapping.traffic_until = std::max(mapping.traffic_until, now + own->left);
    settle(now, *number);
  }
}

auto NftablesMappings::take_changed() -> std::vector<Number> { return std::exchange(changed_, {}); }

auto NftablesMappings::numbers() const -> std::vector<Number> {
  std::vector<Number> numbers;
  for (Number number = 1; number < mappings_.size(); ++number)
    if (at(number).port_count > 0) numbers.push_back(number);
  return numbers;
}

auto NftablesMappings::inventory(TimePoint now) const -> Inventory {
  Inventory inventory;
  for (const Number number : numbers()) {
    const Mapping& each = at(number);
    if (each.is_explicit(now))
      inventory.mappings.push_back({.key = each.key,
                                    .external_address = each.external.address,
                                    .external_port = each.external.port,
                                    .port_count = each.port_count,
                                    .remaining = left(each.explicit_until, now),
                                    .filters = each.filters,
                                    .external_ports = each.external_ports,
                                    .is_bound_to_address = each.is_bound_to_address,
                                    .preserve_parity = each.preserve_parity});
    for (const Peer& peer : each.peers)
      if (peer.until > now)
        inventory.peers.push_back({.key = with_port(each.key, peer.internal_port),
                                   .remote_peer = peer.remote_peer,
                                   .external_address = peer.external.address,
                                   .external_port = peer.external.port,
                                   .remaining = left(peer.until, now)});
  }
  return inventory;
}

}  // namespace portolan::device
