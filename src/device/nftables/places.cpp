// SPDX-License-Identifier: BSD-2-Clause
//
// Where a new mapping of a NAT44 goes, and what becomes of mappings whose address goes away.
#include <algorithm>
#include <utility>

#include "device/consecutive.h"
#include "device/nftables/mappings.h"
#include "device/nftables/pairing.h"

namespace portolan::device {
auto NftablesMappings::is_companion_of_another(TimePoint now, const Endpoint& external, const MappingKey& key,
                                               bool reserves_companion) const -> bool {
  const bool is_tcp = key.protocol == Protocol::tcp;
  if ((!is_tcp && key.protocol != Protocol::udp) || external.port == Port{0}) return false;
  const Number number = ports_.owner(is_tcp ? Protocol::udp : Protocol::tcp, external).binding;
  if (number == 0) return false;
  const Mapping& other = at(number);
  return other.key.internal_address != key.internal_address &&
         (reserves_companion || (other.reserves_companion && other.is_explicit(now)));
}

auto NftablesMappings::is_available(const Endpoint& external, const MappingKey& key, Reach reach) const
    -> bool {
  const nat::PortOwner owner = ports_.owner(key.protocol, external);
  if (owner.binding != 0) return false;
  if (owner.hold_down != 0) {
    // Its last owner may have it back.
    const Mapping& held = at(owner.hold_down);
    const auto i = static_cast<std::uint32_t>(external.port.value - held.external.port.value);
    if (ith(held.key, i) != key) return false;
  } else if (reach == Reach::chosen ? !ports_.is_free(key.protocol, external)
                                    : ExternalPorts::is_of_pcp(key.protocol, external.port)) {
    return false;
  }
  return true;
}

auto NftablesMappings::fitting(TimePoint now, const Install& wanted, const Endpoint& external,
                               std::uint32_t count, Reach reach) const -> std::uint32_t {
  if (!rules_.translates) return count;
  count = wanted.external_ports.contained(external.port, count);
  for (std::uint32_t i = 0; i < count; ++i) {
    const Endpoint each = ith(external, i);
    const Number present = number_of(ith(wanted.key, i));
    const bool is_there = present != 0 && at(present).key == wanted.key && at(present).is_mapped(now) &&
                          i < at(present).port_count && at(present).external == external;
    const bool is_kept_free = !wanted.is_restoration && is_companion_of_another(now, each, ith(wanted.key, i),
                                                                                wanted.reserves_companion);
    if (!is_there && (is_kept_free || !is_available(each, ith(wanted.key, i), reach))) return i;
  }
  return count;
}

auto NftablesMappings::unmapped(TimePoint now, const MappingKey& key, std::uint32_t count) const
    -> std::uint32_t {
  for (std::uint32_t i = 1; i < count; ++i)
    if (const Mapping* const other = find(now, ith(key, i)); other != nullptr && other->key != key) return i;
  return count;
}

auto NftablesMappings::addresses_for(const Install& wanted) const -> std::vector<Ipv4Address> {
  const IpAddress& suggested = wanted.external_address;
  std::vector<Ipv4Address> addresses;
  const auto add = [&](Ipv4Address address) {
    if (std::ranges::find(addresses, address) == addresses.end()) addresses.push_back(address);
  };
  const bool is_given = ports_.has(wanted.given_address);
  bool is_any = suggested.is_unspecified() || wanted.match == Match::suggested;
  if (is_given && (is_any || suggested == wanted.given_address)) {
    add(wanted.given_address.ipv4());
    is_any = wanted.match == Match::suggested;
  } else if (!is_given && ports_.has(suggested)) {
    add(suggested.ipv4());
  }
  if (!is_any) return addresses;
  // First the one that the host's own traffic has.
  const auto count = static_cast<std::uint32_t>(pool().size());
  const std::uint32_t first = paired_address(wanted.key.internal_address.ipv4(), count);
  for (std::uint32_t i = 0; i < count; ++i) add(pool()[(first + i) % count]);
  return addresses;
}

auto NftablesMappings::new_place(TimePoint now, const Install& wanted, std::uint32_t count,
                                 const std::optional<Traffic>& own) -> Place {
  if (rules_.translates && own && ports_.has(own->external.address)) {
    // It is there already, whatever the range says of new places.
    Install anywhere = wanted;
    const std::uint32_t more = wanted.external_ports.contains(own->external.port) ? count : 1;
    anywhere.external_ports = more > 1 ? wanted.external_ports : PortRange{};
    if (const std::uint32_t fits = fitting(now, anywhere, own->external, more, Reach::any); fits > 0)
      return {.external = own->external, .count = fits};
  }
  return choose(now, wanted, count);
}

auto NftablesMappings::choose_at(TimePoint now, const Install& wanted, Ipv4Address address,
                                 std::optional<bool> odd, std::uint32_t count) -> Place {
  const MappingKey& key = wanted.key;
  const auto run = ports_.pick(key.protocol, address, wanted.external_ports, odd, count);
  if (run.count == 0) return {};
  const std::uint32_t fits = fitting(now, wanted, run.first, run.count, Reach::chosen);
  if (fits == run.count) return {.external = run.first, .count = fits};
  // Companions of other hosts' ports are in the way: look at each port, from there on, once around.
  Place best{.external = run.first, .count = fits};
  const PortRange range{.first = std::max(wanted.external_ports.first, ports_.chosen().first),
                        .last = std::min(wanted.external_ports.last, ports_.chosen().last)};
  const std::uint32_t size = range.last.value - range.first.value + 1U;
  for (std::uint32_t i = 1; i < size && best.count < count; ++i) {
    const std::uint32_t offset = (run.first.port.value - range.first.value + i) % size;
    const Port port{static_cast<std::uint16_t>(range.first.value + offset)};
    if (odd && (port.value % 2 == 1) != *odd) continue;
    const Endpoint external{IpAddress{address}, port};
    const std::uint32_t here = fitting(now, wanted, external, count, Reach::chosen);
    if (here > best.count) best = {.external = external, .count = here};
  }
  return best;
}

auto NftablesMappings::choose(TimePoint now, const Install& wanted, std::uint32_t count) -> Place {
  const MappingKey& key = wanted.key;
  if (!rules_.translates) {
    const Endpoint external{key.internal_address, key.internal_port};
    const bool is_wanted =
        wanted.match == Match::suggested || agrees(wanted.external_address, wanted.external_port, external);
    return {.external = external, .count = is_wanted ? count : 0};
  }
  const std::vector<Ipv4Address> addresses = addresses_for(wanted);
  if (key.internal_port == Port{0}) {
    for (const Ipv4Address address : addresses) {
      const Endpoint external{IpAddress{address}, Port{0}};
      if (wanted.match == Match::exact && wanted.external_port != Port{0}) break;
      if (is_available(external, key, Reach::any)) return {.external = external, .count = 1};
    }
    return {};
  }
  const bool is_odd = key.internal_port.value % 2 == 1;
  const bool is_binding = wanted.match == Match::exact && wanted.external_port != Port{0};
  Place best;
  const auto consider = [&](const Place& place) {
    if (place.count > best.count) best = place;
    return best.count == count;
  };
  const auto at_port = [&](Port port) {
    return std::ranges::any_of(addresses, [&](Ipv4Address address) {
      const Endpoint external{IpAddress{address}, port};
      return consider({.external = external, .count = fitting(now, wanted, external, count, Reach::chosen)});
    });
  };
  const Port suggested = wanted.external_port;
  if (suggested != Port{0} &&
      (is_binding || !wanted.preserve_parity || (suggested.value % 2 == 1) == is_odd) && at_port(suggested))
    return best;
  if (is_binding) return best;
  // What it had last is free for it.
  if (const Number held = number_of(key);
      held != 0 && suggested == Port{0} && wanted.external_address.is_unspecified() && at(held).key == key) {
    const Endpoint last = at(held).external;
    if (std::ranges::find(addresses, last.address.ipv4()) != addresses.end() &&
        consider({.external = last, .count = fitting(now, wanted, last, count, Reach::chosen)}))
      return best;
  }
  const auto anywhere = [&](std::optional<bool> odd) {
    return std::ranges::any_of(addresses, [&](Ipv4Address address) {
      return consider(choose_at(now, wanted, address, odd, count));
    });
  };
  if (wanted.preserve_parity && (anywhere(is_odd) || best.count > 0)) return best;
  anywhere(std::nullopt);
  return best;
}

auto NftablesMappings::set_pool(TimePoint now, std::vector<Ipv4Address> pool) -> std::vector<Event> {
  const auto remains = [&](const IpAddress& address) {
    return std::ranges::find(pool, address.ipv4()) != pool.end();
  };
  std::vector<Event> events;
  std::vector<Mapping> displaced;
  for (const Number number : numbers()) {
    Mapping& mapping = at(number);
    for (const Peer& peer : mapping.peers)
      if (peer.until > now && !remains(peer.external.address))
        events.emplace_back(LostPeer{with_port(mapping.key, peer.internal_port), peer.remote_peer});
    std::erase_if(mapping.peers, [&](const Peer& peer) { return !remains(peer.external.address); });
    if (remains(mapping.external.address)) {
      settle(now, number);
      continue;
    }
    if (mapping.is_explicit(now)) displaced.push_back(mapping);
    forget(number);
  }
  ports_.set_pool(std::move(pool));
  for (const Mapping& mapping : displaced) {
    const auto parity = (mapping.key.internal_port.value ^ mapping.external.port.value) % 2;
    const Result moved = mapping.is_bound_to_address
                             ? std::unexpected(Refusal::network_failure)
                             : install(now,
                                       Install{.key = mapping.key,
                                               .external_address = IpAddress::unspecified(Family::ipv4),
                                               .external_port = mapping.external.port,
                                               .match = Match::suggested,
                                               .lifetime = Seconds{1},  // what it had follows
                                               .filters = mapping.filters,
                                               .port_count = mapping.port_count,
                                               .preserve_parity = mapping.preserve_parity || parity == 0,
                                               .external_ports = mapping.external_ports,
                                               .reserves_companion = mapping.reserves_companion},
                                       [](const MappingKey&) { return std::nullopt; });
    if (!moved) {
      events.emplace_back(Lost{mapping.key});
      continue;
    }
    const Number number = number_of(mapping.key);
    at(number).explicit_until = mapping.explicit_until;
    settle(now, number);
    events.emplace_back(Moved{mapping.key, moved->port_count, moved->external_address, moved->external_port});
  }
  return events;
}

}  // namespace portolan::device
