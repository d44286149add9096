// SPDX-License-Identifier: BSD-2-Clause
//
// The durable store: `store = "sqlite"`. One file, written by a thread of its own.
//
// A commit appends its rows to the table `journal`, in one transaction that is on the disk before it is
// answered: appending costs a seventh of writing rows where their keys belong. While nothing is to be
// committed, bounded steps fold the journal's oldest rows into the table `mapping`, by key. A reader takes
// `mapping`, then the journal in order.
//
// Expiries are wall time, as far as the wall clock can be believed: a clock that is behind the last commit's
// counts as no time passed since, and one that is set while the store is open changes nothing.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <expected>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "store/sqlite/database.h"
#include "store/sqlite/row_codec.h"
#include "store/store.h"

namespace portolan::store {

struct SqliteOptions {
  std::filesystem::path path{};
  /// The server's time line, and the time since 1970. Called on any thread.
  std::function<TimePoint()> now{};
  std::function<Nanoseconds()> wall_now{};
  /// Rows folded in one step: what a commit may have to wait for.
  std::uint32_t fold_rows = 128;
  /// How long nothing is to be committed before folding begins.
  Milliseconds fold_delay{20};
  /// Rows of the journal beyond which every commit folds twice what it brings, at the price of its time.
  std::uint32_t journal_rows_max = 1'000'000;
};

/// What has happened since the store was opened.
struct SqliteCounters {
  std::uint64_t commits = 0;
  std::uint64_t failed_commits = 0;
  std::uint64_t rows = 0;
  std::uint64_t folded_rows = 0;
  /// In the journal now.
  std::uint64_t journal_rows = 0;
};

class SqliteStore final : public Store {
 public:
  /// Schema that this program writes; kept in the file as user_version. It reads older ones too, and makes a
  /// file its own before it writes. 2: a mapping's row may say that parity is preserved. 3: users and static
  /// mappings that were added by hand.
  static constexpr int schema_version = 3;

  /// Opens `options.path` and makes it, with its folder, if it is not there. `post` runs a function later on
  /// the thread that calls commit(), where completions come.
  ///
  /// Errors  text for the operator: in use by another process, not a store, damaged, of a newer version,
  ///         not writable
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
  /// Why the last commit failed; empty if it did not. Thread: any.
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
  /// Prepared once.
  struct Statements {
    Statement append;
    Statement journal_from;
    Statement put_mapping;
    Statement drop_mapping;
    Statement put_note;
    Statement drop_note;
    Statement forget_journal;
  };

  SqliteStore(SqliteOptions options, Completion completion, std::function<void(std::function<void()>)> post,
              Database database);
  [[nodiscard]] auto prepare() -> std::expected<void, std::string>;
  [[nodiscard]] auto find_time() -> std::expected<void, std::string>;

  void run();
  [[nodiscard]] auto write(const std::vector<Row>& rows) -> std::expected<void, std::string>;
  [[nodiscard]] auto append(std::uint8_t kind, std::span<const std::byte> key,
                            std::span<const std::byte> value) -> std::expected<void, std::string>;
  /// Folds up to `limit` rows.
  [[nodiscard]] auto fold(std::uint64_t limit) -> std::expected<void, std::string>;
  [[nodiscard]] auto fold_row(std::uint8_t kind, std::span<const std::byte> key,
                              std::span<const std::byte> value) -> std::expected<void, std::string>;
  [[nodiscard]] auto load_rows() const -> std::expected<std::vector<Row>, std::string>;

  SqliteOptions options_;
  std::shared_ptr<Answers> answers_;
  std::function<void(std::function<void()>)> post_;
  TimeLine line_;

  /// Guards all down to the counters.
  mutable std::mutex database_mutex_;
  mutable Database database_;
  mutable Statements statements_;
  std::vector<std::byte> key_;
  std::vector<std::byte> value_;

  std::atomic<std::uint64_t> commits_ = 0;
  std::atomic<std::uint64_t> failed_commits_ = 0;
  std::atomic<std::uint64_t> rows_ = 0;
  std::atomic<std::uint64_t> folded_rows_ = 0;
  std::atomic<std::uint64_t> journal_rows_ = 0;

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::optional<Work> work_;
  std::string last_error_;
  bool is_stopping_ = false;
  std::condition_variable wakeup_;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace portolan::store
