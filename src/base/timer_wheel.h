// SPDX-License-Identifier: BSD-2-Clause
//
// Deadlines of numbered things: schedule, cancel and "next one due" in O(1) each. One ring of slots
// of 268 ms covers 2.4 hours; a deadline further away comes up early, and whoever asked for it
// schedules it again. A thing whose deadline only moves away needs no call until it comes up.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <optional>

#include "base/lazy_array.h"
#include "base/time.h"

namespace portolan {

class TimerWheel {
 public:
  /// For numbers 1..maximum.
  explicit TimerWheel(std::uint32_t maximum) : nodes_(std::size_t{maximum} + 1), heads_(slot_count) {}

  /// Arms or moves `number`'s deadline.
  void schedule(std::uint32_t number, TimePoint deadline, TimePoint now);
  /// Disarms; no effect if not armed.
  void cancel(std::uint32_t number);
  /// Starts fetching what moving or disarming `number` touches, for a call soon: first its place, then,
  /// from there, its neighbours.
  void prefetch(std::uint32_t number) const { __builtin_prefetch(&nodes_[number], 1); }
  void prefetch_neighbours(std::uint32_t number) const {
    const Node& node = nodes_[number];
    if (node.next != 0) __builtin_prefetch(&nodes_[node.next], 1);
    if ((node.previous & head_mark) == 0) __builtin_prefetch(&nodes_[node.previous], 1);
  }
  /// Takes out one number whose deadline, rounded up to a slot, is not after `now`.
  [[nodiscard]] auto pop_due(TimePoint now) -> std::optional<std::uint32_t>;
  /// When pop_due() may next find something.
  [[nodiscard]] auto next_deadline() const -> std::optional<TimePoint>;

 private:
  static constexpr std::uint32_t slot_count = 32768;
  static constexpr unsigned tick_bits = 28;  // 2^28 ns
  static constexpr std::uint32_t head_mark = 0x80000000U;

  /// A number's neighbours in its slot's list. `previous` of the first one is the slot, marked, so that
  /// it is 0 only if the number is not armed.
  struct Node {
    std::uint32_t previous;
    std::uint32_t next;
  };

  [[nodiscard]] static auto tick_of(TimePoint time) -> std::int64_t {
    return time.time_since_epoch().count() >> tick_bits;
  }
  /// First tick >= cursor_ with a non-empty slot.
  [[nodiscard]] auto next_tick() const -> std::optional<std::int64_t>;

  LazyArray<Node> nodes_;
  LazyArray<std::uint32_t> heads_;
  // Which slots, and which words of that, are not empty.
  std::array<std::uint64_t, slot_count / 64> filled_{};
  std::array<std::uint64_t, slot_count / 64 / 64> filled_words_{};
  std::int64_t cursor_ = 0;  // all earlier ticks are done
  std::uint32_t armed_ = 0;
};

}  // namespace portolan
