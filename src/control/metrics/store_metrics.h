// SPDX-License-Identifier: BSD-2-Clause
//
// What a store counts, as metrics.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/histogram.h"
#include "control/metrics/exposition.h"

namespace portolan::control {

/// What the store has in its files, and does with it in the background.
struct StoreFileMetrics {
  std::uint64_t live_rows = 0;
  /// Rows that no longer count, and that folding has not taken away yet.
  std::uint64_t idle_rows = 0;
  std::uint64_t folded_rows = 0;
  std::uint64_t failed_folds = 0;
  /// Of the file, of SQLite's log beside it, and what there is left on the disk.
  std::uint64_t file_octets = 0;
  std::uint64_t log_octets = 0;
  std::uint64_t free_octets = 0;
};

struct StoreMetrics {
  /// "sqlite", "memory".
  std::string_view store{};
  std::uint64_t failed_commits = 0;
  /// Rows committed.
  std::uint64_t rows = 0;
  /// From handing a commit to the store to its answer, whichever it was.
  DurationHistogram commit_seconds{};
  /// Nothing can be written now.
  bool is_failing = false;
  /// Only a store on a disk has it.
  std::optional<StoreFileMetrics> file{};
};

void append_store(const StoreMetrics& metrics, Exposition& out);

}  // namespace portolan::control
