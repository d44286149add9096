// SPDX-License-Identifier: BSD-2-Clause
#include "nat/subscribers.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace portolan::nat {
namespace {

auto second_of(TimePoint time) -> std::uint32_t {
  return static_cast<std::uint32_t>(std::chrono::floor<Seconds>(time.time_since_epoch()).count());
}

auto hash_prefix(const TableSecret& secret, const Ipv6Address& address, std::uint8_t length)
    -> std::uint32_t {
  std::uint32_t words[6];
  std::memcpy(words, address.octets.data(), 16);
  words[4] = length;
  words[5] = 0;
  return hash_words(secret, words, 6);
}

}  // namespace

Profiles::Profiles(const Config& config, Random& random)
    : numbers_(config.limits.profiles),
      profiles_(std::size_t{config.limits.profiles} + 1),
      index_(HashIndex::growing(config.limits.profiles)) {
  for (std::uint64_t& word : secret_.words) word = random.next();
  profiles_[0].allowance = config.allowance;
  lengths_.reserve(of_length_.size());
}

auto Profiles::hash(const Ipv6Address& address, std::uint8_t length) const -> std::uint32_t {
  return hash_prefix(secret_, address, length);
}

auto Profiles::find_exactly(const Ipv6Address& address, std::uint8_t length) const -> std::uint32_t {
  return index_.find(hash(address, length), [&](std::uint32_t number) {
    return profiles_[number].length == length && profiles_[number].address == address;
  });
}

auto Profiles::find(const Ipv6Address& address) const -> std::uint32_t {
  for (const std::uint8_t length : lengths_)
    if (const std::uint32_t number = find_exactly(masked(address, length), length); number != 0)
      return number;
  return 0;
}

auto Profiles::meaning_of(const Allowance& asked, std::uint8_t length) const -> Allowance {
  const Allowance& usual = profiles_[0].allowance;
  Allowance allowance = asked;
  if (asked.subscriber_prefix_length == 0)
    allowance.subscriber_prefix_length = std::max(usual.subscriber_prefix_length, length);
  if (asked.port_block_size == 0) allowance.port_block_size = usual.port_block_size;
  if (asked.port_block_size == Allowance::no_port_blocks) allowance.port_block_size = 0;
  if (asked.ports_max == 0) allowance.ports_max = usual.ports_max;
  if (asked.sessions_max == 0) allowance.sessions_max = usual.sessions_max;
  if (asked.sessions_per_second_max == 0) allowance.sessions_per_second_max = usual.sessions_per_second_max;
  return allowance;
}

auto Profiles::put(const Ipv6Address& address, std::uint8_t length, const Allowance& asked) -> bool {
  const Ipv6Address prefix = masked(address, length);
  std::uint32_t number = find_exactly(prefix, length);
  if (number == 0) {
    number = numbers_.take();
    if (number == 0) return false;
    profiles_[number] = {.allowance = {},
                         .asked = {},
                         .address = prefix,
                         .length = length,
                         .is_gone = false,
                         .subscribers = 0};
    index_.insert(hash(prefix, length), number);
    ++size_;
    if (++of_length_[length] == 1)
      lengths_.insert(std::ranges::lower_bound(lengths_, length, std::greater{}), length);
  }
  profiles_[number].allowance = meaning_of(asked, length);
  profiles_[number].asked = asked;
  return true;
}

void Profiles::drop(const Ipv6Address& address, std::uint8_t length) {
  const Ipv6Address prefix = masked(address, length);
  const std::uint32_t number = find_exactly(prefix, length);
  if (number == 0) return;
  index_.erase(hash(prefix, length), number);
  --size_;
  if (--of_length_[length] == 0) std::erase(lengths_, length);
  profiles_[number].is_gone = true;
  profiles_[number].allowance = profiles_[0].allowance;
  if (profiles_[number].subscribers == 0) numbers_.give_back(number);
}

void Profiles::let_go(std::uint32_t number) {
  PORTOLAN_CHECK(profiles_[number].subscribers > 0);
  if (--profiles_[number].subscribers == 0 && profiles_[number].is_gone) numbers_.give_back(number);
}

Subscribers::Subscribers(const Config& config, Random& random)
    : profiles_(config, random),
      numbers_(config.limits.subscribers),
      subscribers_(std::size_t{config.limits.subscribers} + 1),
      index_(config.limits.subscribers) {
  for (std::uint64_t& word : secret_.words) word = random.next();
}

auto Subscribers::prefix_of(const Ipv6Address& address) const -> Key {
  const std::uint8_t length = allowance_of(address).subscriber_prefix_length;
  return {.address = masked(address, length), .length = length};
}

auto Subscribers::hash(const Key& key) const -> std::uint32_t {
  return hash_prefix(secret_, key.address, key.length);
}

auto Subscribers::find(const Key& key) const -> std::uint32_t {
  return index_.find(hash(key), [&](std::uint32_t number) {
    return subscribers_[number].length == key.length && subscribers_[number].address == key.address;
  });
}

auto Subscribers::find(const Ipv6Address& address) const -> std::uint32_t { return find(prefix_of(address)); }

auto Subscribers::find_or_make(const Ipv6Address& address) -> std::uint32_t {
  const std::uint32_t profile = profiles_.find(address);
  const std::uint8_t length = profiles_[profile].allowance.subscriber_prefix_length;
  const Key key{.address = masked(address, length), .length = length};
  std::uint32_t number = find(key);
  if (number == 0) {
    number = numbers_.take();
    if (number == 0) return 0;
    subscribers_[number] = {.address = key.address,
                            .profile = profile,
                            .bindings = 0,
                            .implicit = {},
                            .sessions = 0,
                            .first_block = 0,
                            .second = 0,
                            .in_second = 0,
                            .pool_index = 0,
                            .length = key.length};
    index_.insert(hash(key), number);
    profiles_.hold(profile);
  } else if (Subscriber& subscriber = subscribers_[number]; subscriber.profile != profile) {
    // A profile came or went since.
    profiles_.hold(profile);
    profiles_.let_go(subscriber.profile);
    subscriber.profile = profile;
  }
  return number;
}

void Subscribers::forget_if_unused(std::uint32_t number) {
  const Subscriber& subscriber = subscribers_[number];
  if (subscriber.bindings != 0 || subscriber.first_block != 0) return;
  PORTOLAN_CHECK(subscriber.sessions == 0);
  index_.erase(hash({.address = subscriber.address, .length = subscriber.length}), number);
  profiles_.let_go(subscriber.profile);
  numbers_.give_back(number);
}

auto Subscribers::could_begin(std::uint32_t number, TimePoint now) const -> bool {
  const Subscriber& subscriber = subscribers_[number];
  return subscriber.second != second_of(now) ||
         subscriber.in_second < allowance_of(number).sessions_per_second_max;
}

auto Subscribers::may_begin(std::uint32_t number, TimePoint now) -> bool {
  if (allowance_of(number).sessions_per_second_max == Allowance::no_maximum) return true;
  if (!could_begin(number, now)) return false;
  Subscriber& subscriber = subscribers_[number];
  if (subscriber.second != second_of(now)) subscriber.in_second = 0;
  subscriber.second = second_of(now);
  ++subscriber.in_second;
  return true;
}

}  // namespace portolan::nat
