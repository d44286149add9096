// SPDX-License-Identifier: BSD-2-Clause
#include "server/users.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <utility>

#include "base/check.h"

namespace portolan::server {
namespace {

using Words = std::array<std::uint64_t, 2>;

/// First bits of an address in IPv4's form that say that it is one.
constexpr unsigned ipv4_bits = 96;

/// The words that keep the first bits of an address, by their number.
constexpr auto make_masks() -> std::array<Words, 129> {
  std::array<Words, 129> masks{};
  std::array<std::uint8_t, 16> octets{};
  for (std::size_t length = 0; length < masks.size(); ++length) {
    masks[length] = std::bit_cast<Words>(octets);
    if (length < 128) octets[length / 8] |= static_cast<std::uint8_t>(0x80U >> length % 8);
  }
  return masks;
}
constexpr auto masks = make_masks();

auto is_ipv4(const Prefix& prefix) -> bool {
  return prefix.length() >= ipv4_bits && prefix.address().is_ipv4();
}

}  // namespace

Users::Users(std::size_t maximum, Random& random)
    : key_(HashKey::generate(random)),
      numbers_(static_cast<Place>(maximum)),
      index_(HashIndex::growing(static_cast<Place>(maximum))) {}

auto Users::hash_of(const Words& words, unsigned length) const -> std::uint32_t {
  return static_cast<std::uint32_t>(keyed_hash(key_, {words[0], words[1], length}) >> 32U);
}

auto Users::number_of(const Words& words, unsigned length, std::uint32_t hash) const -> Place {
  return index_.find(hash, [&](Place number) {
    const Prefix& prefix = slab_[number].user.profile.users;
    return prefix.length() == length && prefix.address().bits().words() == words;
  });
}

auto Users::find(const IpAddress& address) const -> const User* {
  const Words words = address.bits().words();
  if (address.is_ipv4())
    if (const User* const user = find_among(lengths_[1], words)) return user;
  return find_among(lengths_[0], words);
}

auto Users::find_among(const Lengths& lengths, const Words& address) const -> const User* {
  std::array<std::uint32_t, 129> hashes;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    const Words& mask = masks[lengths[i]];
    hashes[i] = hash_of({address[0] & mask[0], address[1] & mask[1]}, lengths[i]);
    index_.prefetch(hashes[i]);
  }
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    const Words& mask = masks[lengths[i]];
    const Place number = number_of({address[0] & mask[0], address[1] & mask[1]}, lengths[i], hashes[i]);
    if (number != 0) return &slab_[number].user;
  }
  return nullptr;
}

auto Users::find_exactly(const Prefix& prefix) const -> const User* {
  const Words words = prefix.address().bits().words();
  const Place number = number_of(words, prefix.length(), hash_of(words, prefix.length()));
  return number == 0 ? nullptr : &slab_[number].user;
}

auto Users::has_longer_than(unsigned length) const -> bool {
  return std::ranges::any_of(
      lengths_, [&](const Lengths& lengths) { return !lengths.empty() && lengths.front() > length; });
}

auto Users::put(User user) -> bool {
  PORTOLAN_CHECK(user.origin != Origin::dynamic);
  const Prefix prefix = user.profile.users;
  const Words words = prefix.address().bits().words();
  const std::uint32_t hash = hash_of(words, prefix.length());
  Place number = number_of(words, prefix.length(), hash);
  if (number == 0) {
    number = numbers_.take();
    if (number == 0) return false;
    if (number >= slab_.size()) slab_.resize(std::size_t{number} + 1);
    index_.insert(hash, number);
    count_length(prefix, true);
  } else {
    --counts_[static_cast<std::size_t>(slab_[number].user.origin)];
  }
  ++counts_[static_cast<std::size_t>(user.origin)];
  slab_[number].user = std::move(user);
  return true;
}

void Users::erase(const Prefix& prefix) {
  const Words words = prefix.address().bits().words();
  const std::uint32_t hash = hash_of(words, prefix.length());
  const Place number = number_of(words, prefix.length(), hash);
  if (number == 0) return;
  --counts_[static_cast<std::size_t>(slab_[number].user.origin)];
  index_.erase(hash, number);
  slab_[number] = {};
  numbers_.give_back(number);
  count_length(prefix, false);
}

void Users::count_length(const Prefix& prefix, bool is_more) {
  const std::size_t family = is_ipv4(prefix) ? 1 : 0;
  const auto length = static_cast<std::uint8_t>(prefix.length());
  std::uint32_t& count = of_length_[family][length];
  Lengths& lengths = lengths_[family];
  if (is_more && count++ == 0)
    lengths.insert(std::ranges::lower_bound(lengths, length, std::greater<>()), length);
  if (!is_more && --count == 0) std::erase(lengths, length);
}

auto Users::next(Place& cursor, std::size_t& looks) const -> const User* {
  while (looks > 0 && has_more(cursor)) {
    --looks;
    const Slot& slot = slab_[cursor++];
    if (slot.user.origin != Origin::dynamic) return &slot.user;
  }
  return nullptr;
}

}  // namespace portolan::server
