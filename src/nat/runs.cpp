// SPDX-License-Identifier: BSD-2-Clause
//
// Of the binding information bases: consecutive ports for port sets (RFC 7753), and a pool that changes.
#include <algorithm>

#include "base/check.h"
#include "nat/bindings.h"

namespace portolan::nat {
namespace {

constexpr std::uint16_t last_well_known_port = 1023;
// Addresses at which a set is tried before it gets fewer ports than it wants.
constexpr std::uint32_t addresses_tried_max = 8;

}  // namespace

auto Bindings::choose_run(const InternalEndpoint& first, const Wanted& wanted, std::uint32_t count)
    -> std::optional<Run> {
  const std::uint32_t subscriber = subscribers_.find_or_make(first.address);
  if (subscriber == 0) return std::nullopt;
  const auto run = choose_run(first, wanted, count, subscriber);
  subscribers_.forget_if_unused(subscriber);
  return run;
}

auto Bindings::choose_run(const InternalEndpoint& first, const Wanted& wanted, std::uint32_t count,
                          std::uint32_t subscriber) -> std::optional<Run> {
  if (plan_) return choose_run_planned(first, wanted, count, subscriber);
  Run best;
  const auto try_at = [&](std::uint16_t pool_index) {
    const Run run = choose_run_at(first, wanted, count, subscriber, pool_index);
    if (run.count > best.count) best = run;
    return best.count == count;
  };
  const auto found = [&]() -> std::optional<Run> {
    return best.count > 0 ? std::optional(best) : std::nullopt;
  };
  if (wanted.pool_index && (try_at(*wanted.pool_index) || wanted.exact)) return found();
  if (const auto pool_index = paired(subscriber)) {
    try_at(*pool_index);
    return found();
  }
  const std::uint32_t addresses = pool_.size();
  if (addresses == 0) return std::nullopt;
  const std::uint32_t start = pool_.place_for(subscribers_.hash_of(subscriber));
  for (std::uint32_t step = 0; step < std::min(addresses, addresses_tried_max); ++step)
    if (try_at(pool_.at((start + step) % addresses))) break;
  return found();
}

auto Bindings::choose_run_at(const InternalEndpoint& first, const Wanted& wanted, std::uint32_t count,
                             std::uint32_t subscriber, std::uint16_t pool_index) -> Run {
  pool_.prepare(pool_index);
  Run best{.pool_index = pool_index, .port = 0, .count = 0};
  PortRange range = wanted.ports;
  const auto consider = [&](std::uint16_t port) {
    const std::uint32_t free = free_ports(first, range.contained(Port{port}, count), pool_index, port);
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
  range = range_for(subscriber, wanted);
  if (consider(first.port)) return best;

  const PortSpace ports = space(first.base, pool_index);
  const std::uint32_t* const blocks = blocks_at(pool_index);
  const auto pick = [&](std::uint16_t low, std::uint16_t high, std::optional<bool> odd) {
    low = std::max(low, range.first.value);
    high = std::min(high, range.last.value);
    if (low > high) return false;
    const PortRun run =
        ports.pick_run({.low = low, .high = high, .odd = odd, .blocks = blocks}, count, random_);
    if (run.count > best.count) best = {.pool_index = pool_index, .port = run.first, .count = run.count};
    return best.count == count;
  };
  const auto parity = wanted.same_parity ? std::optional(is_odd) : std::nullopt;
  for (std::uint32_t number = subscribers_[subscriber].first_block; number != 0;
       number = blocks_[number].next) {
    const PortBlock& block = blocks_[number];
    if (block.pool_index != pool_index) continue;
    const PortChoice choice{.low = std::max(block.ports().first, range.first).value,
                            .high = std::min(block.ports().last, range.last).value,
                            .odd = parity};
    const PortRun run = ports.pick_run(choice, count, random_);
    if (run.count > best.count) best = {.pool_index = pool_index, .port = run.first, .count = run.count};
    if (best.count == count) return best;
  }
  if (first.port <= last_well_known_port && pick(1, last_well_known_port, parity)) return best;
  pick(last_well_known_port + 1, 65535, parity);
  // Rather the wrong parity than none.
  if (best.count == 0) pick(last_well_known_port + 1, 65535, std::nullopt);
  // Who may have well-known ports only gets those.
  if (best.count == 0 && range.last <= Port{last_well_known_port}) {
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

auto Bindings::paired(std::uint32_t subscriber) const -> std::optional<std::uint16_t> {
  const Ipv4Address own = subscribers_.allowance_of(subscriber).external_address;
  if (own != Ipv4Address{})
    if (const auto pool_index = pool_.index_of(own.value)) return pool_index;
  // Its address may have left the pool while other bindings of the subscriber stayed.
  const Subscriber& owner = subscribers_[subscriber];
  if ((owner.bindings == 0 && owner.first_block == 0) || !pool_.is_live(owner.pool_index))
    return std::nullopt;
  return owner.pool_index;
}

auto Bindings::external_address(const Ipv6Address& internal) const -> std::optional<Ipv4Address> {
  const std::uint32_t subscriber = subscribers_.find(internal);
  if (subscriber != 0) {
    const auto pool_index = paired(subscriber);
    return pool_index ? std::optional(pool_.address(*pool_index)) : std::nullopt;
  }
  const Ipv4Address own = subscribers_.allowance_of(internal).external_address;
  return own != Ipv4Address{} && pool_.index_of(own.value) ? std::optional(own) : std::nullopt;
}

void Bindings::move(std::uint32_t number, std::uint16_t pool_index, std::uint16_t port) {
  Binding& binding = bindings_[number];
  PORTOLAN_CHECK(binding.first_session == 0 && binding.is_explicit);
  if (events_.is_on()) tell(EventKind::binding_deleted, binding);
  release_port(binding.internal.base, binding.pool_index, binding.external_port);
  if (const std::uint32_t held = space(binding.internal.base, pool_index).owner(port).hold_down; held != 0)
    end_hold_down(held);
  take_port(binding.internal.base, pool_index, port, number);
  binding.pool_index = pool_index;
  binding.external_port = port;
  if (events_.is_on()) tell(EventKind::binding_created, binding);
  // A profile may have come since: then it is another's, as whose it was given the place.
  const std::uint32_t before = binding.subscriber;
  if (const std::uint32_t now_of = subscribers_.find_or_make(binding.internal.address);
      now_of != 0 && now_of != before) {
    binding.subscriber = now_of;
    ++subscribers_[now_of].bindings;
    --subscribers_[before].bindings;
    subscribers_.forget_if_unused(before);
  }
  Subscriber& owner = subscribers_[binding.subscriber];
  if (!pool_.is_live(owner.pool_index)) owner.pool_index = pool_index;
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
  for (std::uint32_t word = 0; word < PortSpace::word_count; ++word)
    if (const std::uint32_t block = pool_.blocks(pool_index)[word]; block != 0) release_block(block);
  pool_.forget(pool_index);
}

}  // namespace portolan::nat
