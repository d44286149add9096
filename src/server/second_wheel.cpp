// SPDX-License-Identifier: BSD-2-Clause
#include "server/second_wheel.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace portolan::server {
namespace {

auto second_at_or_after(TimePoint time) -> std::uint64_t {
  return static_cast<std::uint64_t>(std::chrono::ceil<Seconds>(time.time_since_epoch()).count());
}

auto last_second_at(TimePoint time) -> std::uint64_t {
  return static_cast<std::uint64_t>(std::chrono::floor<Seconds>(time.time_since_epoch()).count());
}

/// Lowest set bit at or above `from`; from < 64.
auto lowest_bit_from(std::uint64_t bits, std::uint64_t from) -> std::optional<std::uint64_t> {
  const std::uint64_t rest = bits >> from << from;
  if (rest == 0) return {};
  return static_cast<std::uint64_t>(std::countr_zero(rest));
}

}  // namespace

SecondWheel::SecondWheel() : heads_(slots, none) {}

void SecondWheel::schedule(Index index, TimePoint expires) {
  if (index >= links_.size()) links_.resize(std::size_t{index} + 1);
  PORTOLAN_CHECK(links_[index].slot == not_scheduled);
  const std::uint64_t second =
      std::clamp(second_at_or_after(expires), current_second_, current_second_ + slots - 1);
  const std::uint64_t slot = second % slots;
  links_[index] = {.previous = none, .next = heads_[slot], .slot = static_cast<std::uint32_t>(slot)};
  if (heads_[slot] != none) links_[heads_[slot]].previous = index;
  heads_[slot] = index;
  mark(slot, true);
}

void SecondWheel::cancel(Index index) {
  if (index >= links_.size() || links_[index].slot == not_scheduled) return;
  const Link link = links_[index];
  if (link.previous == none)
    heads_[link.slot] = link.next;
  else
    links_[link.previous].next = link.next;
  if (link.next != none) links_[link.next].previous = link.previous;
  if (heads_[link.slot] == none) mark(link.slot, false);
  links_[index] = Link{};
}

auto SecondWheel::take_due(TimePoint now) -> std::optional<Index> {
  const std::uint64_t second_now = last_second_at(now);
  if (second_now < current_second_) return {};
  const auto slot = first_occupied_from(current_second_ % slots);
  const std::uint64_t ahead = slot ? (*slot + slots - current_second_ % slots) % slots : 0;
  if (!slot || current_second_ + ahead > second_now) {
    current_second_ = second_now;
    return {};
  }
  current_second_ += ahead;
  const Index index = heads_[*slot];
  cancel(index);
  return index;
}

auto SecondWheel::next_due() const -> std::optional<TimePoint> {
  const auto slot = first_occupied_from(current_second_ % slots);
  if (!slot) return {};
  const std::uint64_t second = current_second_ + (*slot + slots - current_second_ % slots) % slots;
  return TimePoint{Seconds{static_cast<Seconds::rep>(second)}};
}

auto SecondWheel::memory_octets() const -> std::size_t {
  return heads_.capacity() * sizeof(Index) + links_.capacity() * sizeof(Link) + sizeof *this;
}

auto SecondWheel::first_occupied_from(std::uint64_t slot) const -> std::optional<std::uint64_t> {
  const std::uint64_t first_word = slot / 64;
  if (const auto bit = lowest_bit_from(occupied_[first_word], slot % 64)) return first_word * 64 + *bit;
  // The words behind the first one, around the ring, and the first one again for its low bits.
  for (std::uint64_t step = 0; step <= occupied_words_.size(); ++step) {
    const std::uint64_t group = (first_word / 64 + step) % occupied_words_.size();
    const std::uint64_t from = step == 0 ? first_word % 64 + 1 : 0;
    if (from == 64) continue;
    if (const auto word = lowest_bit_from(occupied_words_[group], from)) {
      const std::uint64_t found = group * 64 + *word;
      return found * 64 + static_cast<std::uint64_t>(std::countr_zero(occupied_[found]));
    }
  }
  return {};
}

void SecondWheel::mark(std::uint64_t slot, bool occupied) {
  std::uint64_t& word = occupied_[slot / 64];
  const std::uint64_t bit = std::uint64_t{1} << (slot % 64);
  word = occupied ? word | bit : word & ~bit;
  std::uint64_t& group = occupied_words_[slot / 64 / 64];
  const std::uint64_t group_bit = std::uint64_t{1} << (slot / 64 % 64);
  group = word != 0 ? group | group_bit : group & ~group_bit;
}

}  // namespace portolan::server
