// SPDX-License-Identifier: BSD-2-Clause
//
// What portoland has counted, as text for Prometheus.
#include <utility>

#include "control/metrics/program_metrics.h"
#include "control/metrics/store_metrics.h"
#include "io/log.h"
#include "io/process.h"
#include "portoland/daemon.h"
#include "store/sqlite/sqlite_store.h"

namespace portolan::portoland {

void Daemon::gather_metrics(std::function<void(std::string)> take) {
  loop_.post([this, asked = io::monotonic_now(), take = std::move(take)]() mutable {
    const Nanoseconds delay = io::monotonic_now() - asked;
    devices_->gather_metrics([this, delay, take = std::move(take)](const Devices::Metrics& devices) {
      take(metrics_with(devices, delay));
    });
  });
}

auto Daemon::metrics_with(const Devices::Metrics& devices, Nanoseconds loop_delay) const -> std::string {
  const TimePoint now = io::monotonic_now();
  control::Exposition out;
  control::append_program({.program = "portoland",
                           .version = PORTOLAN_VERSION,
                           .started = started_,
                           .use = io::process_use(),
                           .messages = io::log::counts(),
                           .loop_delay = loop_delay},
                          out);
  control::PcpSurroundings around{
      .gauges = server_.gauges(),
      .dropped_not_inside = dropped_.not_inside,
      .dropped_not_unicast = dropped_.not_unicast,
      .dropped_wrong_inside = dropped_.wrong_inside,
      .unsent = dropped_.unsent,
      .batch_requests = batch_requests_,
  };
  if (settings_.server.epoch_scope == server::EpochScope::server)
    around.epoch_s = server_.epoch_time_s(now, {});
  control::append_pcp(server_.counters(), around, out);
  control::append_devices(devices.devices, out);
  control::append_tables(devices.tables, out);
  control::append_store(store_metrics(), out);
  std::vector<control::EventLogMetrics> logs;
  if (devices.nat64_log) logs.push_back({.log = "nat64", .counters = *devices.nat64_log});
  if (mapping_log_.is_on()) logs.push_back({.log = "mappings", .counters = mapping_log_.counters()});
  control::append_event_logs(logs, out);
  if (devices.nat64) control::append_nat64(*devices.nat64, out);
  return out.take();
}

auto Daemon::store_metrics() const -> control::StoreMetrics {
  control::StoreMetrics metrics{.store = sqlite_ != nullptr ? "sqlite" : "memory",
                                .failed_commits = server_.counters().failed_commits,
                                .rows = rows_committed_,
                                .commit_seconds = commit_seconds_,
                                .is_failing = !store_error().empty()};
  if (sqlite_ == nullptr) return metrics;
  const store::SqliteCounters counters = sqlite_->counters();
  const store::DiskUse disk = sqlite_->disk_use();
  metrics.file = {.live_rows = counters.live_rows,
                  .idle_rows = counters.rows_kept - counters.live_rows,
                  .folded_rows = counters.folded_rows,
                  .failed_folds = counters.failed_folds,
                  .file_octets = disk.file,
                  .log_octets = disk.log,
                  .free_octets = disk.free};
  return metrics;
}

}  // namespace portolan::portoland
