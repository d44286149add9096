// SPDX-License-Identifier: BSD-2-Clause
#include "gateway/event_log.h"

#include <utility>

#include <spdlog/spdlog.h>

#include "gateway/event_lines.h"
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
  while (write_some() == events_per_turn) continue;
}

auto EventLog::open(const EventSettings& settings) -> std::expected<io::AppendFile, std::string> {
  if (settings.path.empty()) return io::AppendFile();
  auto file = io::AppendFile::open(settings.path);
  if (!file) return std::unexpected("nat64.event_log: " + file.error());
  return file;
}

void EventLog::use(io::AppendFile file, const EventSettings& settings) {
  while (write_some() == events_per_turn) continue;
  file_ = std::move(file);
  if (!std::exchange(is_on_, settings.is_on()) && is_on_) {
    lost_by_queue_ = device_.events().lost();
    unwritten_ = 0;
    append_begin(io::wall_now(), text_);
    write(0);
  }
  device_.set_event_rules(settings.rules);
}

void EventLog::serve() {
  const std::size_t count = write_some();
  // Others on the loop have their turn between two full parts.
  if (count == events_per_turn)
    rested_.arm(io::monotonic_now());
  else if (count != 0)
    rested_.arm(io::monotonic_now() + rest);
  else
    device_.events().wait();
}

auto EventLog::write_some() -> std::size_t {
  const std::size_t count = device_.events().take(entries_);
  const auto taken = std::span<const Entry>(entries_).first(count);
  for (const Entry& entry : taken) {
    if (entry.event.kind == nat::EventKind::exhausted) spdlog::warn("nat64: {}", warning_of(entry.event));
    if (is_on_) append_line(entry, text_);
  }
  write(count);
  if (listener_ && !taken.empty()) listener_(taken);
  return count;
}

void EventLog::write(std::uint64_t events) {
  const std::uint64_t lost_by_queue = device_.events().lost();
  const std::uint64_t lost = lost_by_queue - lost_by_queue_ + unwritten_;
  if (is_on_ && lost != 0) append_lost(io::wall_now(), lost, text_);
  if (text_.empty()) return;
  const auto written = file_.write(text_);
  text_.clear();
  if (!written) {
    unwritten_ += events;
    if (!std::exchange(has_failed_, true))
      spdlog::error("the event log is not written: {}; events are lost, and counted, until it is",
                    to_string(written.error()));
    return;
  }
  lost_by_queue_ = lost_by_queue;
  unwritten_ = 0;
  if (std::exchange(has_failed_, false)) spdlog::info("the event log is written again");
}

}  // namespace portolan::gateway
