// SPDX-License-Identifier: BSD-2-Clause
#include "control/metrics/store_metrics.h"

namespace portolan::control {

void append_store(const StoreMetrics& metrics, Exposition& out) {
  out.gauge("portolan_store_info", "1; the label says where promises are kept.");
  out.sample(1U, {{"store", metrics.store}});
  out.histogram("portolan_store_commit_seconds", "From handing a commit to the store to its answer.");
  out.sample_histogram(metrics.commit_seconds);
  out.counter("portolan_store_failed_commits_total", "Commits that the store did not take.",
              metrics.failed_commits);
  out.counter("portolan_store_rows_total", "Rows committed.", metrics.rows);
  out.gauge("portolan_store_failing", "1: the store does not write now.", metrics.is_failing);
  if (!metrics.file) return;
  const StoreFileMetrics& file = *metrics.file;
  out.gauge("portolan_store_rows", "Rows in the file, by whether they still count.");
  out.sample(file.live_rows, {{"state", "live"}});
  out.sample(file.idle_rows, {{"state", "idle"}});
  out.counter("portolan_store_folded_rows_total", "Rows that folding took away, or appended again.",
              file.folded_rows);
  out.counter("portolan_store_failed_folds_total", "Steps of folding that the disk did not take.",
              file.failed_folds);
  out.gauge("portolan_store_file_bytes", "Size of the store's files.");
  out.sample(file.file_octets, {{"file", "store"}});
  out.sample(file.log_octets, {{"file", "log"}});
  out.gauge("portolan_store_disk_free_bytes", "What there is left on the store's disk.", file.free_octets);
}

}  // namespace portolan::control
