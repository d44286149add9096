// SPDX-License-Identifier: BSD-2-Clause
//
// The users that the operator knows of, configured or added by hand, by longest prefix match. There may be a
// million, and each is added, changed or removed on its own.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/hash.h"
#include "base/hash_index.h"
#include "base/lazy_array.h"
#include "base/user.h"
#include "server/management.h"

namespace portolan::server {

struct User {
  Profile profile;
  Origin origin = Origin::configured;
  /// A change of it is under way: it is in force, but not durable yet.
  bool is_changing = false;
};

class Users {
 public:
  /// Where a user is in the table.
  using Place = std::uint32_t;

  /// For at most `maximum`.
  Users(std::size_t maximum, Random& random);

  /// The most specific user that has `address`, or nullptr. Valid until the table changes.
  ///
  /// Cost    a cache line for each prefix length that occurs in the family, all fetched at once, and two for
  /// the
  ///         user
  [[nodiscard]] auto find(const IpAddress& address) const -> const User*;
  /// The user of just `prefix`, or nullptr.
  [[nodiscard]] auto find_exactly(const Prefix& prefix) const -> const User*;
  /// Whether a user of shorter prefix than `prefix`, but not all addresses, has it, and `is_it` holds for
  /// one.
  template <typename IsIt>
  [[nodiscard]] auto any_around(const Prefix& prefix, IsIt is_it) const -> bool {
    for (const Lengths& lengths : lengths_) {
      for (const std::uint8_t length : lengths) {
        if (length >= prefix.length() || length == 0) continue;
        const User* user = find_exactly(Prefix(prefix.address(), length));
        if (user != nullptr && is_it(*user)) return true;
      }
    }
    return false;
  }
  /// Whether a user's prefix may lie within one of `length` bits.
  [[nodiscard]] auto has_longer_than(unsigned length) const -> bool;

  /// Inserts or replaces the one of the same prefix. Errors  false: the table is full
  [[nodiscard]] auto put(User user) -> bool;
  /// Nothing happens if there is none.
  void erase(const Prefix& prefix);

  /// The first user from `cursor` on, behind which it goes on. Nothing after `looks` looks, each of which is
  /// taken off, or at the end: then has_more() is false. Valid until the table changes.
  [[nodiscard]] auto next(Place& cursor, std::size_t& looks) const -> const User*;
  [[nodiscard]] auto has_more(Place cursor) const -> bool { return cursor < slab_.size(); }
  [[nodiscard]] auto size() const -> std::size_t { return numbers_.used(); }
  [[nodiscard]] auto count_of(Origin origin) const -> std::size_t {
    return counts_[static_cast<std::size_t>(origin)];
  }
  [[nodiscard]] auto maximum() const -> std::size_t { return numbers_.maximum(); }

 private:
  struct alignas(64) Slot {
    /// Dynamic users have no place: the slot is not in use.
    User user{.profile = {}, .origin = Origin::dynamic};
  };
  static_assert(sizeof(Slot) == 128, "two cache lines");
  using Words = std::array<std::uint64_t, 2>;
  using Lengths = std::vector<std::uint8_t>;

  [[nodiscard]] auto hash_of(const Words& words, unsigned length) const -> std::uint32_t;
  [[nodiscard]] auto number_of(const Words& words, unsigned length, std::uint32_t hash) const -> Place;
  [[nodiscard]] auto find_among(const Lengths& lengths, const Words& address) const -> const User*;
  void count_length(const Prefix& prefix, bool is_more);

  HashKey key_;
  Numbers numbers_;
  std::vector<Slot> slab_;
  HashIndex index_;
  std::array<std::size_t, 2> counts_{};
  /// How many have each length, and which occur, longest first: of others, and of IPv4.
  std::array<std::array<std::uint32_t, 129>, 2> of_length_{};
  std::array<Lengths, 2> lengths_;
};

}  // namespace portolan::server
