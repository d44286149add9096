// SPDX-License-Identifier: BSD-2-Clause
#include "control/metrics/program_metrics.h"

#include <chrono>

namespace portolan::control {
namespace {

auto seconds(Nanoseconds time) -> double { return std::chrono::duration<double>(time).count(); }

}  // namespace

void append_program(const ProgramMetrics& metrics, Exposition& out) {
  out.gauge("portolan_build_info", "1; the labels say what runs.");
  out.sample(1U, {{"program", metrics.program}, {"version", metrics.version}});
  out.counter("portolan_log_messages_total", "Log messages, those below the level that is logged as well.");
  for (std::size_t level = 0; level < metrics.messages.size(); ++level)
    out.sample(metrics.messages[level], {{"level", to_string(static_cast<io::log::Level>(level))}});
  out.gauge("portolan_loop_delay_seconds",
            "How long a task handed to the event loop waited for its turn, at this scrape.",
            seconds(metrics.loop_delay));
  // By the names that Prometheus' own libraries use.
  out.gauge("process_start_time_seconds", "When the process began, since 1970.", seconds(metrics.started));
  out.counter("process_cpu_seconds_total", "Processor time used.", metrics.use.cpu_seconds);
  out.gauge("process_resident_memory_bytes", "Memory in use.", metrics.use.resident_octets);
  out.gauge("process_open_fds", "Open file descriptors.", metrics.use.open_descriptors);
  out.gauge("process_max_fds", "Limit of open file descriptors.", metrics.use.descriptors_max);
}

void append_event_logs(const std::vector<EventLogMetrics>& logs, Exposition& out) {
  out.counter("portolan_event_log_lines_total", "Lines written to a log of events.");
  for (const EventLogMetrics& each : logs) out.sample(each.counters.written, {{"log", each.log}});
  out.counter("portolan_event_log_lost_total",
              "Events that are missing in a log because it could not be written.");
  for (const EventLogMetrics& each : logs) out.sample(each.counters.lost, {{"log", each.log}});
  out.gauge("portolan_event_log_failing", "1: a log of events cannot be written now.");
  for (const EventLogMetrics& each : logs) out.sample(each.counters.is_failing, {{"log", each.log}});
}

}  // namespace portolan::control
