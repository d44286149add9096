// SPDX-License-Identifier: BSD-2-Clause
//
// A SQLite store in a folder of its own, with clocks that tests set.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "io/testing.h"
#include "store/contract_test.h"
#include "store/sqlite/sqlite_store.h"

namespace portolan::store {

class TestStore final : public StoreUnderTest {
 public:
  explicit TestStore(SqliteOptions options = {}) : options_(std::move(options)) {
    options_.log.path = path();
    options_.log.clocks = {.now = [this] { return now; }, .wall_now = [this] { return wall; }};
    open();
  }

  [[nodiscard]] auto path() const -> std::filesystem::path { return folder_.path() / "made" / "state.db"; }

  /// Opens it again; the error if that fails.
  auto reopen() -> std::string {
    store.reset();
    return open();
  }
  auto open() -> std::string {
    auto opened = SqliteStore::open(
        options_,
        [this](CommitId commit, bool ok) {
          completed_.push_back(commit.value);
          ok_ = ok;
        },
        [this](std::function<void()> task) {
          const std::scoped_lock lock(mutex_);
          posted_.push_back(std::move(task));
          wakeup_.notify_one();
        });
    if (!opened) return opened.error();
    store = *std::move(opened);
    return {};
  }

  auto commit(std::vector<Row> rows) -> bool override {
    completed_.clear();
    store->commit({++last_}, std::move(rows));
    EXPECT_TRUE(completed_.empty()) << "completion from inside commit()";
    std::function<void()> task;
    {
      std::unique_lock lock(mutex_);
      wakeup_.wait(lock, [this] { return !posted_.empty(); });
      task = std::move(posted_.front());
      posted_.pop_front();
    }
    task();
    EXPECT_EQ(completed_, std::vector{last_});
    return ok_;
  }
  auto load() const -> std::vector<Row> override {
    auto rows = store->load();
    EXPECT_TRUE(rows) << rows.error();
    return rows.value_or(std::vector<Row>{});
  }
  /// Waits until there is nothing to fold.
  void wait_until_folded() const {
    const auto folds = [&](const SqliteCounters& seen) {
      return seen.rows_kept > 2 * seen.live_rows + options_.idle_rows_max;
    };
    while (folds(store->counters())) std::this_thread::yield();
  }

  TimePoint now{Seconds{1000}};
  Nanoseconds wall{Seconds{1'700'000'000}};
  std::unique_ptr<SqliteStore> store;

 private:
  io::testing::TemporaryFolder folder_;
  SqliteOptions options_;
  std::uint64_t last_ = 0;
  bool ok_ = false;
  std::vector<std::uint64_t> completed_;
  std::mutex mutex_;
  std::condition_variable wakeup_;
  std::deque<std::function<void()>> posted_;
};

/// Contract `number` of many.
inline auto numbered(std::uint32_t number, std::uint16_t external_port = 4000) -> Contract {
  Contract contract = full_contract();
  contract.key.mapping.realm.value = static_cast<std::uint16_t>(number);
  contract.external_port = Port{external_port};
  return contract;
}

}  // namespace portolan::store
