// SPDX-License-Identifier: BSD-2-Clause
//
// Finds numbered records by hash: open addressing over 8-octet slots {hash, number}; the records
// themselves lie elsewhere and decide whether they match. Removal shifts back, as in nat::FlatTable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/check.h"
#include "base/lazy_array.h"

namespace portolan {

class HashIndex {
 public:
  /// Room for `maximum` numbers at two thirds load. With more it grows, which takes a pause for copying.
  explicit HashIndex(std::uint32_t maximum)
      : capacity_(capacity_for(maximum)), capacity_step_max_(capacity_max), slots_(std::size_t{capacity_}) {}
  /// Begins small, so that it is near as long as little is in it, and grows to no more than `maximum` needs.
  [[nodiscard]] static auto growing(std::uint32_t maximum) -> HashIndex {
    HashIndex index(0);
    index.capacity_step_max_ = capacity_for(maximum);
    return index;
  }

  /// First number with `hash` for which matches(number) holds, or 0. Cost O(1) expected.
  template <typename Matches>
  [[nodiscard]] auto find(std::uint32_t hash, Matches matches) const -> std::uint32_t {
    for (std::uint32_t slot = home(hash);; slot = after(slot)) {
      const Slot& candidate = slots_[slot];
      if (candidate.number == 0) return 0;
      if (candidate.hash == hash && matches(candidate.number)) return candidate.number;
    }
  }

  /// Starts fetching what find() looks at first, for a call soon.
  void prefetch(std::uint32_t hash) const { __builtin_prefetch(&slots_[home(hash)]); }
  /// First number with `hash`, most likely the only one, or 0.
  [[nodiscard]] auto find_likely(std::uint32_t hash) const -> std::uint32_t {
    return find(hash, [](std::uint32_t) { return true; });
  }

  /// Adds `number` (not 0).
  void insert(std::uint32_t hash, std::uint32_t number) {
    if (used_ >= capacity_ - capacity_ / 4) grow();
    ++used_;
    place({.hash = hash, .number = number});
  }

  /// Removes `number`, which was inserted with `hash`.
  void erase(std::uint32_t hash, std::uint32_t number) {
    std::uint32_t hole = home(hash);
    while (slots_[hole].number != number) {
      PORTOLAN_CHECK(slots_[hole].number != 0);
      hole = after(hole);
    }
    for (std::uint32_t next = after(hole); slots_[next].number != 0; next = after(next)) {
      // An entry moves back if its home is not between the hole and itself, cyclically.
      const std::uint32_t home_of_next = home(slots_[next].hash);
      const bool stays = hole < next ? home_of_next > hole && home_of_next <= next
                                     : home_of_next > hole || home_of_next <= next;
      if (stays) continue;
      slots_[hole] = slots_[next];
      hole = next;
    }
    slots_[hole] = {};
    --used_;
  }

 private:
  struct Slot {
    std::uint32_t hash;
    std::uint32_t number;
  };
  [[nodiscard]] auto home(std::uint32_t hash) const -> std::uint32_t {
    return static_cast<std::uint32_t>(std::uint64_t{hash} * capacity_ >> 32U);
  }
  [[nodiscard]] auto after(std::uint32_t slot) const -> std::uint32_t {
    return slot + 1 == capacity_ ? 0 : slot + 1;
  }

  void place(const Slot& entry) {
    std::uint32_t slot = home(entry.hash);
    while (slots_[slot].number != 0) slot = after(slot);
    slots_[slot] = entry;
  }
  void grow() {
    // What was to be the most is exceeded only if the owner was wrong about it.
    const std::uint32_t most = capacity_ < capacity_step_max_ ? capacity_step_max_ : capacity_max;
    PORTOLAN_CHECK(capacity_ < capacity_max);
    capacity_ = capacity_ < most / 2 ? capacity_ * 2 : most;
    const LazyArray<Slot> before = std::exchange(slots_, LazyArray<Slot>(std::size_t{capacity_}));
    for (std::size_t slot = 0; slot < before.size(); ++slot)
      if (before[slot].number != 0) place(before[slot]);
  }

  [[nodiscard]] static auto capacity_for(std::uint32_t maximum) -> std::uint32_t {
    return maximum + maximum / 2 + 16;
  }

  static constexpr std::uint32_t capacity_max = 1U << 31U;
  std::uint32_t capacity_;
  std::uint32_t capacity_step_max_;
  std::uint32_t used_ = 0;
  LazyArray<Slot> slots_;
};

}  // namespace portolan
