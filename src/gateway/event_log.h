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
  /// How often it looks whether a slow reader has made room. Events wait in the queue meanwhile.
  static constexpr Milliseconds room_wait{5};
  /// After so many looks in vain lines are lost until there is room again. So long the end waits too.
  static constexpr unsigned looks_max = 100;

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

 private:
  void serve();
  /// Writes a turn's events; returns how many there were.
  auto take_some() -> std::size_t;
  /// Writes what is in text_. False: that goes on when who reads it has made room.
  auto write_text() -> bool;
  void begin_text();
  /// Counts what is in text_ as lost.
  void lose_text();
  /// All that has been told; false: who reads it has to make room first.
  auto drain() -> bool;

  device::Nat64Device& device_;
  Listener listener_;
  io::AppendFile file_;
  bool is_on_ = false;       // lines are written
  bool has_failed_ = false;  // the last write
  bool has_to_begin_ = false;
  unsigned looks_ = 0;  // in vain, one after the other
  std::uint64_t lost_by_queue_ = 0;
  std::uint64_t lost_ = 0;
  std::vector<Entry> entries_;
  std::string text_;                   // a turn's lines, as far as they are not written
  bool text_begins_ = false;           // with the line that says so
  std::uint64_t text_tells_lost_ = 0;  // in its last line, 0: there is no such line
  io::Watch readable_;
  io::Timer rested_;
};

}  // namespace portolan::gateway
