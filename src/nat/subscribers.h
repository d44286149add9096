// SPDX-License-Identifier: BSD-2-Clause
//
// Whom external ports and sessions are given to and counted for. A subscriber is a prefix: all internal
// addresses that have as many first bits in common as their profile says.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/address.h"
#include "base/hash_index.h"
#include "base/lazy_array.h"
#include "base/random.h"
#include "nat/config.h"
#include "nat/flat_table.h"

namespace portolan::nat {

/// What subscribers of some prefix may have.
struct Profile {
  Allowance allowance;
  Allowance asked;      ///< as put() was told: what is 0 is as for everybody
  Ipv6Address address;  ///< of its prefix
  std::uint8_t length;
  bool is_gone;               ///< it waits for its last subscriber to go, with the allowance of everybody
  std::uint32_t subscribers;  ///< that have it
};

/// Profiles by internal prefix. Number 0 is that of subscribers without one.
class Profiles {
 public:
  Profiles(const Config& config, Random& random);

  /// Number of the most specific profile of `address`.
  ///
  /// Cost    one look-up for each prefix length that occurs
  [[nodiscard]] auto find(const Ipv6Address& address) const -> std::uint32_t;
  /// What a profile for a prefix of `length` bits means that asks for `asked`: what is 0 is as for everybody,
  /// but that no subscriber's prefix is larger than the profile's.
  [[nodiscard]] auto meaning_of(const Allowance& asked, std::uint8_t length) const -> Allowance;
  /// Makes or changes a profile. Its subscribers have what `asked` means from their next packet on; how long
  /// their prefix is, from their next binding on. Errors  false: Limits::profiles is reached
  [[nodiscard]] auto put(const Ipv6Address& address, std::uint8_t length, const Allowance& asked) -> bool;
  /// From now on its subscribers have what everybody has. Nothing happens if there is none.
  void drop(const Ipv6Address& address, std::uint8_t length);

  /// Keeps the number of a profile in use until let_go().
  void hold(std::uint32_t number) { ++profiles_[number].subscribers; }
  void let_go(std::uint32_t number);

  [[nodiscard]] auto operator[](std::uint32_t number) const -> const Profile& { return profiles_[number]; }
  /// All numbers are smaller.
  [[nodiscard]] auto end() const -> std::uint32_t { return numbers_.end(); }
  /// Whether `number`, one handed out, is a profile now.
  [[nodiscard]] auto is_used(std::uint32_t number) const -> bool { return !profiles_[number].is_gone; }
  /// How many there are, number 0 apart.
  [[nodiscard]] auto size() const -> std::uint32_t { return size_; }

 private:
  [[nodiscard]] auto hash(const Ipv6Address& address, std::uint8_t length) const -> std::uint32_t;
  [[nodiscard]] auto find_exactly(const Ipv6Address& address, std::uint8_t length) const -> std::uint32_t;

  TableSecret secret_{};
  Numbers numbers_;
  LazyArray<Profile> profiles_;
  HashIndex index_;
  std::array<std::uint32_t, 129> of_length_{};  // how many have it
  std::vector<std::uint8_t> lengths_;           // that occur, longest first
  std::uint32_t size_ = 0;
};

/// Its prefix, and what it uses.
struct Subscriber {
  Ipv6Address address;
  std::uint32_t profile;
  std::uint32_t bindings;
  std::array<std::uint32_t, 3> implicit;  ///< bindings of its own traffic, by Base
  std::uint32_t sessions;
  std::uint32_t first_block;
  std::uint32_t second;      ///< in which
  std::uint32_t in_second;   ///< so many sessions were begun
  std::uint16_t pool_index;  ///< its external address, the same for all bindings unless one was asked for
  std::uint8_t length;
};

class Subscribers {
 public:
  Subscribers(const Config& config, Random& random);

  /// Number of the subscriber that `address` belongs to, 0 if it has nothing.
  [[nodiscard]] auto find(const Ipv6Address& address) const -> std::uint32_t;
  /// The same, made if it has nothing and there is room.
  [[nodiscard]] auto find_or_make(const Ipv6Address& address) -> std::uint32_t;
  /// Forgets one that has neither binding nor block any more.
  void forget_if_unused(std::uint32_t number);

  /// What those may have that `address` is one of.
  [[nodiscard]] auto allowance_of(const Ipv6Address& address) const -> const Allowance& {
    return profiles_[profiles_.find(address)].allowance;
  }
  [[nodiscard]] auto allowance_of(std::uint32_t number) const -> const Allowance& {
    return profiles_[subscribers_[number].profile].allowance;
  }
  /// Counts a session that `number` begins, unless it began as many as it may in this second.
  [[nodiscard]] auto may_begin(std::uint32_t number, TimePoint now) -> bool;
  /// Whether it would.
  [[nodiscard]] auto could_begin(std::uint32_t number, TimePoint now) const -> bool;
  /// All numbers are smaller.
  [[nodiscard]] auto end() const -> std::uint32_t { return numbers_.end(); }

  /// Where the subscriber that `address` belongs to is looked up: starts fetching that, and find() by it,
  /// most likely.
  [[nodiscard]] auto index_hash(const Ipv6Address& address) const -> std::uint32_t {
    return hash(prefix_of(address));
  }
  void fetch_index(std::uint32_t index_hash) const { index_.prefetch(index_hash); }
  [[nodiscard]] auto find_likely(std::uint32_t index_hash) const -> std::uint32_t {
    return index_.find_likely(index_hash);
  }

  [[nodiscard]] auto operator[](std::uint32_t number) -> Subscriber& { return subscribers_[number]; }
  [[nodiscard]] auto operator[](std::uint32_t number) const -> const Subscriber& {
    return subscribers_[number];
  }
  [[nodiscard]] auto profiles() -> Profiles& { return profiles_; }
  [[nodiscard]] auto profiles() const -> const Profiles& { return profiles_; }
  [[nodiscard]] auto size() const -> std::uint32_t { return numbers_.used(); }
  [[nodiscard]] auto is_full() const -> bool { return numbers_.used() == numbers_.maximum(); }
  /// The same for a subscriber whenever it comes back.
  [[nodiscard]] auto hash_of(std::uint32_t number) const -> std::uint32_t {
    return hash({.address = subscribers_[number].address, .length = subscribers_[number].length});
  }

 private:
  struct Key {
    Ipv6Address address;
    std::uint8_t length = 0;
  };
  [[nodiscard]] auto prefix_of(const Ipv6Address& address) const -> Key;
  [[nodiscard]] auto hash(const Key& key) const -> std::uint32_t;
  [[nodiscard]] auto find(const Key& key) const -> std::uint32_t;

  TableSecret secret_{};
  Profiles profiles_;
  Numbers numbers_;
  LazyArray<Subscriber> subscribers_;
  HashIndex index_;
};

}  // namespace portolan::nat
