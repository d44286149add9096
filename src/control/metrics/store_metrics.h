// SPDX-License-Identifier: BSD-2-Clause
//
// What a store counts, as metrics.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/histogram.h"
#include "control/metrics/exposition.h"

namespace portolan::control {

struct StoreMetrics {
  /// "sqlite", "memory".
  std::string_view store{};
  std::uint64_t failed_commits = 0;
  /// Rows committed.
  std::uint64_t rows = 0;
  /// From handing a commit to the store to its answer, whichever it was.
  DurationHistogram commit_seconds{};
};

void append_store(const StoreMetrics& metrics, Exposition& out);

}  // namespace portolan::control
