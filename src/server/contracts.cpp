// SPDX-License-Identifier: BSD-2-Clause
#include "server/contracts.h"

#include <algorithm>

#include "base/check.h"
#include "base/prefetch.h"

namespace portolan::server {
namespace {

/// A place for `number` in `slab`.
template <typename Element>
auto place(std::vector<Element>& slab, std::uint32_t number) -> Element& {
  PORTOLAN_CHECK(number != 0);
  if (number >= slab.size()) slab.resize(std::size_t{number} + 1);
  return slab[number];
}

}  // namespace

ContractTable::ContractTable(std::size_t maximum, Random& random)
    : hash_(HashKey::generate(random)),
      user_hash_(HashKey::generate(random)),
      numbers_(static_cast<Number>(maximum)),
      index_(HashIndex::growing(static_cast<Number>(maximum))),
      user_numbers_(static_cast<Number>(maximum)),
      user_index_(HashIndex::growing(static_cast<Number>(maximum))),
      port_sets_(0, MappingKeyHash(HashKey::generate(random))),
      wheel_(static_cast<Number>(maximum)) {}

auto ContractTable::user_of(const Prefix& subscriber) const -> Number {
  return user_index_.find(hash_of(subscriber),
                          [&](Number user) { return users_[user].prefix == subscriber; });
}

auto ContractTable::place_of(const Contract& contract) const -> Place {
  const auto* slot = reinterpret_cast<const std::byte*>(&contract) - offsetof(Slot, contract);
  return static_cast<Place>(reinterpret_cast<const Slot*>(slot) - slab_.data());
}

// Step by step for all of them: what each step looks at was fetched by one before. Nothing but fetching is
// done in the loops that do, so that the processor has many of them in view.
void ContractTable::fetch(std::span<Upcoming> calls) const {
  for (const Upcoming& call : calls)
    if (call.place == 0 || call.call == Upcoming::Call::erase) index_.prefetch(call.hash);
  for (Upcoming& call : calls) {
    if (call.place == 0) call.place = index_.find_likely(call.hash);
    if (call.place == 0) call.user_hash = hash_of(call.subscriber);
  }
  Number new_ones = 0;
  for (const Upcoming& call : calls) {
    if (call.place == 0) {
      user_index_.prefetch(call.user_hash);
      if (call.call == Upcoming::Call::put) fetch_new(numbers_.upcoming(new_ones++));
      continue;
    }
    prefetch(slab_[call.place]);
    if (call.call == Upcoming::Call::erase) wheel_.prefetch(call.place);
  }
  for (Upcoming& call : calls)
    call.user = call.place == 0 ? user_index_.find_likely(call.user_hash) : slab_[call.place].user;
  for (const Upcoming& call : calls) {
    if (call.user == 0 || (call.place != 0 && call.call != Upcoming::Call::erase)) continue;
    prefetch(users_[call.user]);
    if (call.place != 0) fetch_neighbours(call.place);
  }
  for (const Upcoming& call : calls)
    if (call.place == 0 && call.call == Upcoming::Call::put && call.user != 0)
      fetch_links(users_[call.user].first);
}

/// What a new contract will have.
void ContractTable::fetch_new(Number number) const {
  if (number < slab_.size()) prefetch(slab_[number]);
  wheel_.prefetch(number);
}

void ContractTable::fetch_neighbours(Number number) const {
  fetch_links(slab_[number].previous);
  fetch_links(slab_[number].next);
  wheel_.prefetch_neighbours(number);
}

/// What a neighbour changes: the beginning.
void ContractTable::fetch_links(Number number) const {
  if (number != 0) __builtin_prefetch(&slab_[number], 1);
}

auto ContractTable::overlapping(const MappingKey& mapping, std::uint16_t port_count) const
    -> std::vector<MappingKey> {
  const std::uint32_t first = mapping.internal_port.value;
  const std::uint32_t end = first + port_count;
  std::vector<MappingKey> found;
  if (const auto sets = port_sets_.find(without_port(mapping)); sets != port_sets_.end()) {
    for (const Number number : sets->second) {
      const Contract& set = slab_[number].contract;
      const std::uint32_t set_first = set.key.mapping.internal_port.value;
      if (set_first < end && first < set_first + set.port_count) found.push_back(set.key.mapping);
    }
  }
  MappingKey single = mapping;
  for (std::uint32_t port = first; port < end; ++port) {
    single.internal_port = Port{static_cast<std::uint16_t>(port)};
    const Contract* contract = find({.mapping = single, .remote_peer = {}});
    if (contract != nullptr && contract->port_count == 1) found.push_back(single);
  }
  std::ranges::sort(found, {}, &MappingKey::internal_port);
  return found;
}

auto ContractTable::put(TimePoint now, const Contract& contract, Place hint) -> Place {
  if (const Number number = number_of(contract.key, hint); number != 0) {
    Slot& slot = slab_[number];
    // One that moves away is looked at when the earlier one comes up.
    if (contract.expires < slot.contract.expires) wheel_.schedule(number, contract.expires, now);
    if (slot.contract.subscriber == contract.subscriber && slot.contract.port_count == contract.port_count) {
      slot.contract = contract;
      return number;
    }
    const Number user = slot.user;
    unlink(number);
    slot.contract = contract;
    link(number);
    drop_if_idle(user);
    return number;
  }
  const Number number = numbers_.take();
  place(slab_, number).contract = contract;
  index_.insert(hash_of(contract.key), number);
  link(number);
  wheel_.schedule(number, contract.expires, now);
  return number;
}

void ContractTable::erase(const ContractKey& key, Place hint) {
  const Number number = number_of(key, hint);
  if (number == 0) return;
  const Number user = slab_[number].user;
  wheel_.cancel(number);
  unlink(number);
  index_.erase(hash_of(key), number);
  slab_[number] = {};
  numbers_.give_back(number);
  drop_if_idle(user);
}

auto ContractTable::take_expired(TimePoint now, const std::function<bool(const Contract&)>& is_busy,
                                 std::size_t& looks) -> std::optional<Contract> {
  for (; looks > 0; --looks) {
    const auto number = wheel_.pop_due(now);
    if (!number) return {};
    const Contract& contract = slab_[*number].contract;
    if (contract.expires > now || is_busy(contract)) {
      wheel_.schedule(*number, std::max(contract.expires, now + Seconds{1}), now);
      continue;
    }
    --looks;
    Contract expired = contract;
    erase(expired.key);
    return expired;
  }
  return {};
}

void ContractTable::reserve(TimePoint now, const Prefix& subscriber, std::uint32_t ports) {
  Number user = user_of(subscriber);
  if (user == 0) {
    user = make_user(subscriber);
    users_[user].since = now;
  }
  users_[user].ports += ports;
  reserved_ += ports;
}

void ContractTable::release(const Prefix& subscriber, std::uint32_t ports) {
  const Number user = user_of(subscriber);
  PORTOLAN_CHECK(reserved_ >= ports && user != 0 && users_[user].ports >= ports);
  users_[user].ports -= ports;
  reserved_ -= ports;
  drop_if_idle(user);
}

auto ContractTable::count_of(const Prefix& subscriber) const -> std::size_t {
  const Number user = user_of(subscriber);
  return user == 0 ? 0 : users_[user].ports;
}

auto ContractTable::state_since(const Prefix& subscriber) const -> std::optional<TimePoint> {
  const Number user = user_of(subscriber);
  return user == 0 ? std::nullopt : std::optional(users_[user].since);
}

void ContractTable::restart_state(TimePoint now, const Prefix& subscriber) {
  if (const Number user = user_of(subscriber); user != 0) users_[user].since = now;
}

void ContractTable::confirm(const ContractKey& key, std::uint32_t round) {
  if (const Number number = number_of(key); number != 0) slab_[number].confirmed = round;
}

auto ContractTable::next_unconfirmed(Place& cursor, std::uint32_t round, std::size_t& looks) const
    -> const Contract* {
  while (looks > 0 && has_more(cursor)) {
    --looks;
    const Slot& slot = slab_[cursor++];
    if (slot.user != 0 && slot.confirmed != round) return &slot.contract;
  }
  return nullptr;
}

auto ContractTable::next_subscriber(Place& cursor, std::size_t& looks) const -> const Subscriber* {
  while (looks > 0 && has_more_subscribers(cursor)) {
    --looks;
    const Subscriber& subscriber = users_[cursor++];
    if (subscriber.contracts != 0) return &subscriber;
  }
  return nullptr;
}

void ContractTable::for_each(const std::function<void(const Contract&)>& visit) const {
  for (const Slot& slot : slab_)
    if (slot.user != 0) visit(slot.contract);
}

void ContractTable::for_each_of(const Prefix& subscriber,
                                const std::function<void(const Contract&)>& visit) const {
  const Number user = user_of(subscriber);
  if (user == 0) return;
  for (Number number = users_[user].first; number != 0; number = slab_[number].next)
    visit(slab_[number].contract);
}

auto ContractTable::make_user(const Prefix& subscriber) -> Number {
  const Number user = user_numbers_.take();
  place(users_, user) = {.prefix = subscriber, .since = {}};
  user_index_.insert(hash_of(subscriber), user);
  return user;
}

void ContractTable::link(Number number) {
  Slot& slot = slab_[number];
  slot.user = user_of(slot.contract.subscriber);
  if (slot.user == 0) slot.user = make_user(slot.contract.subscriber);
  Subscriber& user = users_[slot.user];
  user.ports += slot.contract.port_count;
  ++user.contracts;
  ports_ += slot.contract.port_count;
  slot.previous = 0;
  slot.next = user.first;
  if (user.first != 0) slab_[user.first].previous = number;
  user.first = number;
  if (slot.contract.port_count > 1) port_sets_[without_port(slot.contract.key.mapping)].push_back(number);
}

void ContractTable::unlink(Number number) {
  Slot& slot = slab_[number];
  Subscriber& user = users_[slot.user];
  PORTOLAN_CHECK(user.ports >= slot.contract.port_count);
  user.ports -= slot.contract.port_count;
  --user.contracts;
  ports_ -= slot.contract.port_count;
  (slot.previous != 0 ? slab_[slot.previous].next : user.first) = slot.next;
  if (slot.next != 0) slab_[slot.next].previous = slot.previous;
  if (slot.contract.port_count == 1) return;
  const auto sets = port_sets_.find(without_port(slot.contract.key.mapping));
  PORTOLAN_CHECK(sets != port_sets_.end());
  std::erase(sets->second, number);
  if (sets->second.empty()) port_sets_.erase(sets);
}

void ContractTable::drop_if_idle(Number user) {
  if (users_[user].ports != 0) return;
  user_index_.erase(hash_of(users_[user].prefix), user);
  users_[user] = {};
  user_numbers_.give_back(user);
}

}  // namespace portolan::server
