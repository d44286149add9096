// SPDX-License-Identifier: BSD-2-Clause
#include "device/simulated/simulated_nat.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace portolan::device {
namespace {

/// Ports a PCP server must not give away (RFC 6887 s11.3).
auto is_reserved(Protocol protocol, Port port) -> bool {
  return protocol == Protocol::udp && (port == Port{5350} || port == Port{5351});
}

}  // namespace

SimulatedNat::SimulatedNat(SimulatedConfig config) : config_(std::move(config)) {
  PORTOLAN_CHECK(!config_.pool.empty());
}

auto SimulatedNat::apply(TimePoint now, const Operation& operation) -> Result {
  if (const auto* wanted = std::get_if<Install>(&operation)) return install(now, *wanted);
  if (const auto* unwanted = std::get_if<Remove>(&operation)) return remove(now, *unwanted);
  return std::unexpected(Refusal::unsupported_protocol);
}

auto SimulatedNat::install(TimePoint now, const Install& wanted) -> Result {
  if (!config_.protocols.contains(wanted.key.protocol) || wanted.key.internal_port == Port{0} ||
      wanted.key.external_family != config_.pool.front().family())
    return std::unexpected(Refusal::unsupported_protocol);
  Entry* entry = find(now, wanted.key);
  if (entry != nullptr) {
    const Endpoint& mapped = by_owner_.at(wanted.key).endpoint;
    const bool fits =
        (wanted.external_address.is_unspecified() || wanted.external_address == mapped.address) &&
        (wanted.external_port == Port{0} || wanted.external_port == mapped.port);
    if (wanted.match == Match::exact && !fits) return std::unexpected(Refusal::cannot_provide_external);
  } else {
    const auto external = choose(now, wanted);
    if (!external)
      return std::unexpected(wanted.match == Match::exact ? Refusal::cannot_provide_external
                                                          : Refusal::no_resources);
    entry = &assign(wanted.key, *external);
  }
  entry->explicit_until = now + wanted.lifetime;
  entry->held_until = entry->explicit_until + config_.hold_down;
  const Endpoint& mapped = by_owner_.at(wanted.key).endpoint;
  return Applied{
      .external_address = mapped.address, .external_port = mapped.port, .lifetime = wanted.lifetime};
}

auto SimulatedNat::remove(TimePoint now, const Remove& unwanted) -> Result {
  Entry* entry = find(now, unwanted.key);
  if (entry == nullptr || entry->explicit_until <= now)
    return Applied{.external_address = IpAddress::unspecified(unwanted.key.external_family),
                   .external_port = {},
                   .lifetime = {}};
  entry->explicit_until = {};
  const auto residual = std::max(std::chrono::ceil<Seconds>(entry->implicit_until - now), Seconds{0});
  entry->held_until = std::max(entry->implicit_until, now) + config_.hold_down;
  const Endpoint& mapped = by_owner_.at(unwanted.key).endpoint;
  return Applied{.external_address = mapped.address, .external_port = mapped.port, .lifetime = residual};
}

auto SimulatedNat::outbound(TimePoint now, const MappingKey& key) -> std::optional<Endpoint> {
  Entry* entry = find(now, key);
  if (entry == nullptr) {
    // A port held down for this endpoint is taken up again, so that the server can still undo a removal.
    const auto former = by_owner_.find(key);
    const auto external = former != by_owner_.end() && is_free(now, former->second, key)
                              ? std::optional(former->second.endpoint)
                              : choose(now, Install{.key = key,
                                                    .external_address = {},
                                                    .external_port = key.internal_port,
                                                    .match = Match::suggested,
                                                    .lifetime = {}});
    if (!external) return {};
    entry = &assign(key, *external);
  }
  entry->implicit_until = now + config_.implicit_lifetime;
  entry->held_until = std::max(entry->held_until, entry->implicit_until + config_.hold_down);
  return by_owner_.at(key).endpoint;
}

auto SimulatedNat::inbound(TimePoint now, Protocol protocol, const Endpoint& external) const
    -> std::optional<Endpoint> {
  const auto found = entries_.find({protocol, external});
  if (found == entries_.end() || !found->second.is_mapped(now)) return {};
  return Endpoint{found->second.owner.internal_address, found->second.owner.internal_port};
}

auto SimulatedNat::explicit_mappings(TimePoint now) const -> std::map<MappingKey, Endpoint> {
  std::map<MappingKey, Endpoint> mappings;
  for (const auto& [external, entry] : entries_)
    if (entry.explicit_until > now) mappings[entry.owner] = external.endpoint;
  return mappings;
}

auto SimulatedNat::find(TimePoint now, const MappingKey& key) -> Entry* {
  const auto owner = by_owner_.find(key);
  if (owner == by_owner_.end()) return nullptr;
  Entry& entry = entries_.at(owner->second);
  return entry.is_mapped(now) ? &entry : nullptr;
}

auto SimulatedNat::is_free(TimePoint now, const External& external, const MappingKey& owner) const -> bool {
  if (is_reserved(external.protocol, external.endpoint.port)) return false;
  const auto found = entries_.find(external);
  if (found == entries_.end()) return true;
  if (found->second.is_mapped(now)) return false;
  return found->second.held_until <= now || found->second.owner == owner;
}

auto SimulatedNat::choose(TimePoint now, const Install& wanted) const -> std::optional<Endpoint> {
  const auto is_in_pool = std::ranges::find(config_.pool, wanted.external_address) != config_.pool.end();
  const auto free_at = [&](const IpAddress& address, Port port) {
    return is_free(now, {wanted.key.protocol, {address, port}}, wanted.key);
  };
  const auto in_range = [&](Port port) { return port >= config_.first_port && port <= config_.last_port; };
  std::vector<IpAddress> addresses;
  if (is_in_pool) addresses.push_back(wanted.external_address);
  const bool any_address = wanted.external_address.is_unspecified() || wanted.match == Match::suggested;
  if (any_address) std::ranges::copy(config_.pool, std::back_inserter(addresses));
  if (in_range(wanted.external_port))
    for (const IpAddress& address : addresses)
      if (free_at(address, wanted.external_port)) return Endpoint{address, wanted.external_port};
  if (wanted.match == Match::exact && wanted.external_port != Port{0}) return {};
  for (const IpAddress& address : addresses)
    for (unsigned port = config_.first_port.value; port <= config_.last_port.value; ++port)
      if (free_at(address, Port{static_cast<std::uint16_t>(port)}))
        return Endpoint{address, Port{static_cast<std::uint16_t>(port)}};
  return {};
}

auto SimulatedNat::assign(const MappingKey& key, const Endpoint& external) -> Entry& {
  const External place{key.protocol, external};
  if (const auto former = by_owner_.find(key); former != by_owner_.end()) entries_.erase(former->second);
  if (const auto taken = entries_.find(place); taken != entries_.end()) by_owner_.erase(taken->second.owner);
  by_owner_[key] = place;
  return entries_[place] = Entry{.owner = key, .explicit_until = {}, .implicit_until = {}, .held_until = {}};
}

}  // namespace portolan::device
