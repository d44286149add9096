// SPDX-License-Identifier: BSD-2-Clause
//
// Lines of JSON about what happened, on their way to a file, pipe, socket or terminal. Nobody waits for who
// reads them: what finds no room in time is lost and counted, a line says how many, and the program's own log
// that it happens.
//
// Who has events adds them part by part, when the part before is written:
//
//   if (!file.write()) try again after room_wait;
//   file.begin_part(...); add lines to file.text(); file.end_part();
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/time.h"
#include "io/append_file.h"

namespace portolan::io {

/// Appends the beginning of a line, without its last brace: the time in UTC and the event's name.
void append_event(Nanoseconds wall_time, std::string_view event, std::string& out);

class EventFile {
 public:
  /// How often to look whether a slow reader has made room.
  static constexpr Milliseconds room_wait{5};
  /// After so many looks in vain lines are lost until there is room again. So long an end waits too.
  static constexpr unsigned looks_max = 100;

  struct Counters {
    std::uint64_t written = 0;  ///< lines
    std::uint64_t lost = 0;     ///< events
    bool is_failing = false;    ///< the last write did not take all
  };

  /// `name` is what the log calls it: "event log".
  explicit EventFile(std::string name) : name_(std::move(name)) {}

  /// Lines go to `file` from now on, or nowhere. Turned on, it begins with a line that says so, and returns
  /// true.
  auto use(AppendFile file, bool is_on) -> bool;
  [[nodiscard]] auto is_on() const -> bool { return is_on_; }

  /// Writes what waits. False: that goes on when who reads it has made room.
  auto write() -> bool;
  void begin_part(bool has_events);
  /// Where lines are added between begin_part() and end_part().
  [[nodiscard]] auto text() -> std::string& { return text_; }
  void end_part();
  [[nodiscard]] auto is_waiting() const -> bool { return !text_.empty(); }

  /// Counts events that nobody could add.
  void lose(std::uint64_t events) {
    lost_ += events;
    counters_.lost += events;
  }
  /// Counts what waits as lost, and says in the log what no line says yet.
  void end();
  /// Until it looks as if something could be written, `limit` at most.
  void wait_writable(Milliseconds limit) const { file_.wait_writable(limit); }

  [[nodiscard]] auto counters() const -> const Counters& { return counters_; }

 private:
  void begin_text();
  void lose_text();

  std::string name_;
  AppendFile file_;
  bool is_on_ = false;
  bool has_to_begin_ = false;
  unsigned looks_ = 0;      // in vain, one after the other
  std::uint64_t lost_ = 0;  // that no line says yet
  std::string text_;        // a part, as far as it is not written
  bool text_begins_ = false;
  std::uint64_t text_tells_lost_ = 0;  // in its last line; 0: there is no such line
  Counters counters_;
};

}  // namespace portolan::io
