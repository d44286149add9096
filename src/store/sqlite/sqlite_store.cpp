// SPDX-License-Identifier: BSD-2-Clause
#include "store/sqlite/sqlite_store.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "io/rights.h"

namespace portolan::store {
namespace {

/// How long nothing is folded after that failed.
constexpr Seconds fold_pause{1};

}  // namespace

auto SqliteStore::open(SqliteOptions options, Completion completion,
                       std::function<void(std::function<void()>)> post)
    -> std::expected<std::unique_ptr<SqliteStore>, std::string> {
  std::unique_ptr<SqliteStore> store(
      new SqliteStore(std::move(options), std::move(completion), std::move(post)));
  if (const auto opened = store->open_log(); !opened)
    return std::unexpected(fmt::format("store {}: {}", store->options_.log.path.string(), opened.error()));
  store->thread_ = std::thread([store = store.get()] {
    io::give_up_all();
    store->run();
  });
  return store;
}

SqliteStore::SqliteStore(SqliteOptions options, Completion completion,
                         std::function<void(std::function<void()>)> post)
    : options_(std::move(options)), answers_(std::make_shared<Answers>()), post_(std::move(post)) {
  answers_->completion = std::move(completion);
}

SqliteStore::~SqliteStore() {
  answers_->is_store_gone = true;
  if (!thread_.joinable()) return;
  {
    const std::scoped_lock lock(mutex_);
    is_stopping_ = true;
  }
  wakeup_.notify_one();
  thread_.join();
}

auto SqliteStore::open_log() -> std::expected<void, std::string> {
  auto log = CommitLog::open(options_.log, Access::write);
  if (!log) {
    auto readable = CommitLog::open(options_.log, Access::read_alone);
    // What can't be read either was told best by the first error.
    if (!readable) return std::unexpected(log.error());
    is_writable_ = false;
    last_error_ = log.error();
    log = std::move(readable);
  }
  log_ = std::move(*log);
  line_ = log_->line();
  settle();
  return {};
}

void SqliteStore::commit(CommitId commit, std::vector<Row> rows) {
  {
    const std::scoped_lock lock(mutex_);
    PORTOLAN_CHECK(!work_);
    work_ = {.commit = commit, .rows = std::move(rows)};
  }
  wakeup_.notify_one();
}

void SqliteStore::run() {
  std::unique_lock lock(mutex_);
  Nanoseconds delay = options_.fold_delay;
  for (;;) {
    const bool folds = has_idle_rows();
    wakeup_.wait_for(lock, folds ? delay : options_.stamp_interval,
                     [this] { return work_.has_value() || is_stopping_; });
    const bool is_stopping = is_stopping_;
    std::optional<Work> work = std::exchange(work_, std::nullopt);
    lock.unlock();
    if (work) {
      carry_out(*work);
      delay = options_.fold_delay;
    } else if (folds && !is_stopping) {
      // Step by step, as long as nothing else is to be done.
      delay = fold() ? Nanoseconds{0} : Nanoseconds{fold_pause};
    } else {
      // The time, for a host that wakes up without a clock of its own.
      const std::scoped_lock guard(log_mutex_);
      static_cast<void>(write({}));
      settle();
    }
    lock.lock();
    if (is_stopping && !work) return;
  }
}

void SqliteStore::carry_out(const Work& work) {
  const std::scoped_lock guard(log_mutex_);
  const auto written = write(work.rows);
  count(work.rows.size(), written);
  post_([answers = answers_, commit = work.commit, ok = written.has_value()] {
    if (!answers->is_store_gone) answers->completion(commit, ok);
  });
  settle();
}

auto SqliteStore::write(std::span<const Row> rows) -> std::expected<void, std::string> {
  if (!is_writable_) {
    log_.reset();
    CommitLogOptions options = options_.log;
    options.line = line_;
    auto log = CommitLog::open(std::move(options), Access::write);
    if (!log) return std::unexpected(log.error());
    log_ = std::move(*log);
    is_writable_ = true;
  }
  // Where there is never a pause, commits fold.
  const bool folds = log_->rows() > 3 * log_->live_rows() + 2 * std::uint64_t{options_.idle_rows_max};
  return log_->write(rows, folds ? 2 * rows.size() : 0);
}

auto SqliteStore::fold() -> bool {
  const std::scoped_lock guard(log_mutex_);
  const auto done = log_->write({}, options_.fold_rows);
  settle();
  if (done) return true;
  const std::scoped_lock lock(mutex_);
  ++counters_.failed_folds;
  return false;
}

auto SqliteStore::has_idle_rows() const -> bool {
  return is_writable_ && counters_.rows_kept > 2 * counters_.live_rows + options_.idle_rows_max;
}

void SqliteStore::count(std::size_t rows, const std::expected<void, std::string>& written) {
  const std::scoped_lock lock(mutex_);
  last_error_ = written ? std::string() : written.error();
  ++(written ? counters_.commits : counters_.failed_commits);
  if (written) counters_.rows += rows;
}

void SqliteStore::settle() {
  if (!log_) return;
  log_->settle();
  const std::scoped_lock lock(mutex_);
  counters_.rows_kept = log_->rows();
  counters_.live_rows = log_->live_rows();
  counters_.folded_rows = log_->folded_rows();
}

auto SqliteStore::load() const -> std::expected<std::vector<Row>, std::string> {
  const std::scoped_lock guard(log_mutex_);
  std::vector<Row> rows;
  PORTOLAN_CHECK(log_.has_value());
  rows.reserve(log_->live_rows());
  const auto read = log_->for_each([&](Row row) -> std::expected<void, std::string> {
    rows.push_back(std::move(row));
    return {};
  });
  if (read) return rows;
  return std::unexpected(fmt::format("store {}: {}", options_.log.path.string(), read.error()));
}

auto SqliteStore::counters() const -> SqliteCounters {
  const std::scoped_lock lock(mutex_);
  return counters_;
}

auto SqliteStore::disk_use() const -> DiskUse {
  const auto octets_of = [](const std::filesystem::path& path) -> std::uint64_t {
    std::error_code failed;
    const auto octets = std::filesystem::file_size(path, failed);
    return failed ? 0 : octets;
  };
  const std::filesystem::path& path = options_.log.path;
  std::error_code failed;
  const std::filesystem::space_info space = std::filesystem::space(path, failed);
  return {.file = octets_of(path),
          .log = octets_of(path.string() + "-wal"),
          .free = failed ? 0 : std::uint64_t{space.available}};
}

auto SqliteStore::last_error() const -> std::string {
  const std::scoped_lock lock(mutex_);
  return last_error_;
}

}  // namespace portolan::store
