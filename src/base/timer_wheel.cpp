// SPDX-License-Identifier: BSD-2-Clause
#include "base/timer_wheel.h"

#include <algorithm>

namespace portolan {

void TimerWheel::schedule(std::uint32_t number, TimePoint deadline, TimePoint now) {
  cancel(number);
  if (armed_++ == 0) cursor_ = std::max(cursor_, tick_of(now));
  // Rounded up, so that nothing comes up before its time.
  const std::int64_t wanted = tick_of(deadline + Nanoseconds{(std::int64_t{1} << tick_bits) - 1});
  const std::int64_t tick = std::clamp(wanted, cursor_, cursor_ + slot_count - 1);
  const auto slot = static_cast<std::uint32_t>(tick) % slot_count;
  Node& node = nodes_[number];
  node = {.previous = slot | head_mark, .next = heads_[slot]};
  if (node.next != 0) nodes_[node.next].previous = number;
  heads_[slot] = number;
  filled_[slot / 64] |= std::uint64_t{1} << slot % 64;
  filled_words_[slot / 64 / 64] |= std::uint64_t{1} << slot / 64 % 64;
}

void TimerWheel::cancel(std::uint32_t number) {
  const Node node = nodes_[number];
  if (node.previous == 0) return;
  nodes_[number] = {};
  --armed_;
  if (node.next != 0) nodes_[node.next].previous = node.previous;
  if ((node.previous & head_mark) == 0) {
    nodes_[node.previous].next = node.next;
    return;
  }
  const std::uint32_t slot = node.previous & ~head_mark;
  heads_[slot] = node.next;
  if (node.next != 0) return;
  filled_[slot / 64] &= ~(std::uint64_t{1} << slot % 64);
  if (filled_[slot / 64] == 0) filled_words_[slot / 64 / 64] &= ~(std::uint64_t{1} << slot / 64 % 64);
}

auto TimerWheel::pop_due(TimePoint now) -> std::optional<std::uint32_t> {
  const std::int64_t now_tick = tick_of(now);
  const auto tick = next_tick();
  if (!tick || *tick > now_tick) {
    cursor_ = std::max(cursor_, now_tick);
    return std::nullopt;
  }
  cursor_ = *tick;
  const std::uint32_t number = heads_[static_cast<std::uint32_t>(*tick) % slot_count];
  cancel(number);
  return number;
}

auto TimerWheel::next_deadline() const -> std::optional<TimePoint> {
  const auto tick = next_tick();
  if (!tick) return std::nullopt;
  return TimePoint{Nanoseconds{*tick << tick_bits}};
}

auto TimerWheel::next_tick() const -> std::optional<std::int64_t> {
  const auto start = static_cast<std::uint32_t>(cursor_) % slot_count;
  // The first word is looked at twice: bits from `start` on first, the earlier ones last.
  const std::uint64_t first = filled_[start / 64] >> start % 64;
  if (first != 0) return cursor_ + std::countr_zero(first);
  constexpr std::uint32_t word_count = slot_count / 64;
  for (std::uint32_t step = 1; step <= word_count;) {
    const std::uint32_t word = (start / 64 + step) % word_count;
    const std::uint64_t group = filled_words_[word / 64] >> word % 64;
    if (group == 0) {
      step += 64 - word % 64;
      continue;
    }
    step += static_cast<std::uint32_t>(std::countr_zero(group));
    if (step > word_count) break;
    const std::uint32_t found = (start / 64 + step) % word_count;
    const std::uint32_t slot = found * 64 + static_cast<std::uint32_t>(std::countr_zero(filled_[found]));
    return cursor_ + (slot + slot_count - start) % slot_count;
  }
  return std::nullopt;
}

}  // namespace portolan
