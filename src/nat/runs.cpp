// SPDX-License-Identifier: BSD-2-Clause
//
// Of the binding information bases: consecutive ports for port sets (RFC 7753), and a pool that changes.
#include <algorithm>

#include "base/check.h"
#include "nat/bindings.h"

namespace portolan::nat {
namespace {

constexpr std::uint16_t last_well_known_port = 1023;
// Ports of PCP itself: no client may have them (RFC 6887 s11.3).
constexpr std::uint16_t pcp_client_port = 5350;
constexpr std::uint16_t pcp_server_port = 5351;
// Addresses at which a set is tried before it gets fewer ports than it wants.
constexpr std::uint32_t addresses_tried_max = 8;

auto hash_pool_address(std::uint32_t address) -> std::uint32_t { return address * 0x9e3779b1U; }

}  // namespace

auto Bindings::choose_run(const InternalEndpoint& first, const Wanted& wanted, std::uint32_t count)
    -> std::optional<Run> {
  Run best;
  const auto try_at = [&](std::uint16_t pool_index) {
    const Run run = choose_run_at(first, wanted, count, pool_index);
    if (run.count > best.count) best = run;
    return best.count == count;
  };
  const auto found = [&]() -> std::optional<Run> {
    return best.count > 0 ? std::optional(best) : std::nullopt;
  };
  if (wanted.pool_index && (try_at(*wanted.pool_index) || wanted.exact)) return found();
  if (const auto pool_index = paired(find_host(first.address))) {
    try_at(*pool_index);
    return found();
  }
  const auto addresses = static_cast<std::uint32_t>(live_.size());
  if (addresses == 0) return std::nullopt;
  const std::uint32_t start = home_slot(hash(first.address), addresses);
  for (std::uint32_t step = 0; step < addresses; ++step) {
    if (step >= addresses_tried_max && best.count > 0) break;
    if (try_at(live_[(start + step) % addresses])) break;
  }
  return found();
}

auto Bindings::choose_run_at(const InternalEndpoint& first, const Wanted& wanted, std::uint32_t count,
                             std::uint16_t pool_index) -> Run {
  Run best{.pool_index = pool_index, .port = 0, .count = 0};
  const auto consider = [&](std::uint16_t port) {
    const std::uint32_t free = free_ports(first, wanted.ports.contained(Port{port}, count), pool_index, port);
    if (free > best.count) best = {.pool_index = pool_index, .port = port, .count = free};
    return best.count == count;
  };
  const bool is_odd = first.port % 2 == 1;
  if (wanted.port != 0) {
    const bool fits = wanted.exact || !wanted.same_parity || (wanted.port % 2 == 1) == is_odd;
    if ((fits && consider(wanted.port)) || wanted.exact) return best;
  } else if (const std::uint32_t held = find_hold_down(first);
             held != 0 && hold_downs_[held].pool_index == pool_index) {
    const std::uint16_t port = hold_downs_[held].external_port;
    if ((!wanted.same_parity || (port % 2 == 1) == is_odd) && consider(port)) return best;
  }
  if (consider(first.port)) return best;

  const PortSpace& ports = space(first.base, pool_index);
  const auto pick = [&](std::uint16_t low, std::uint16_t high, std::optional<bool> odd) {
    low = std::max(low, wanted.ports.first.value);
    high = std::min(high, wanted.ports.last.value);
    if (low > high) return false;
    const PortRun run = ports.pick_run({.low = low, .high = high, .odd = odd}, count, random_);
    if (run.count > best.count) best = {.pool_index = pool_index, .port = run.first, .count = run.count};
    return best.count == count;
  };
  const auto parity = wanted.same_parity ? std::optional(is_odd) : std::nullopt;
  if (first.port <= last_well_known_port && pick(1, last_well_known_port, parity)) return best;
  pick(last_well_known_port + 1, 65535, parity);
  // Rather the wrong parity than none.
  if (best.count == 0) pick(last_well_known_port + 1, 65535, std::nullopt);
  // Who may have well-known ports only gets those.
  if (best.count == 0 && wanted.ports.last <= Port{last_well_known_port}) {
    pick(1, last_well_known_port, parity);
    if (best.count == 0) pick(1, last_well_known_port, std::nullopt);
  }
  return best;
}

auto Bindings::free_ports(const InternalEndpoint& first, std::uint32_t count, std::uint16_t pool_index,
                          std::uint16_t port) const -> std::uint32_t {
  const std::uint32_t end = std::min(count, 65536U - port);
  InternalEndpoint internal = first;
  for (std::uint32_t i = 0; i < end; ++i, ++internal.port)
    if (!may_have(internal, true, pool_index, static_cast<std::uint16_t>(port + i))) return i;
  return end;
}

auto Bindings::paired(std::uint32_t host) const -> std::optional<std::uint16_t> {
  if (host == 0) return std::nullopt;
  const std::uint16_t pool_index = hosts_[host].pool_index;
  // Its address may have left the pool while other bindings of the host stayed.
  if (pool_[pool_index] == Ipv4Address{} || !this->pool_index(pool_[pool_index].value)) return std::nullopt;
  return pool_index;
}

void Bindings::move(std::uint32_t number, std::uint16_t pool_index, std::uint16_t port) {
  Binding& binding = bindings_[number];
  PORTOLAN_CHECK(binding.first_session == 0);
  space(binding.internal.base, binding.pool_index).release(binding.external_port);
  PortSpace& ports = space(binding.internal.base, pool_index);
  if (const std::uint32_t held = ports.owner(port).hold_down; held != 0) end_hold_down(held);
  ports.give_to_binding(port, number);
  binding.pool_index = pool_index;
  binding.external_port = port;
  if (!paired(binding.host)) hosts_[binding.host].pool_index = pool_index;
}

auto Bindings::set_pool(const std::vector<Ipv4Address>& addresses) -> std::vector<std::uint16_t> {
  std::vector<std::uint16_t> gone;
  std::erase_if(live_, [&](std::uint16_t index) {
    if (std::ranges::find(addresses, pool_[index]) != addresses.end()) return false;
    gone.push_back(index);
    return true;
  });
  for (const Ipv4Address address : addresses)
    if (!pool_index(address.value)) add_address(address);
  rebuild_pool_lookup();
  return gone;
}

void Bindings::add_address(Ipv4Address address) {
  // An index of a forgotten address, or a new one.
  const auto vacant = std::ranges::find(pool_, Ipv4Address{});
  live_.push_back(static_cast<std::uint16_t>(vacant - pool_.begin()));
  if (vacant != pool_.end()) {
    *vacant = address;
    return;
  }
  pool_.push_back(address);
  for (std::size_t base = 0; base < base_count; ++base) {
    auto ports = std::make_unique<PortSpace>();
    if (static_cast<Base>(base) != Base::icmp) ports->reserve(0);
    if (static_cast<Base>(base) == Base::udp) {
      ports->reserve(pcp_client_port);
      ports->reserve(pcp_server_port);
    }
    spaces_.push_back(std::move(ports));
  }
}

void Bindings::rebuild_pool_lookup() {
  pool_lookup_ = HashIndex(static_cast<std::uint32_t>(live_.size()));
  for (const std::uint16_t index : live_)
    pool_lookup_.insert(hash_pool_address(pool_[index].value), index + 1U);
}

auto Bindings::pool_index(std::uint32_t address) const -> std::optional<std::uint16_t> {
  const std::uint32_t found = pool_lookup_.find(
      hash_pool_address(address), [&](std::uint32_t number) { return pool_[number - 1].value == address; });
  if (found == 0) return std::nullopt;
  return static_cast<std::uint16_t>(found - 1);
}

auto Bindings::at(std::uint16_t pool_index) const -> std::vector<std::uint32_t> {
  std::vector<std::uint32_t> numbers;
  for (const Base base : {Base::udp, Base::tcp, Base::icmp})
    space(base, pool_index).for_each([&](std::uint16_t, PortOwner owner) {
      if (owner.binding != 0) numbers.push_back(owner.binding);
    });
  return numbers;
}

void Bindings::forget(std::uint16_t pool_index) {
  PORTOLAN_CHECK(at(pool_index).empty());
  std::vector<std::uint32_t> held;
  for (const Base base : {Base::udp, Base::tcp, Base::icmp})
    space(base, pool_index).for_each([&](std::uint16_t, PortOwner owner) {
      if (owner.hold_down != 0) held.push_back(owner.hold_down);
    });
  for (const std::uint32_t number : held) end_hold_down(number);
  pool_[pool_index] = {};
}

}  // namespace portolan::nat
