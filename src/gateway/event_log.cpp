// SPDX-License-Identifier: BSD-2-Clause
#include "gateway/event_log.h"

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
  for (std::size_t turn = 0; turn < drain_turns_max; ++turn) {
    const std::size_t count = device_.events().take(entries_);
    file_.lose(count);
    if (count < events_per_turn) break;
  }
  file_.end();
}

auto EventLog::open(const EventSettings& settings) -> std::expected<io::AppendFile, std::string> {
  if (settings.path.empty()) return io::AppendFile::standard_output();
  auto file = io::AppendFile::open(settings.path);
  if (!file) return std::unexpected("nat64.event_log: " + file.error());
  return file;
}

void EventLog::use(io::AppendFile file, const EventSettings& settings) {
  static_cast<void>(drain());
  if (file_.use(std::move(file), settings.is_on())) lost_by_queue_ = device_.events().lost();
  serve();
  device_.set_event_rules(settings.rules);
}

void EventLog::reopen(const EventSettings& settings) {
  if (auto file = open(settings))
    use(*std::move(file), settings);
  else
    io::log::warn("log-not-reopened", "{error}; lines go on to where they went", file.error());
}

void EventLog::serve() {
  if (!file_.write()) {
    rested_.arm(io::monotonic_now() + room_wait);
    return;
  }
  const std::size_t count = take_some();
  // Others on the loop have their turn between two full parts.
  if (file_.is_waiting())
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
    if (!file_.write()) return false;
    if (take_some() < events_per_turn) break;
  }
  return !file_.is_waiting();
}

auto EventLog::take_some() -> std::size_t {
  const std::size_t count = device_.events().take(entries_);
  const auto taken = std::span<const Entry>(entries_).first(count);
  const std::uint64_t lost_by_queue = device_.events().lost();
  file_.lose(lost_by_queue - std::exchange(lost_by_queue_, lost_by_queue));
  file_.begin_part(count != 0);
  for (const Entry& entry : taken) {
    if (entry.event.kind == nat::EventKind::exhausted)
      io::log::warn("nat64-exhausted", "nat64: {reason}: packets dropped: {packets}{where}",
                    nat::to_string(entry.event.reason), entry.event.packets, place_of(entry.event));
    if (file_.is_on()) append_line(entry, file_.text());
  }
  file_.end_part();
  if (listener_ && !taken.empty()) listener_(taken);
  return count;
}

}  // namespace portolan::gateway
