// SPDX-License-Identifier: BSD-2-Clause
#include "server/contracts.h"

#include "base/check.h"

namespace portolan::server {

ContractTable::ContractTable(Random& random)
    : index_(0, MappingKeyHash(HashKey::generate(random))),
      users_(0, PrefixHash{HashKey::generate(random)}) {}

auto ContractTable::find(const MappingKey& key) const -> const Contract* {
  const auto found = index_.find(key);
  return found == index_.end() ? nullptr : &slab_[found->second];
}

void ContractTable::put(const Contract& contract) {
  const auto [entry, is_new] = index_.try_emplace(contract.key, Index{});
  if (is_new) {
    if (free_.empty()) {
      free_.push_back(static_cast<Index>(slab_.size()));
      slab_.emplace_back();
    }
    entry->second = free_.back();
    free_.pop_back();
  } else {
    wheel_.cancel(entry->second);
    take_from(slab_[entry->second].subscriber);
  }
  slab_[entry->second] = contract;
  add_to(contract.subscriber);
  wheel_.schedule(entry->second, contract.expires);
}

void ContractTable::erase(const MappingKey& key) {
  const auto found = index_.find(key);
  if (found == index_.end()) return;
  wheel_.cancel(found->second);
  take_from(slab_[found->second].subscriber);
  free_.push_back(found->second);
  index_.erase(found);
}

auto ContractTable::take_expired(TimePoint now, const std::function<bool(const MappingKey&)>& is_busy)
    -> std::optional<Contract> {
  while (const auto index = wheel_.take_due(now)) {
    const Contract contract = slab_[*index];
    if (contract.expires > now || is_busy(contract.key)) {
      wheel_.schedule(*index, std::max(contract.expires, now + Seconds{1}));
      continue;
    }
    erase(contract.key);
    return contract;
  }
  return {};
}

void ContractTable::reserve(const Prefix& subscriber) {
  add_to(subscriber);
  ++reserved_;
}

void ContractTable::release(const Prefix& subscriber) {
  PORTOLAN_CHECK(reserved_ > 0);
  take_from(subscriber);
  --reserved_;
}

auto ContractTable::count_of(const Prefix& subscriber) const -> std::size_t {
  const auto found = users_.find(subscriber);
  return found == users_.end() ? 0 : found->second;
}

void ContractTable::for_each(const std::function<void(const Contract&)>& visit) const {
  for (const auto& [key, index] : index_) visit(slab_[index]);
}

auto ContractTable::memory_octets() const -> std::size_t {
  // The flat maps hold groups of 15 elements with 16 octets of metadata.
  constexpr std::size_t metadata = 2;
  return slab_.capacity() * sizeof(Contract) + free_.capacity() * sizeof(Index) +
         index_.bucket_count() * (sizeof(std::pair<MappingKey, Index>) + metadata) +
         users_.bucket_count() * (sizeof(std::pair<Prefix, std::uint32_t>) + metadata) +
         wheel_.memory_octets();
}

void ContractTable::add_to(const Prefix& subscriber) { ++users_[subscriber]; }

void ContractTable::take_from(const Prefix& subscriber) {
  const auto found = users_.find(subscriber);
  PORTOLAN_CHECK(found != users_.end() && found->second > 0);
  if (--found->second == 0) users_.erase(found);
}

}  // namespace portolan::server
