// SPDX-License-Identifier: BSD-2-Clause
//
// The last events, for readers that come when they like: who falls behind is told how many it missed.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>

#include "server/management.h"

namespace portolan::server {

class EventLog {
 public:
  [[nodiscard]] auto is_on() const -> bool { return is_on_ || is_held_; }
  /// Nothing is recorded while it is off; what was recorded before stays.
  void set_on(bool is_on) { is_on_ = is_on; }
  /// On, whatever set_on() says.
  void hold(bool is_held) { is_held_ = is_held; }

  /// Numbers `event` and keeps it, if it is on.
  void record(Event event) {
    if (!is_on()) return;
    event.sequence = next_++;
    events_.push_back(std::move(event));
    if (events_.size() > events_kept) events_.pop_front();
  }
  /// At most `most` events from number `sequence` on; 0: from the next one on.
  [[nodiscard]] auto from(std::uint64_t sequence, std::size_t most) const -> EventPage {
    if (sequence == 0 || sequence >= next_) return {.next = next_};
    const std::uint64_t oldest = next_ - events_.size();
    EventPage page{.missed = std::max(oldest, sequence) - sequence};
    for (std::uint64_t at = sequence + page.missed; at < next_ && page.events.size() < most; ++at)
      page.events.push_back(events_[at - oldest]);
    page.next = sequence + page.missed + page.events.size();
    return page;
  }

 private:
  bool is_on_ = false;
  bool is_held_ = false;
  std::uint64_t next_ = 1;
  std::deque<Event> events_;
};

}  // namespace portolan::server
