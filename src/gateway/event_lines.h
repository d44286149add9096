// SPDX-License-Identifier: BSD-2-Clause
//
// Events as lines of JSON. Names are those of RFC 8158 s4.2 where it has them.
#pragma once

#include <cstdint>
#include <string>

#include "base/time.h"
#include "device/nat64/event_queue.h"

namespace portolan::gateway {

/// Appends `entry` to `out`, with a line feed.
void append_line(const device::EventQueue::Entry& entry, std::string& out);
/// The line that a log begins with: of what it has from before, everything has ended.
void append_begin(Nanoseconds wall_time, std::string& out);
/// The line in the place of `count` others that could not be kept or written.
void append_lost(Nanoseconds wall_time, std::uint64_t count, std::string& out);
/// Where something was exhausted, for the daemon's own log: ", from 2001:db8::2, at 192.0.2.14", as far as
/// that is known.
[[nodiscard]] auto place_of(const nat::Event& event) -> std::string;

}  // namespace portolan::gateway
