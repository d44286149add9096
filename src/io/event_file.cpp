// SPDX-License-Identifier: BSD-2-Clause
#include "io/event_file.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "io/log.h"
#include "io/system.h"

namespace portolan::io {

void append_event(Nanoseconds wall_time, std::string_view event, std::string& out) {
  using std::chrono::floor;
  const std::chrono::sys_time<Nanoseconds> time{wall_time};
  const auto day = floor<std::chrono::days>(time);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss clock{floor<std::chrono::microseconds>(time - day)};
  fmt::format_to(std::back_inserter(out),
                 R"({{"time":"{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z","event":"{}")",
                 static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                 static_cast<unsigned>(date.day()), clock.hours().count(), clock.minutes().count(),
                 clock.seconds().count(), clock.subseconds().count(), event);
}

auto EventFile::use(AppendFile file, bool is_on) -> bool {
  file_ = std::move(file);
  looks_ = 0;
  const bool begins = !std::exchange(is_on_, is_on) && is_on_;
  if (begins) {
    lost_ = 0;
    has_to_begin_ = true;
    begin_text();
  }
  if (!is_on_) lose_text();
  return begins;
}

void EventFile::begin_part(bool has_events) {
  if (is_on_ && has_to_begin_ && (has_events || lost_ != 0)) begin_text();
}

void EventFile::end_part() {
  if (is_on_ && lost_ != 0) {
    append_event(wall_now(), "events-lost", text_);
    fmt::format_to(std::back_inserter(text_), R"(,"count":{}}}{})", lost_, '\n');
    text_tells_lost_ = lost_;
  }
  static_cast<void>(write());
}

auto EventFile::write() -> bool {
  if (text_.empty()) return true;
  const auto written = file_.write(text_);
  if (written.octets != 0) {
    counters_.written += static_cast<std::uint64_t>(
        std::ranges::count(std::string_view(text_).substr(0, written.octets), '\n'));
    text_.erase(0, written.octets);
    looks_ = 0;
    if (std::exchange(text_begins_, false)) has_to_begin_ = false;
  }
  if (!written.error) {
    lost_ -= std::exchange(text_tells_lost_, 0);
    if (std::exchange(counters_.is_failing, false))
      log::info("event-log-written-again", "the {log} is written again", name_);
    return true;
  }
  const bool is_full = written.error->number == EAGAIN;
  if (is_full && looks_ < looks_max) ++looks_;
  if (is_full && looks_ < looks_max) return false;
  lose_text();
  if (!std::exchange(counters_.is_failing, true))
    log::error("event-log-not-written",
               "the {log} is not written: {error}; events are lost, and counted, until it is", name_,
               is_full ? std::string("who reads it does not") : to_string(*written.error));
  return true;
}

void EventFile::end() {
  lose_text();
  if (is_on_ && lost_ != 0)
    log::warn("event-log-ends-short", "the {log} ends without its last lines: {lost}", name_, lost_);
}

void EventFile::begin_text() {
  append_event(wall_now(), "log-begins", text_);
  text_ += "}\n";
  text_begins_ = true;
}

void EventFile::lose_text() {
  const auto lines = static_cast<std::uint64_t>(std::ranges::count(text_, '\n'));
  lose(lines - (text_begins_ ? 1 : 0) - (text_tells_lost_ != 0 ? 1 : 0));
  text_.clear();
  text_begins_ = false;
  text_tells_lost_ = 0;
}

}  // namespace portolan::io
