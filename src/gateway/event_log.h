// SPDX-License-Identifier: BSD-2-Clause
//
// Writes down what the NAT64 tells: lines of JSON in a file or on standard output. Works on the event loop,
// in small parts; what it can't keep up with is lost and counted, and no packet ever waits for it. Nor does
// the loop, for whoever reads.
#pragma once

#include <cstdint>
#include <expected>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "device/nat64/nat64_device.h"
#include "gateway/nat64_settings.h"
#include "io/append_file.h"
#include "io/event_file.h"
#include "io/event_loop.h"

namespace portolan::gateway {

class EventLog {
 public:
  using Entry = device::EventQueue::Entry;
  /// Sees what is written.
  using Listener = std::function<void(std::span<const Entry>)>;

  /// Events taken from the device in one turn of the loop.
  static constexpr std::size_t events_per_turn = 1024;
  /// How long it rests after a turn, so that a busy device has not to wake it for each event.
  static constexpr Milliseconds rest{20};
  /// Turns that are enough for a full queue. Who reloads or stops waits for no more of them: events may come
  /// as fast as they are written.
  static constexpr std::size_t drain_turns_max = device::EventQueue::events_max / events_per_turn + 1;
  static constexpr Milliseconds room_wait = io::EventFile::room_wait;
  static constexpr unsigned looks_max = io::EventFile::looks_max;

  /// Nothing is told yet, but exhaustion, which also goes to the daemon's own log. `loop` and `device`
  /// outlive this.
  EventLog(io::EventLoop& loop, device::Nat64Device& device, Listener listener = {});
  /// Writes what has been told so far, if it is read; the log says what was not.
  ~EventLog();
  EventLog(const EventLog&) = delete;
  auto operator=(const EventLog&) -> EventLog& = delete;

  /// Opens what `settings` name. Errors  text for the operator
  [[nodiscard]] static auto open(const EventSettings& settings) -> std::expected<io::AppendFile, std::string>;
  /// From now on writes to `file`, just opened, and has the device tell what `settings` say. What has been
  /// told so far goes where it went before, unless that is not read.
  void use(io::AppendFile file, const EventSettings& settings);
  /// The same with the file that `settings`, those of before, name. If it can't be opened the daemon's log
  /// says so, and lines go on to where they went.
  void reopen(const EventSettings& settings);
  [[nodiscard]] auto counters() const -> const io::EventFile::Counters& { return file_.counters(); }

 private:
  void serve();
  /// Writes a turn's events; returns how many there were.
  auto take_some() -> std::size_t;
  /// All that has been told; false: who reads it has to make room first.
  auto drain() -> bool;

  device::Nat64Device& device_;
  Listener listener_;
  io::EventFile file_{"event log"};
  std::uint64_t lost_by_queue_ = 0;
  std::vector<Entry> entries_;
  io::Watch readable_;
  io::Timer rested_;
};

}  // namespace portolan::gateway
