// SPDX-License-Identifier: BSD-2-Clause
#include "server/contracts.h"

#include <algorithm>

#include "base/check.h"

namespace portolan::server {

ContractTable::ContractTable(Random& random)
    : index_(0, SlotHash{ContractKeyHash(HashKey::generate(random)), &slab_}, SlotEqual{&slab_}),
      users_(0, PrefixHash{HashKey::generate(random)}),
      port_sets_(0, MappingKeyHash(HashKey::generate(random))) {}

auto ContractTable::find(const ContractKey& key) const -> const Contract* {
  const auto found = index_.find(key);
  return found == index_.end() ? nullptr : &slab_[*found].contract;
}

auto ContractTable::overlapping(const MappingKey& mapping, std::uint16_t port_count) const
    -> std::vector<MappingKey> {
  const std::uint32_t first = mapping.internal_port.value;
  const std::uint32_t end = first + port_count;
  std::vector<MappingKey> found;
  if (const auto sets = port_sets_.find(without_port(mapping)); sets != port_sets_.end()) {
    for (const Index index : sets->second) {
      const Contract& set = slab_[index].contract;
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

void ContractTable::put(const Contract& contract) {
  if (const auto found = index_.find(contract.key); found != index_.end()) {
    const Index index = *found;
    Slot& slot = slab_[index];
    wheel_.cancel(index);
    if (slot.contract.subscriber == contract.subscriber && slot.contract.port_count == contract.port_count) {
      slot.contract = contract;
    } else {
      const Prefix before = slot.contract.subscriber;
      unlink(index);
      slot.contract = contract;
      link(index);
      drop_if_idle(before);
    }
    return wheel_.schedule(index, contract.expires);
  }
  if (free_.empty()) {
    free_.push_back(static_cast<Index>(slab_.size()));
    slab_.emplace_back();
  }
  const Index index = free_.back();
  free_.pop_back();
  slab_[index].contract = contract;
  index_.insert(index);
  link(index);
  wheel_.schedule(index, contract.expires);
}

void ContractTable::erase(const ContractKey& key) {
  const auto found = index_.find(key);
  if (found == index_.end()) return;
  const Index index = *found;
  const Prefix subscriber = slab_[index].contract.subscriber;
  wheel_.cancel(index);
  unlink(index);
  index_.erase(found);
  slab_[index].contract = {};
  free_.push_back(index);
  drop_if_idle(subscriber);
}

auto ContractTable::take_expired(TimePoint now, const std::function<bool(const Contract&)>& is_busy)
    -> std::optional<Contract> {
  while (const auto index = wheel_.take_due(now)) {
    Contract contract = slab_[*index].contract;
    if (contract.expires > now || is_busy(contract)) {
      wheel_.schedule(*index, std::max(contract.expires, now + Seconds{1}));
      continue;
    }
    erase(contract.key);
    return contract;
  }
  return {};
}

void ContractTable::reserve(TimePoint now, const Prefix& subscriber, std::uint32_t ports) {
  const auto [user, is_new] = users_.try_emplace(subscriber);
  if (is_new) user->second.since = now;
  user->second.ports += ports;
  reserved_ += ports;
}

void ContractTable::release(const Prefix& subscriber, std::uint32_t ports) {
  const auto user = users_.find(subscriber);
  PORTOLAN_CHECK(reserved_ >= ports && user != users_.end() && user->second.ports >= ports);
  user->second.ports -= ports;
  reserved_ -= ports;
  drop_if_idle(subscriber);
}

auto ContractTable::count_of(const Prefix& subscriber) const -> std::size_t {
  const auto found = users_.find(subscriber);
  return found == users_.end() ? 0 : found->second.ports;
}

auto ContractTable::state_since(const Prefix& subscriber) const -> std::optional<TimePoint> {
  const auto found = users_.find(subscriber);
  return found == users_.end() ? std::nullopt : std::optional(found->second.since);
}

void ContractTable::restart_state(TimePoint now, const Prefix& subscriber) {
  if (const auto found = users_.find(subscriber); found != users_.end()) found->second.since = now;
}

void ContractTable::for_each(const std::function<void(const Contract&)>& visit) const {
  for (const Index index : index_) visit(slab_[index].contract);
}

void ContractTable::for_each_of(const Prefix& subscriber,
                                const std::function<void(const Contract&)>& visit) const {
  const auto user = users_.find(subscriber);
  if (user == users_.end()) return;
  for (Index index = user->second.first; index != none; index = slab_[index].next)
    visit(slab_[index].contract);
}

auto ContractTable::memory_octets() const -> std::size_t {
  // The flat containers hold groups of 15 elements with 16 octets of metadata.
  constexpr std::size_t metadata = 2;
  return slab_.capacity() * sizeof(Slot) + free_.capacity() * sizeof(Index) +
         index_.bucket_count() * (sizeof(Index) + metadata) +
         users_.bucket_count() * (sizeof(std::pair<Prefix, User>) + metadata) +
         port_sets_.bucket_count() * (sizeof(std::pair<MappingKey, std::vector<Index>>) + metadata) +
         wheel_.memory_octets();
}

void ContractTable::link(Index index) {
  Slot& slot = slab_[index];
  User& user = users_[slot.contract.subscriber];
  user.ports += slot.contract.port_count;
  ports_ += slot.contract.port_count;
  slot.previous = none;
  slot.next = user.first;
  if (user.first != none) slab_[user.first].previous = index;
  user.first = index;
  if (slot.contract.port_count > 1) port_sets_[without_port(slot.contract.key.mapping)].push_back(index);
}

void ContractTable::unlink(Index index) {
  Slot& slot = slab_[index];
  User& user = users_.at(slot.contract.subscriber);
  PORTOLAN_CHECK(user.ports >= slot.contract.port_count);
  user.ports -= slot.contract.port_count;
  ports_ -= slot.contract.port_count;
  (slot.previous != none ? slab_[slot.previous].next : user.first) = slot.next;
  if (slot.next != none) slab_[slot.next].previous = slot.previous;
  if (slot.contract.port_count == 1) return;
  const auto sets = port_sets_.find(without_port(slot.contract.key.mapping));
  PORTOLAN_CHECK(sets != port_sets_.end());
  std::erase(sets->second, index);
  if (sets->second.empty()) port_sets_.erase(sets);
}

void ContractTable::drop_if_idle(const Prefix& subscriber) {
  if (const auto user = users_.find(subscriber); user != users_.end() && user->second.ports == 0)
    users_.erase(user);
}

}  // namespace portolan::server
