// SPDX-License-Identifier: BSD-2-Clause
//
// Which row of the log counts, for each thing that one is about: open addressing with removal that shifts
// back, as in base/hash_index.h. Things are told apart by 128 bits of a keyed hash: two that are not the same
// never have the same in practice.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/prefetch.h"

namespace portolan::store {

class RowIndex {
 public:
  /// Stands for a kind and a key.
  struct Print {
    std::uint64_t low = 0;
    std::uint64_t high = 0;
    auto operator==(const Print&) const -> bool = default;
  };

  /// Starts fetching what the other calls look at first, for one soon.
  void prefetch(const Print& print) const { portolan::prefetch(slots_[home(print)]); }
  /// The row's number; 0: there is none.
  [[nodiscard]] auto find(const Print& print) const -> std::uint64_t { return slots_[slot_of(print)].number; }
  /// `number` is not 0.
  void put(const Print& print, std::uint64_t number) {
    Slot& slot = slots_[slot_of(print)];
    const bool is_new = slot.number == 0;
    slot = {.print = print, .number = number};
    if (is_new && ++used_ > slots_.size() / 4 * 3) grow();
  }
  void erase(const Print& print) {
    std::size_t hole = slot_of(print);
    if (slots_[hole].number == 0) return;
    --used_;
    for (std::size_t next = after(hole); slots_[next].number != 0; next = after(next)) {
      // One moves back if its home is not between the hole and itself, cyclically.
      const std::size_t from_home = (next - home(slots_[next].print)) & (slots_.size() - 1);
      if (from_home < ((next - hole) & (slots_.size() - 1))) continue;
      slots_[hole] = slots_[next];
      hole = next;
    }
    slots_[hole] = {};
  }
  void clear() { *this = {}; }
  [[nodiscard]] auto size() const -> std::size_t { return used_; }

 private:
  struct Slot {
    Print print;
    std::uint64_t number = 0;
  };
  static constexpr std::size_t slots_min = 64;  // a power of two, as all sizes

  [[nodiscard]] auto home(const Print& print) const -> std::size_t {
    return static_cast<std::size_t>(print.low) & (slots_.size() - 1);
  }
  [[nodiscard]] auto after(std::size_t slot) const -> std::size_t { return (slot + 1) & (slots_.size() - 1); }
  /// Where it is, or would be.
  [[nodiscard]] auto slot_of(const Print& print) const -> std::size_t {
    std::size_t slot = home(print);
    while (slots_[slot].number != 0 && slots_[slot].print != print) slot = after(slot);
    return slot;
  }
  void grow() {
    const std::vector<Slot> before = std::exchange(slots_, std::vector<Slot>(slots_.size() * 2));
    for (const Slot& slot : before)
      if (slot.number != 0) slots_[slot_of(slot.print)] = slot;
  }

  std::vector<Slot> slots_ = std::vector<Slot>(slots_min);
  std::size_t used_ = 0;
};

}  // namespace portolan::store
