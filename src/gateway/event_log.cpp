// SPDX-License-Identifier: BSD-2-Clause
#include "gateway/event_log.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "gateway/event_lines.h"
#include "io/log.h"
#include "io/system.h"

namespace portolan::gateway {

EventLog::EventLog(io::EventLoop& loop, device::Nat64Device& device, Listener listener)
    : device_(device),
      listener_(std::move(listener)),
      entries_(events_per_turn),
      readable_(loop.on_readable(device.events().descriptor(),
                                 [this] {
                                   device_.events().rest();
                                   serve();
                                 })),
      rested_(loop.timer([this] { serve(); })) {
  device_.events().wait();
}

EventLog::~EventLog() {
  const TimePoint last_look = io::monotonic_now() + looks_max * room_wait;
  while (!drain() && io::monotonic_now() < last_look) file_.wait_writable(room_wait);
  lose_text();
  for (std::size_t turn = 0; turn < drain_turns_max; ++turn) {
    const std::size_t count = device_.events().take(entries_);
    lost_ += count;
    if (count < events_per_turn) break;
  }
  if (is_on_ && lost_ != 0)
    io::log::warn("event-log-ends-short", "the event log ends without its last lines: {lost}", lost_);
}

auto EventLog::open(const EventSettings& settings) -> std::expected<io::AppendFile, std::string> {
  if (settings.path.empty()) return io::AppendFile::standard_output();
  auto file = io::AppendFile::open(settings.path);
  if (!file) return std::unexpected("nat64.event_log: " + file.error());
  return file;
}

void EventLog::use(io::AppendFile file, const EventSettings& settings) {
  static_cast<void>(drain());
  file_ = std::move(file);
  looks_ = 0;
  if (!std::exchange(is_on_, settings.is_on()) && is_on_) {
    lost_by_queue_ = device_.events().lost();
    lost_ = 0;
    has_to_begin_ = true;
    begin_text();
  }
  if (!is_on_) lose_text();
  serve();
  device_.set_event_rules(settings.rules);
}

void EventLog::serve() {
  if (!write_text()) {
    rested_.arm(io::monotonic_now() + room_wait);
    return;
  }
  const std::size_t count = take_some();
  // Others on the loop have their turn between two full parts.
  if (!text_.empty())
    rested_.arm(io::monotonic_now() + room_wait);
  else if (count == events_per_turn)
    rested_.arm(io::monotonic_now());
  else if (count != 0)
    rested_.arm(io::monotonic_now() + rest);
  else
    device_.events().wait();
}

auto EventLog::drain() -> bool {
  for (std::size_t turn = 0; turn < drain_turns_max; ++turn) {
    if (!write_text()) return false;
    if (take_some() < events_per_turn) break;
  }
  return text_.empty();
}

auto EventLog::take_some() -> std::size_t {
  const std::size_t count = device_.events().take(entries_);
  const auto taken = std::span<const Entry>(entries_).first(count);
  const std::uint64_t lost_by_queue = device_.events().lost();
  lost_ += lost_by_queue - std::exchange(lost_by_queue_, lost_by_queue);
  if (is_on_ && has_to_begin_ && (count != 0 || lost_ != 0)) begin_text();
  for (const Entry& entry : taken) {
    if (entry.event.kind == nat::EventKind::exhausted)
      io::log::warn("nat64-exhausted", "nat64: {reason}: packets dropped: {packets}{where}",
                    nat::to_string(entry.event.reason), entry.event.packets, place_of(entry.event));
    if (is_on_) append_line(entry, text_);
  }
  if (is_on_ && lost_ != 0) {
    append_lost(io::wall_now(), lost_, text_);
    text_tells_lost_ = lost_;
  }
  static_cast<void>(write_text());
  if (listener_ && !taken.empty()) listener_(taken);
  return count;
}

auto EventLog::write_text() -> bool {
  if (text_.empty()) return true;
  const auto written = file_.write(text_);
  if (written.octets != 0) {
    text_.erase(0, written.octets);
    looks_ = 0;
    if (std::exchange(text_begins_, false)) has_to_begin_ = false;
  }
  if (!written.error) {
    lost_ -= std::exchange(text_tells_lost_, 0);
    if (std::exchange(has_failed_, false))
      io::log::info("event-log-written-again", "the event log is written again");
    return true;
  }
  const bool is_full = written.error->number == EAGAIN;
  if (is_full && looks_ < looks_max) ++looks_;
  if (is_full && looks_ < looks_max) return false;
  lose_text();
  if (!std::exchange(has_failed_, true))
    io::log::error("event-log-not-written",
                   "the event log is not written: {error}; events are lost, and counted, until it is",
                   is_full ? "who reads it does not" : to_string(*written.error));
  return true;
}

void EventLog::begin_text() {
  append_begin(io::wall_now(), text_);
  text_begins_ = true;
}

void EventLog::lose_text() {
  const auto lines = static_cast<std::uint64_t>(std::ranges::count(text_, '\n'));
  lost_ += lines - (text_begins_ ? 1 : 0) - (text_tells_lost_ != 0 ? 1 : 0);
  text_.clear();
  text_begins_ = false;
  text_tells_lost_ = 0;
}

}  // namespace portolan::gateway
