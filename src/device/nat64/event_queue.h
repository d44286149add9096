// SPDX-License-Identifier: BSD-2-Clause
//
// Takes events from the engine's thread to the one that writes them down: a ring of fixed size. What comes
// while it is full is lost, and counted; the engine never waits.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/lazy_array.h"
#include "base/time.h"
#include "io/wakeup.h"
#include "nat/events.h"

namespace portolan::device {

class EventQueue final : public nat::EventSink {
 public:
  /// By default: the sessions of a tenth of a second at the engine's best, and memory only as far as it is
  /// used.
  static constexpr std::size_t events_max = 131'072;

  struct Entry {
    std::int64_t time;  ///< wall clock, nanoseconds since 1970
    nat::Event event;
  };

  /// `capacity` is at least 1. Throws std::bad_alloc, std::system_error.
  explicit EventQueue(std::size_t capacity = events_max);

  /// Takes the time of day, and wakes the reader if it waits. Thread: whoever has the engine's turn.
  void put(const nat::Event& event) noexcept override;

  /// Moves the oldest events into `into`; returns how many. Thread: the reader's.
  [[nodiscard]] auto take(std::span<Entry> into) -> std::size_t;
  /// Readable from the next event on, or at once if there is one; no more after rest(). Thread: the reader's.
  void wait();
  /// Has descriptor() say nothing until wait().
  void rest();
  [[nodiscard]] auto descriptor() const -> int { return wakeup_.descriptor(); }
  /// Events that found it full, ever. Thread: any.
  [[nodiscard]] auto lost() const -> std::uint64_t { return lost_.load(std::memory_order_relaxed); }

 private:
  std::size_t capacity_;
  LazyArray<Entry> entries_;
  std::atomic<std::uint64_t> written_ = 0;
  std::atomic<std::uint64_t> taken_ = 0;
  std::atomic<std::uint64_t> lost_ = 0;
  std::atomic<bool> is_awaited_ = false;
  io::Wakeup wakeup_;
};

}  // namespace portolan::device
