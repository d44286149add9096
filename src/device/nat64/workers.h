// SPDX-License-Identifier: BSD-2-Clause
//
// The data-plane threads: each waits for packets of a link of its own, translates them, writes them. The
// first also does what is due, and what others asked for, between packets. They alone touch the engine.
//
// They share one engine, one at a time: what is slow, reading and writing packets, they do side by side
// (docs/adr/0004-workers-share-one-engine.md). One worker takes no lock on the way of a packet.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/random.h"
#include "base/time.h"
#include "device/nat64/packet_link.h"
#include "nat/nat64.h"

namespace portolan::device {

/// What workers count besides the engine.
struct WorkerCounters {
  nat::Counters nat{};
  std::uint64_t packets_read = 0;
  std::uint64_t packets_unread = 0;  ///< shorter than their own header
  std::uint64_t packets_unsent = 0;  ///< the link did not take them
  std::uint64_t turns_waited = 0;    ///< times that a worker found another one at the engine
  std::vector<std::uint64_t> read_by_worker{};
};

class Workers {
 public:
  static constexpr std::size_t workers_max = 64;

  /// Work on the engine, done on a worker's thread.
  using Task = std::function<void(TimePoint, nat::Nat64&)>;

  /// Starts a thread for each of `links`, 1 to workers_max. `clock` is called on all of them. Packets wait in
  /// the links until open(), unless `is_open`.
  Workers(const nat::Config& config, std::vector<std::unique_ptr<PacketLink>> links,
          std::unique_ptr<Random> random, std::function<TimePoint()> clock, bool is_open = true);
  Workers(const Workers&) = delete;
  auto operator=(const Workers&) -> Workers& = delete;
  /// Stops after the packets at hand; tasks not begun are dropped.
  ~Workers();

  /// Does `task` after all those submitted before. Thread: any.
  void submit(Task task);
  /// Takes packets, after all tasks submitted before. Thread: any.
  void open();
  /// The counters as of the workers' last turns. Thread: any.
  [[nodiscard]] auto counters() const -> WorkerCounters;
  [[nodiscard]] auto size() const -> std::size_t { return workers_.size(); }

 private:
  class Worker;

  /// The right to use the engine, at a time that is no earlier than who had it before was at.
  class Turn {
   public:
    Turn(Workers& workers, TimePoint now);
    ~Turn();
    Turn(const Turn&) = delete;
    auto operator=(const Turn&) -> Turn& = delete;
    [[nodiscard]] auto engine() -> nat::Nat64& { return workers_.engine_; }
    [[nodiscard]] auto now() const -> TimePoint { return workers_.latest_; }

   private:
    Workers& workers_;
  };

  [[nodiscard]] auto take_tasks() -> std::vector<Task>;
  void wake_all();

  std::unique_ptr<Random> random_;
  std::function<TimePoint()> clock_;
  bool is_shared_;  // by more than one; never changes
  std::atomic<bool> is_open_;
  std::atomic<bool> is_stopping_ = false;

  // Whose Turn it is uses them; it holds engine_mutex_ if they are shared.
  std::mutex engine_mutex_;
  nat::Nat64 engine_;
  TimePoint latest_{};
  TimePoint alarm_ = TimePoint::max();  // until which the first worker sleeps at most
  std::uint64_t turns_waited_ = 0;

  // Taken last, also by who holds engine_mutex_.
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::vector<Task> tasks_;
  nat::Counters published_;
  std::uint64_t published_waits_ = 0;

  std::vector<std::unique_ptr<Worker>> workers_;  // last: their threads use all of the above
};

}  // namespace portolan::device
