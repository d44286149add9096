// SPDX-License-Identifier: BSD-2-Clause
#include "nat/events.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace portolan::nat {

// They are compared as a range.
static_assert(std::to_underlying(DropReason::ports_exhausted) -
                  std::to_underlying(DropReason::bindings_exhausted) ==
              6);

auto to_string(EventLevel level) -> std::string_view {
  switch (level) {
    case EventLevel::none: return "none";
    case EventLevel::blocks: return "blocks";
    case EventLevel::bindings: return "bindings";
    case EventLevel::sessions: return "sessions";
  }
  return "unknown";
}

auto to_string(EventKind kind) -> std::string_view {
  switch (kind) {
    case EventKind::session_created: return "session-created";
    case EventKind::session_deleted: return "session-deleted";
    case EventKind::binding_created: return "binding-created";
    case EventKind::binding_deleted: return "binding-deleted";
    case EventKind::block_allocated: return "block-allocated";
    case EventKind::block_released: return "block-released";
    case EventKind::exhausted: return "exhausted";
    case EventKind::end: break;
  }
  return "unknown";
}

void EventSource::set(EventSink* sink, const EventRules& rules) {
  PORTOLAN_CHECK(rules.of.size() <= EventRules::rules_max);
  sink_ = sink;
  everybody_ = rules.everybody;
  tells_destinations_ = rules.tells_destinations;
  rules_ = rules.of;
  std::ranges::sort(rules_, [](const EventRule& left, const EventRule& right) {
    return std::pair(right.internal.length(), left.internal) <
           std::pair(left.internal.length(), right.internal);
  });
  lengths_.clear();
  highest_ = everybody_;
  for (std::uint32_t i = 0; i < rules_.size(); ++i) {
    const auto length = static_cast<std::uint8_t>(rules_[i].internal.length());
    if (lengths_.empty() || lengths_.back().length != length)
      lengths_.push_back({.length = length, .first = i, .end = i});
    lengths_.back().end = i + 1;
    highest_ = std::max(highest_, rules_[i].level);
  }
  if (sink_ == nullptr) highest_ = EventLevel::none;
}

auto EventSource::level_of(const Ipv6Address& address) const -> EventLevel {
  for (const Length& length : lengths_) {
    const Prefix wanted(IpAddress{address}, length.length);
    const auto begin = rules_.begin() + length.first;
    const auto end = rules_.begin() + length.end;
    const auto found = std::lower_bound(begin, end, wanted, [](const EventRule& rule, const Prefix& prefix) {
      return rule.internal < prefix;
    });
    if (found != end && found->internal == wanted) return found->level;
  }
  return everybody_;
}

void EventSource::exhausted(TimePoint now, const Event& event) {
  Told& told = told_[std::to_underlying(event.reason)];
  if (told.events == 0 || now - told.since >= exhaustion_period) {
    told.since = now;
    told.events = 0;
  }
  ++told.untold;
  const bool is_repeated = told.events != 0 && told.last == event.internal;
  if (is_repeated || told.events == exhaustions_max) return;
  ++told.events;
  told.last = event.internal;
  Event with_packets = event;
  with_packets.packets = std::exchange(told.untold, 0U);
  put(with_packets);
}

}  // namespace portolan::nat
