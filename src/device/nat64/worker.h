// SPDX-License-Identifier: BSD-2-Clause
//
// The data-plane thread: waits for packets, translates them, writes them; between packets it does what
// others asked for. It alone touches the engine.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/random.h"
#include "base/time.h"
#include "device/nat64/packet_link.h"
#include "io/wakeup.h"
#include "nat/nat64.h"
#include "nat/udp_gather.h"

namespace portolan::device {

/// What the worker counts besides the engine.
struct WorkerCounters {
  nat::Counters nat;
  std::uint64_t packets_read = 0;
  std::uint64_t packets_unread = 0;  ///< shorter than their own header
  std::uint64_t packets_unsent = 0;  ///< the link did not take them
};

class Worker {
 public:
  /// Work on the engine, done on the worker's thread.
  using Task = std::function<void(TimePoint, nat::Nat64&)>;

  /// Starts the thread. `clock` is called on it. Packets wait in the link until open(), unless `is_open`.
  Worker(const nat::Config& config, std::unique_ptr<PacketLink> link, std::unique_ptr<Random> random,
         std::function<TimePoint()> clock, bool is_open = true);
  Worker(const Worker&) = delete;
  auto operator=(const Worker&) -> Worker& = delete;
  /// Stops after the packet at hand; tasks not begun are dropped.
  ~Worker();

  /// Does `task` after all those submitted before. Thread: any.
  void submit(Task task);
  /// Takes packets, after all tasks submitted before. Thread: any.
  void open();
  /// The counters as of the worker's last turn. Thread: any.
  [[nodiscard]] auto counters() const -> WorkerCounters;

 private:
  void run();
  /// Returns whether more packets may be waiting.
  auto serve_packets() -> bool;
  void serve_tasks();
  void write(nat::Frame& frame);
  void write_outputs();
  void publish_counters();

  std::unique_ptr<Random> random_;
  std::unique_ptr<PacketLink> link_;
  std::function<TimePoint()> clock_;
  nat::Nat64 engine_;
  std::vector<std::byte> buffer_;
  bool is_open_;  // the worker's own
  nat::UdpGather gather_;
  WorkerCounters counters_;
  io::Wakeup wakeup_;

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::vector<Task> tasks_;
  WorkerCounters published_;
  bool is_stopping_ = false;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace portolan::device
