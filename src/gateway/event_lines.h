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
/// Where something was exhausted, for the daemon's own log: ", from 2001:db8::2, at 192.0.2.14", as far as
/// that is known.
[[nodiscard]] auto place_of(const nat::Event& event) -> std::string;

}  // namespace portolan::gateway
