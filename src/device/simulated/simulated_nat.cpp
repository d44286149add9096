// SPDX-License-Identifier: BSD-2-Clause
#include "device/simulated/simulated_nat.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "device/consecutive.h"

namespace portolan::device {
namespace {

/// Ports a PCP server must not give away (RFC 6887 s11.3).
auto is_reserved(Protocol protocol, Port port) -> bool {
  return protocol == Protocol::udp && (port == Port{5350} || port == Port{5351});
}

auto lets_in(const std::vector<RemoteFilter>& filters, const Endpoint& remote) -> bool {
  return filters.empty() || std::ranges::any_of(filters, [&](const RemoteFilter& filter) {
           return filter.remote_peers.contains(remote.address) &&
                  (filter.remote_port == Port{0} || filter.remote_port == remote.port);
         });
}

/// Whether a NAT would forward to `peer`.
auto is_unicast(const IpAddress& peer) -> bool {
  if (peer.is_unspecified()) return false;
  if (!peer.is_ipv4()) return peer.bits().octets[0] != 0xff && peer != *IpAddress::parse("::1");
  const std::uint32_t first = peer.ipv4().value >> 24U;
  return first != 0 && first != 127 && first < 224;
}

auto applied(const Endpoint& external, Seconds lifetime, std::uint16_t port_count = 1) -> Applied {
  return {.external_address = external.address,
          .external_port = external.port,
          .lifetime = lifetime,
          .port_count = port_count};
}

auto nothing(const MappingKey& key) -> Applied {
  return applied({IpAddress::unspecified(key.external_family), Port{0}}, {});
}

auto left(TimePoint until, TimePoint now) -> Seconds {
  return std::max(std::chrono::ceil<Seconds>(until - now), Seconds{0});
}

}  // namespace

SimulatedNat::SimulatedNat(SimulatedConfig config) : config_(std::move(config)) {
  PORTOLAN_CHECK(!config_.pool.empty());
}

auto SimulatedNat::Entry::implicit_until() const -> TimePoint {
  TimePoint last{};
  for (const auto& [remote, tuple] : tuples) last = std::max(last, tuple.until());
  return last;
}

auto SimulatedNat::apply(TimePoint now, const Operation& operation) -> Result {
  return std::visit([&](const auto& each) { return carry_out(now, each); }, operation);
}

auto SimulatedNat::unsupported(const MappingKey& key) const -> bool {
  return !config_.protocols.contains(key.protocol) || key.internal_port == Port{0} ||
         (!config_.pool.empty() && key.external_family != config_.pool.front().family());
}

auto SimulatedNat::carry_out(TimePoint now, const Install& wanted) -> Result {
  if (unsupported(wanted.key)) return std::unexpected(Refusal::unsupported_protocol);
  if (config_.pool.empty()) return std::unexpected(Refusal::network_failure);
  Entry* entry = find(now, wanted.key);
  const bool is_explicit = entry != nullptr && entry->is_explicit(now);
  if (is_explicit && entry->first != wanted.key) return std::unexpected(Refusal::no_resources);
  if (entry != nullptr && wanted.match == Match::exact &&
      !agrees(wanted.external_address, wanted.external_port, endpoint_of(wanted.key)))
    return std::unexpected(Refusal::cannot_provide_external);
  if (wanted.filters.size() > config_.filters_per_mapping) return std::unexpected(Refusal::excessive_filters);

  unsigned count = std::clamp<unsigned>(wanted.port_count, 1, config_.ports_per_set);
  count = std::min(count, 65536U - wanted.key.internal_port.value);
  Endpoint external;
  if (is_explicit) {
    external = endpoint_of(wanted.key);
    count = entry->port_count;
  } else if (entry != nullptr) {
    external = endpoint_of(wanted.key);
    count = std::max(fitting(now, wanted, external, count), 1U);
  } else {
    unsigned unmapped = count;
    for (unsigned i = 1; i < unmapped; ++i)
      if (find(now, ith(wanted.key, i)) != nullptr) unmapped = i;
    const Place place = choose(now, wanted, unmapped);
    if (place.count == 0)
      return std::unexpected(wanted.match == Match::exact ? Refusal::cannot_provide_external
                                                          : Refusal::no_resources);
    external = place.external;
    // What traffic kept of a set that was removed may be just there.
    count = std::max(place.count, fitting(now, wanted, external, count));
  }
  Seconds lifetime = wanted.lifetime;
  for (unsigned i = 0; i < count; ++i)
    if (const Entry* each = find(now, ith(wanted.key, i)); each != nullptr)
      lifetime = std::max(lifetime, left(each->implicit_until(), now));
  for (unsigned i = 0; i < count; ++i) {
    const MappingKey key = ith(wanted.key, i);
    Entry* each = find(now, key);
    if (each == nullptr) each = &assign(key, ith(external, i));
    each->first = wanted.key;
    each->was_explicit = true;
    each->explicit_until = now + lifetime;
    each->held_until = std::max(each->explicit_until, each->implicit_until()) + config_.hold_down;
    each->filters = wanted.filters;
    each->external_ports = wanted.external_ports;
    each->reserves_companion = wanted.reserves_companion;
    each->is_bound_to_address = wanted.is_bound_to_address;
    each->preserve_parity = wanted.preserve_parity;
    each->port_count = static_cast<std::uint16_t>(count);
  }
  return applied(external, lifetime, static_cast<std::uint16_t>(count));
}

auto SimulatedNat::carry_out(TimePoint now, const Remove& unwanted) -> Result {
  Entry* first = find(now, unwanted.key);
  if (first == nullptr) return nothing(unwanted.key);
  if (!first->was_explicit) return std::unexpected(Refusal::outbound_mapping);
  if (first->first != unwanted.key && first->is_explicit(now)) return nothing(unwanted.key);
  const Endpoint external = endpoint_of(unwanted.key);
  const std::uint16_t count = first->first == unwanted.key ? first->port_count : std::uint16_t{1};
  Seconds remaining{};
  for (unsigned i = 0; i < count; ++i) {
    Entry* each = find(now, ith(unwanted.key, i));
    if (each == nullptr || each->first != first->first) continue;
    if (each->is_explicit(now)) {
      each->explicit_until = {};
      each->filters.clear();
      each->held_until = std::max(each->implicit_until(), now) + config_.hold_down;
    }
    remaining = std::max(remaining, left(each->implicit_until(), now));
  }
  return applied(external, remaining, count);
}

auto SimulatedNat::carry_out(TimePoint now, const InstallPeer& wanted) -> Result {
  if (unsupported(wanted.key)) return std::unexpected(Refusal::unsupported_protocol);
  if (!is_unicast(wanted.remote_peer.address) || wanted.remote_peer.port == Port{0} ||
      wanted.remote_peer.address.family() != wanted.key.internal_address.family())
    return std::unexpected(Refusal::remote_peer_invalid);
  if (config_.pool.empty()) return std::unexpected(Refusal::network_failure);
  Entry* entry = find(now, wanted.key);
  const auto has_tuple = [&] {
    const auto tuple = entry->tuples.find(wanted.remote_peer);
    return tuple != entry->tuples.end() && tuple->second.until() > now;
  };
  if (entry != nullptr && !has_tuple() &&
      !agrees(wanted.external_address, wanted.external_port, endpoint_of(wanted.key)))
    return std::unexpected(Refusal::cannot_provide_external);
  if (entry == nullptr) {
    const bool asked = !wanted.external_address.is_unspecified() || wanted.external_port != Port{0};
    const Place place = choose(now,
                               Install{.key = wanted.key,
                                       .external_address = wanted.external_address,
                                       .external_port = wanted.external_port,
                                       .match = asked ? Match::exact : Match::suggested,
                                       .external_ports = wanted.external_ports,
                                       .given_address = wanted.given_address},
                               1);
    if (place.count == 0)
      return std::unexpected(asked ? Refusal::cannot_provide_external : Refusal::no_resources);
    entry = &assign(wanted.key, place.external);
  }
  refresh(*entry, wanted.remote_peer, {}, now + wanted.lifetime);
  const TimePoint until = entry->tuples.at(wanted.remote_peer).until();
  return applied(endpoint_of(wanted.key), std::chrono::floor<Seconds>(until - now));
}

auto SimulatedNat::carry_out(TimePoint now, const ReleasePeer& unwanted) -> Result {
  Entry* entry = find(now, unwanted.key);
  if (entry == nullptr || !entry->tuples.contains(unwanted.remote_peer)) return nothing(unwanted.key);
  Tuple& tuple = entry->tuples.at(unwanted.remote_peer);
  tuple.by_peer = {};
  if (!entry->is_explicit(now))
    entry->held_until = std::max(entry->implicit_until(), now) + config_.hold_down;
  return applied(endpoint_of(unwanted.key), left(tuple.until(), now));
}

auto SimulatedNat::carry_out(TimePoint /*now*/, const PutProfile& wanted) -> Result {
  if (wanted.internal_prefix.length() == 0) return std::unexpected(Refusal::not_inside);
  const bool is_of_pool = wanted.external_address.is_unspecified() || config_.pool.empty() ||
                          wanted.external_address.family() == config_.pool.front().family();
  if (wanted.subscriber_prefix_length > 128 || !is_of_pool ||
      wanted.external_ports.first > wanted.external_ports.last ||
      wanted.port_block_size > PutProfile::no_port_blocks)
    return std::unexpected(Refusal::profile_unsupported);
  profiles_.insert_or_assign({wanted.realm, wanted.internal_prefix}, wanted);
  return Applied{};
}

auto SimulatedNat::carry_out(TimePoint /*now*/, const DropProfile& unwanted) -> Result {
  profiles_.erase({unwanted.realm, unwanted.internal_prefix});
  return Applied{};
}

auto SimulatedNat::profiles() const -> std::vector<PutProfile> {
  std::vector<PutProfile> profiles;
  profiles.reserve(profiles_.size());
  for (const auto& [key, profile] : profiles_) profiles.push_back(profile);
  return profiles;
}

auto SimulatedNat::profile_of(const MappingKey& key) const -> const PutProfile* {
  const PutProfile* best = nullptr;
  for (const auto& [of, profile] : profiles_)
    if (of.first == key.realm && of.second.contains(key.internal_address) &&
        (best == nullptr || of.second.length() > best->internal_prefix.length()))
      best = &profile;
  return best;
}

auto SimulatedNat::is_at_limit(TimePoint now, const MappingKey& key) const -> bool {
  const PutProfile* const profile = profile_of(key);
  if (profile == nullptr || profile->ports_max == 0) return false;
  const unsigned length = profile->subscriber_prefix_length;
  const Prefix subscriber(key.internal_address, length != 0 ? length : 128);
  const auto used = std::ranges::count_if(entries_, [&](const auto& each) {
    const auto& [external, entry] = each;
    return external.protocol == key.protocol && entry.owner.realm == key.realm && entry.is_mapped(now) &&
           !entry.is_explicit(now) && subscriber.contains(entry.owner.internal_address);
  });
  return static_cast<std::uint64_t>(used) >= profile->ports_max;
}

void SimulatedNat::refresh(Entry& entry, const Endpoint& remote, TimePoint traffic, TimePoint peer) const {
  Tuple& tuple = entry.tuples[remote];
  tuple.by_traffic = std::max(tuple.by_traffic, traffic);
  tuple.by_peer = std::max(tuple.by_peer, peer);
  entry.held_until = std::max(entry.held_until, tuple.until() + config_.hold_down);
}

auto SimulatedNat::outbound(TimePoint now, const MappingKey& key, const Endpoint& remote)
    -> std::optional<Endpoint> {
  Entry* entry = find(now, key);
  if (entry == nullptr) {
    if (is_at_limit(now, key)) return {};
    // A port held down for this endpoint is taken up again, so that the server can still undo a removal.
    const auto former = by_owner_.find(key);
    const PutProfile* const profile = profile_of(key);
    const bool is_own = profile == nullptr || profile->external_ports.contains(key.internal_port);
    Place place;
    if (former != by_owner_.end() && is_free(now, former->second, key) &&
        !is_companion_of_another(now, former->second, key, false))
      place = {.external = former->second.endpoint, .count = 1};
    else
      place = choose(now,
                     Install{.key = key,
                             .external_address = {},
                             .external_port = is_own ? key.internal_port : Port{0},
                             .match = Match::suggested},
                     1);
    if (place.count == 0) return {};
    entry = &assign(key, place.external);
  }
  refresh(*entry, remote, now + config_.implicit_lifetime, {});
  return endpoint_of(key);
}

auto SimulatedNat::inbound(TimePoint now, Protocol protocol, const Endpoint& external,
                           const Endpoint& remote) const -> std::optional<Endpoint> {
  const auto found = entries_.find({protocol, external});
  if (found == entries_.end() || !found->second.is_mapped(now)) return {};
  const Entry& entry = found->second;
  const auto tuple = entry.tuples.find(remote);
  const bool is_answer = tuple != entry.tuples.end() && tuple->second.until() > now;
  if (entry.is_explicit(now) && !is_answer && !lets_in(entry.filters, remote)) return {};
  return Endpoint{entry.owner.internal_address, entry.owner.internal_port};
}

auto SimulatedNat::set_pool(TimePoint now, std::vector<IpAddress> pool) -> std::vector<Event> {
  config_.pool = std::move(pool);
  std::vector<Event> events;
  std::map<MappingKey, Entry> displaced;
  std::erase_if(entries_, [&](const auto& each) {
    const auto& [external, entry] = each;
    if (std::ranges::find(config_.pool, external.endpoint.address) != config_.pool.end()) return false;
    for (const auto& [remote, tuple] : entry.tuples)
      if (tuple.by_peer > now) events.emplace_back(LostPeer{entry.owner, remote});
    if (entry.is_explicit(now) && entry.first == entry.owner) displaced[entry.owner] = entry;
    return true;
  });
  std::map<MappingKey, External> former;
  std::erase_if(by_owner_, [&](const auto& each) {
    if (entries_.contains(each.second)) return false;
    former.insert(each);
    return true;
  });
  for (const auto& [key, entry] : displaced) {
    if (entry.is_bound_to_address) {
      events.emplace_back(Lost{key});
      continue;
    }
    const Result moved = carry_out(
        now,
        Install{.key = key,
                .external_address = IpAddress::unspecified(key.external_family),
                .external_port = former.at(key).endpoint.port,
                .match = Match::suggested,
                .lifetime = {},
                .filters = entry.filters,
                .port_count = entry.port_count,
                .preserve_parity = entry.preserve_parity ||
                                   (key.internal_port.value ^ former.at(key).endpoint.port.value) % 2 == 0,
                .external_ports = entry.external_ports,
                .reserves_companion = entry.reserves_companion});
    if (!moved) {
      events.emplace_back(Lost{key});
      continue;
    }
    for (unsigned i = 0; i < moved->port_count; ++i) {
      Entry& each = entries_.at(by_owner_.at(ith(key, i)));
      each.explicit_until = entry.explicit_until;
      each.held_until = each.explicit_until + config_.hold_down;
    }
    events.emplace_back(Moved{key, moved->port_count, moved->external_address, moved->external_port});
  }
  return events;
}

auto SimulatedNat::pool_use(TimePoint now) const -> std::vector<PoolUse> {
  std::vector<PoolUse> pool;
  for (const Protocol protocol : config_.protocols) {
    std::uint64_t each = config_.last_port.value - config_.first_port.value + 1U;
    for (const Port port : {Port{5350}, Port{5351}})
      if (is_reserved(protocol, port) && config_.first_port <= port && port <= config_.last_port) --each;
    const auto taken = std::ranges::count_if(entries_, [&](const auto& entry) {
      return entry.first.protocol == protocol &&
             (entry.second.is_mapped(now) || entry.second.held_until > now);
    });
    pool.push_back({.protocol = protocol,
                    .ports = each * config_.pool.size(),
                    .taken = static_cast<std::uint64_t>(taken)});
  }
  return pool;
}

auto SimulatedNat::explicit_mappings(TimePoint now) const -> std::map<MappingKey, Endpoint> {
  std::map<MappingKey, Endpoint> mappings;
  for (const auto& [external, entry] : entries_)
    if (entry.is_explicit(now) && entry.first == entry.owner) mappings[entry.owner] = external.endpoint;
  return mappings;
}

auto SimulatedNat::inventory(TimePoint now) const -> Inventory {
  Inventory inventory{.profiles = profiles()};
  for (const auto& [external, entry] : entries_) {
    const auto left = [&](TimePoint until) { return std::chrono::ceil<Seconds>(until - now); };
    if (entry.is_explicit(now) && entry.first == entry.owner)
      inventory.mappings.push_back({.key = entry.owner,
                                    .external_address = external.endpoint.address,
                                    .external_port = external.endpoint.port,
                                    .port_count = entry.port_count,
                                    .remaining = left(entry.explicit_until),
                                    .filters = entry.filters,
                                    .external_ports = entry.external_ports,
                                    .is_bound_to_address = entry.is_bound_to_address,
                                    .preserve_parity = entry.preserve_parity});
    for (const auto& [remote, tuple] : entry.tuples)
      if (tuple.by_peer > now)
        inventory.peers.push_back({.key = entry.owner,
                                   .remote_peer = remote,
                                   .external_address = external.endpoint.address,
                                   .external_port = external.endpoint.port,
                                   .remaining = left(tuple.by_peer)});
  }
  return inventory;
}

auto SimulatedNat::find(TimePoint now, const MappingKey& key) -> Entry* {
  const auto owner = by_owner_.find(key);
  if (owner == by_owner_.end()) return nullptr;
  Entry& entry = entries_.at(owner->second);
  return entry.is_mapped(now) ? &entry : nullptr;
}

auto SimulatedNat::is_companion_of_another(TimePoint now, const External& external, const MappingKey& owner,
                                           bool reserves_companion) const -> bool {
  const bool is_tcp = external.protocol == Protocol::tcp;
  if (!is_tcp && external.protocol != Protocol::udp) return false;
  const auto companion = entries_.find({is_tcp ? Protocol::udp : Protocol::tcp, external.endpoint});
  if (companion == entries_.end() || !companion->second.is_mapped(now)) return false;
  const Entry& other = companion->second;
  return other.owner.internal_address != owner.internal_address &&
         (reserves_companion || (other.reserves_companion && other.is_explicit(now)));
}

auto SimulatedNat::is_free(TimePoint now, const External& external, const MappingKey& owner) const -> bool {
  if (is_reserved(external.protocol, external.endpoint.port)) return false;
  const auto found = entries_.find(external);
  if (found == entries_.end()) return true;
  if (found->second.is_mapped(now)) return false;
  return found->second.held_until <= now || found->second.owner == owner;
}

auto SimulatedNat::fitting(TimePoint now, const Install& wanted, const Endpoint& external,
                           unsigned count) const -> unsigned {
  const MappingKey& key = wanted.key;
  count = wanted.external_ports.contained(external.port, count);
  for (unsigned i = 0; i < count; ++i) {
    if (external.port.value + i > config_.last_port.value && i > 0) return i;
    const External place{key.protocol, ith(external, i)};
    const MappingKey owner = ith(key, i);
    const auto mapped = by_owner_.find(owner);
    const bool is_there = mapped != by_owner_.end() && mapped->second == place &&
                          entries_.at(place).is_mapped(now) && !entries_.at(place).is_explicit(now);
    const bool is_elsewhere = mapped != by_owner_.end() && entries_.at(mapped->second).is_mapped(now);
    const bool is_kept_free =
        !wanted.is_restoration && is_companion_of_another(now, place, owner, wanted.reserves_companion);
    if (!is_there && (is_elsewhere || is_kept_free || !is_free(now, place, owner))) return i;
  }
  return count;
}

auto SimulatedNat::choose(TimePoint now, const Install& wanted, unsigned count) const -> Place {
  const auto is_in_pool = [&](const IpAddress& address) {
    return std::ranges::find(config_.pool, address) != config_.pool.end();
  };
  const auto in_range = [&](Port port) { return port >= config_.first_port && port <= config_.last_port; };
  const PutProfile* const profile = profile_of(wanted.key);
  const PortRange own = profile != nullptr ? profile->external_ports : PortRange{};
  const auto has_parity = [&](unsigned port) {
    return !wanted.preserve_parity || (port ^ wanted.key.internal_port.value) % 2 == 0;
  };
  std::vector<IpAddress> addresses;
  const IpAddress& suggested = wanted.external_address;
  const bool is_given = is_in_pool(wanted.given_address);
  bool any_address = suggested.is_unspecified() || wanted.match == Match::suggested;
  if (is_given && (any_address || suggested == wanted.given_address)) {
    addresses.push_back(wanted.given_address);
    any_address = wanted.match == Match::suggested;
  } else if (!is_given && is_in_pool(suggested)) {
    addresses.push_back(suggested);
  }
  if (any_address && profile != nullptr && is_in_pool(profile->external_address))
    addresses.push_back(profile->external_address);
  else if (any_address)
    std::ranges::copy(config_.pool, std::back_inserter(addresses));
  const bool is_binding = wanted.match == Match::exact && wanted.external_port != Port{0};
  Place best;
  const auto consider = [&](const IpAddress& address, unsigned port) {
    const Endpoint external{address, Port{static_cast<std::uint16_t>(port)}};
    const unsigned fits = fitting(now, wanted, external, count);
    if (fits > best.count) best = {.external = external, .count = fits};
    return best.count == count;
  };
  if (in_range(wanted.external_port) && (is_binding || has_parity(wanted.external_port.value)))
    for (const IpAddress& address : addresses)
      if (consider(address, wanted.external_port.value)) return best;
  if (is_binding) return best;
  for (const bool any_parity : {false, true}) {
    if (any_parity && best.count > 0) break;
    for (const IpAddress& address : addresses)
      for (unsigned port = config_.first_port.value; port <= config_.last_port.value; ++port)
        if (own.contains(Port{static_cast<std::uint16_t>(port)}) && (any_parity || has_parity(port)) &&
            consider(address, port))
          return best;
  }
  return best;
}

auto SimulatedNat::assign(const MappingKey& key, const Endpoint& external) -> Entry& {
  const External place{key.protocol, external};
  if (const auto former = by_owner_.find(key); former != by_owner_.end()) entries_.erase(former->second);
  if (const auto taken = entries_.find(place); taken != entries_.end()) by_owner_.erase(taken->second.owner);
  by_owner_[key] = place;
  Entry& entry = entries_[place];
  entry = {};
  entry.owner = entry.first = key;
  return entry;
}

}  // namespace portolan::device
