// SPDX-License-Identifier: BSD-2-Clause
//
// Metrics that every program has: which it is, what it uses, what it has logged.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "control/metrics/exposition.h"
#include "io/event_file.h"
#include "io/log.h"
#include "io/process.h"

namespace portolan::control {

struct ProgramMetrics {
  std::string_view program{};
  std::string_view version{};
  /// Since 1970.
  Nanoseconds started{};
  io::ProcessUse use{};
  std::array<std::uint64_t, io::log::level_count> messages{};
  /// How long a task handed to the event loop waited for its turn, just now.
  Nanoseconds loop_delay{};
};

void append_program(const ProgramMetrics& metrics, Exposition& out);

/// A log of events, by its name in metrics: "nat64", "mappings".
struct EventLogMetrics {
  std::string_view log{};
  io::EventFile::Counters counters{};
};
void append_event_logs(const std::vector<EventLogMetrics>& logs, Exposition& out);

}  // namespace portolan::control
