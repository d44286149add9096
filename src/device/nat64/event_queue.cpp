// SPDX-License-Identifier: BSD-2-Clause
#include "device/nat64/event_queue.h"

#include <algorithm>

#include "base/check.h"
#include "io/system.h"

namespace portolan::device {

EventQueue::EventQueue(std::size_t capacity) : capacity_(capacity), entries_(capacity) {
  PORTOLAN_CHECK(capacity > 0);
}

void EventQueue::put(const nat::Event& event) noexcept {
  const std::uint64_t at = written_.load(std::memory_order_relaxed);
  if (at - taken_.load(std::memory_order_acquire) == capacity_) {
    lost_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  entries_[at % capacity_] = {.time = io::wall_now().count(), .event = event};
  // In one order with wait(): either it sees the event, or this sees that it waits.
  written_.store(at + 1, std::memory_order_seq_cst);
  if (is_awaited_.load(std::memory_order_seq_cst) && is_awaited_.exchange(false)) wakeup_.signal();
}

auto EventQueue::take(std::span<Entry> into) -> std::size_t {
  const std::uint64_t at = taken_.load(std::memory_order_relaxed);
  const std::uint64_t waiting = written_.load(std::memory_order_acquire) - at;
  const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(waiting, into.size()));
  for (std::size_t i = 0; i < count; ++i) into[i] = entries_[(at + i) % capacity_];
  taken_.store(at + count, std::memory_order_release);
  return count;
}

void EventQueue::wait() {
  is_awaited_.store(true, std::memory_order_seq_cst);
  if (written_.load(std::memory_order_seq_cst) != taken_.load(std::memory_order_relaxed) &&
      is_awaited_.exchange(false))
    wakeup_.signal();
}

void EventQueue::rest() {
  is_awaited_.store(false, std::memory_order_relaxed);
  static_cast<void>(wakeup_.take());
}

}  // namespace portolan::device
