// SPDX-License-Identifier: BSD-2-Clause
#include "nat/port_blocks.h"

#include <algorithm>

#include "base/check.h"

namespace portolan::nat {

PortBlocks::PortBlocks(const Config& config)
    : hold_down_(config.timeouts.hold_down),
      numbers_(config.limits.port_blocks),
      blocks_(std::size_t{config.limits.port_blocks} + 1) {}

auto PortBlocks::claim(std::uint32_t subscriber, Pool& pool, std::uint16_t pool_index, std::uint16_t words,
                       const PortRange& range, Subscribers& subscribers, Random& random) -> std::uint32_t {
  // Blocks of a size begin at its multiples.
  const std::uint32_t first = (range.first.value + words * 64U - 1U) / (words * 64U);
  const std::uint32_t end = (range.last.value + 1U) / (words * 64U);
  if (first >= end || numbers_.used() == numbers_.maximum()) return 0;
  std::uint32_t* const owners = pool.blocks(pool_index);
  const auto is_free = [&](std::uint32_t first_word) {
    for (std::uint32_t word = first_word; word < first_word + words; ++word) {
      if (owners[word] != 0) return false;
      for (std::size_t base = 0; base < Pool::bases; ++base)
        if (!pool.space(base, pool_index).is_word_free(word)) return false;
    }
    return true;
  };
  const std::uint32_t count = end - first;
  const auto start = static_cast<std::uint32_t>(random.below(count));
  for (std::uint32_t step = 0; step < count; ++step) {
    const std::uint32_t first_word = (first + (start + step) % count) * words;
    if (!is_free(first_word)) continue;
    const std::uint32_t number = numbers_.take();
    blocks_[number] = {.subscriber = subscriber,
                       .next = subscribers[subscriber].first_block,
                       .used = 0,
                       .previous_idle = 0,
                       .next_idle = 0,
                       .until = 0,
                       .pool_index = pool_index,
                       .first_word = static_cast<std::uint16_t>(first_word),
                       .words = words,
                       .is_idle = false};
    subscribers[subscriber].first_block = number;
    std::fill_n(owners + first_word, words, number);
    return number;
  }
  return 0;
}

void PortBlocks::release(std::uint32_t number, Pool& pool, Subscribers& subscribers) {
  const PortBlock& block = blocks_[number];
  PORTOLAN_CHECK(block.used == 0);
  if (block.is_idle) wake(number);
  std::uint32_t* link = &subscribers[block.subscriber].first_block;
  while (*link != number) link = &blocks_[*link].next;
  *link = block.next;
  std::fill_n(pool.blocks(block.pool_index) + block.first_word, block.words, 0U);
  numbers_.give_back(number);
}

void PortBlocks::use(std::uint32_t number) {
  if (blocks_[number].is_idle) wake(number);
  ++blocks_[number].used;
}

void PortBlocks::let_go(std::uint32_t number, TimePoint now) {
  PORTOLAN_CHECK(blocks_[number].used > 0);
  if (--blocks_[number].used == 0) rest(number, now + hold_down_);
}

void PortBlocks::rest(std::uint32_t number, TimePoint until) {
  PortBlock& block = blocks_[number];
  block.is_idle = true;
  block.until = until.time_since_epoch().count();
  block.previous_idle = newest_idle_;
  block.next_idle = 0;
  (newest_idle_ != 0 ? blocks_[newest_idle_].next_idle : oldest_idle_) = number;
  newest_idle_ = number;
}

void PortBlocks::wake(std::uint32_t number) {
  PortBlock& block = blocks_[number];
  (block.previous_idle != 0 ? blocks_[block.previous_idle].next_idle : oldest_idle_) = block.next_idle;
  (block.next_idle != 0 ? blocks_[block.next_idle].previous_idle : newest_idle_) = block.previous_idle;
  block.is_idle = false;
}

auto PortBlocks::due(TimePoint now) const -> std::uint32_t {
  if (oldest_idle_ == 0 || blocks_[oldest_idle_].until > now.time_since_epoch().count()) return 0;
  return oldest_idle_;
}

auto PortBlocks::next_deadline() const -> std::optional<TimePoint> {
  if (oldest_idle_ == 0) return std::nullopt;
  return TimePoint{Nanoseconds{blocks_[oldest_idle_].until}};
}

}  // namespace portolan::nat
