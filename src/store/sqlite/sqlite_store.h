// SPDX-License-Identifier: BSD-2-Clause
//
// The durable store: `store = "sqlite"`. One file (commit_log.h), written by a thread of its own.
//
// A file that can be read but not written, because its disk is full or read-only, is no reason not to start:
// what was promised is in force, and commits fail until the file can be written.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "store/sqlite/commit_log.h"
#include "store/store.h"

namespace portolan::store {

struct SqliteOptions {
  CommitLogOptions log{};
  /// Rows that no longer count and are left in the file, besides as many as those that do.
  std::uint32_t idle_rows_max = 16'384;
  /// Rows folded in one step: what a commit may have to wait for.
  std::uint32_t fold_rows = 256;
  /// How long nothing is to be committed before folding begins.
  Milliseconds fold_delay{20};
  /// How often the time is written down while nothing is committed.
  Seconds stamp_interval{600};
};

/// What has happened since the store was opened.
struct SqliteCounters {
  std::uint64_t commits = 0;
  std::uint64_t failed_commits = 0;
  std::uint64_t rows = 0;
  std::uint64_t folded_rows = 0;
  std::uint64_t failed_folds = 0;
  /// In the file now: all, and those that count.
  std::uint64_t rows_kept = 0;
  std::uint64_t live_rows = 0;
};

/// What the store takes of its disk, and what is left there, in octets; 0 where that can't be known.
struct DiskUse {
  std::uint64_t file = 0;
  std::uint64_t log = 0;  ///< SQLite's write-ahead log, which becomes part of the file
  std::uint64_t free = 0;
};

class SqliteStore final : public Store {
 public:
  static constexpr int schema_version = CommitLog::schema_version;

  /// Opens the file and makes it, with its folder, if it is not there. `post` runs a function later on the
  /// thread that calls commit(), where completions come. See last_error() for whether it can be written.
  ///
  /// Errors  text for the operator: in use by another process, not a store, damaged, of a newer version, or
  ///         not there and it can't be made
  [[nodiscard]] static auto open(SqliteOptions options, Completion completion,
                                 std::function<void(std::function<void()>)> post)
      -> std::expected<std::unique_ptr<SqliteStore>, std::string>;
  /// Finishes the commit under way; its completion does not come any more.
  ~SqliteStore() override;
  SqliteStore(const SqliteStore&) = delete;
  auto operator=(const SqliteStore&) -> SqliteStore& = delete;

  void commit(CommitId commit, std::vector<Row> rows) override;
  [[nodiscard]] auto load() const -> std::expected<std::vector<Row>, std::string> override;

  /// Thread: any.
  [[nodiscard]] auto counters() const -> SqliteCounters;
  /// Thread: any.
  [[nodiscard]] auto disk_use() const -> DiskUse;
  /// Why nothing can be written: the last commit failed, or none was tried and the file may only be read.
  /// Empty if it can. Thread: any.
  [[nodiscard]] auto last_error() const -> std::string;

 private:
  /// Lives as long as answers may be on their way; they find out whether the store does.
  struct Answers {
    Completion completion;
    bool is_store_gone = false;
  };
  struct Work {
    CommitId commit;
    std::vector<Row> rows;
  };

  SqliteStore(SqliteOptions options, Completion completion, std::function<void(std::function<void()>)> post);
  [[nodiscard]] auto open_log() -> std::expected<void, std::string>;

  void run();
  void carry_out(const Work& work);
  // With log_mutex_ held.
  [[nodiscard]] auto write(std::span<const Row> rows) -> std::expected<void, std::string>;
  /// What is to be done when who waits has been answered, and the counts of rows.
  void settle();
  /// Whether it did not fail.
  [[nodiscard]] auto fold() -> bool;
  /// Whether there are so many that folding is worth its while.
  [[nodiscard]] auto has_idle_rows() const -> bool;
  void count(std::size_t rows, const std::expected<void, std::string>& written);

  SqliteOptions options_;
  std::shared_ptr<Answers> answers_;
  std::function<void(std::function<void()>)> post_;

  /// Guards the log, which is not there while it can't be opened again. Taken before mutex_.
  mutable std::mutex log_mutex_;
  mutable std::optional<CommitLog> log_;
  TimeLine line_;
  bool is_writable_ = true;  // of the thread

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::optional<Work> work_;
  std::string last_error_;
  bool is_stopping_ = false;
  SqliteCounters counters_;
  std::condition_variable wakeup_;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace portolan::store
