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
}

}  // namespace portolan::control
