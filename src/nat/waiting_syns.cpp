// SPDX-License-Identifier: BSD-2-Clause
#include "nat/waiting_syns.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace portolan::nat {
namespace {

auto is_same(const OutsideKey& a, const OutsideKey& b) -> bool {
  return a.external == b.external && a.remote == b.remote && a.external_port == b.external_port &&
         a.remote_port == b.remote_port;
}

}  // namespace

WaitingSyns::WaitingSyns(std::uint32_t maximum, Random& random)
    : hash_(HashKey::generate(random)), numbers_(maximum), syns_(std::size_t{maximum} + 1), index_(maximum) {}

auto WaitingSyns::hash_of(const OutsideKey& key) const -> std::uint32_t {
  return static_cast<std::uint32_t>(
      keyed_hash(hash_, {std::uint64_t{key.external} << 32U | key.remote,
                         std::uint64_t{key.external_port} << 16U | key.remote_port}));
}

auto WaitingSyns::find(const OutsideKey& key) const -> std::uint32_t {
  return index_.find(hash_of(key), [&](std::uint32_t number) { return is_same(syns_[number].key, key); });
}

auto WaitingSyns::add(TimePoint now, const OutsideKey& key, const Packet& packet) -> bool {
  if (find(key) != 0) return true;
  const std::uint32_t number = numbers_.take();
  if (number == 0) return false;
  Syn& syn = syns_[number];
  syn = {.key = key,
         .until = (now + wait).time_since_epoch().count(),
         .older = newest_,
         .newer = 0,
         .size = std::min(packet.size, octets_max),
         .octets = {}};
  std::memcpy(syn.octets.data(), packet.data, syn.size);
  (newest_ != 0 ? syns_[newest_].newer : oldest_) = number;
  newest_ = number;
  index_.insert(hash_of(key), number);
  return true;
}

auto WaitingSyns::take(const OutsideKey& key) -> bool {
  if (oldest_ == 0) return false;
  const std::uint32_t number = find(key);
  if (number != 0) forget(number);
  return number != 0;
}

auto WaitingSyns::pop_due(TimePoint now) -> std::optional<std::span<std::uint8_t>> {
  if (oldest_ == 0 || syns_[oldest_].until > now.time_since_epoch().count()) return std::nullopt;
  Syn& due = syns_[oldest_];
  forget(oldest_);
  return std::span(due.octets).first(due.size);
}

auto WaitingSyns::next_deadline() const -> std::optional<TimePoint> {
  if (oldest_ == 0) return std::nullopt;
  return TimePoint{Nanoseconds{syns_[oldest_].until}};
}

void WaitingSyns::forget(std::uint32_t number) {
  const Syn& syn = syns_[number];
  (syn.older != 0 ? syns_[syn.older].newer : oldest_) = syn.newer;
  (syn.newer != 0 ? syns_[syn.newer].older : newest_) = syn.older;
  index_.erase(hash_of(syn.key), number);
  numbers_.give_back(number);
}

void WaitingSyns::check_invariants() const {
  std::uint32_t count = 0;
  std::uint32_t older = 0;
  for (std::uint32_t number = oldest_; number != 0; number = syns_[number].newer) {
    PORTOLAN_CHECK(syns_[number].older == older && find(syns_[number].key) == number);
    PORTOLAN_CHECK(older == 0 || syns_[older].until <= syns_[number].until);
    older = number;
    ++count;
  }
  PORTOLAN_CHECK(newest_ == older && count == numbers_.used());
}

}  // namespace portolan::nat
