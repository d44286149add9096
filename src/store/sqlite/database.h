// SPDX-License-Identifier: BSD-2-Clause
//
// What the store needs of SQLite, with errors as values. Nothing outside this folder includes <sqlite3.h>.
#pragma once

#include <cstdint>
#include <expected>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace portolan::store {

/// A prepared statement. Valid as long as its database.
class Statement {
 public:
  Statement() = default;

  /// Values of the parameters, from 1 on. Octets are borrowed until the statement has run.
  void bind(int parameter, std::int64_t value);
  void bind(int parameter, std::span<const std::byte> octets);
  /// Goes on to the next row; false: there is none, and the statement can be bound anew.
  [[nodiscard]] auto step() -> std::expected<bool, std::string>;
  /// For what returns no rows.
  [[nodiscard]] auto run() -> std::expected<void, std::string>;
  /// Ends early, so that it can be bound anew.
  void reset();
  /// Columns of the present row, from 0 on. Octets are valid until the next step.
  [[nodiscard]] auto number(int column) const -> std::int64_t;
  [[nodiscard]] auto octets(int column) const -> std::span<const std::byte>;
  [[nodiscard]] auto text(int column) const -> std::string;

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

enum class Access : std::uint8_t {
  write,
  /// What another process may be writing, without its noticing.
  read,
  /// What nobody writes, and cannot be written: on a disk that is full or read-only. Nothing is locked.
  read_alone,
};

/// One connection, used by one thread at a time.
class Database {
 public:
  Database() = default;

  /// Opens the file; to write, it is made, for its owner alone, if it does not exist. `file_layer`: the name
  /// of a SQLite VFS, for tests; empty: the system's files.
  [[nodiscard]] static auto open(const std::filesystem::path& path, Access access,
                                 const std::string& file_layer = {}) -> std::expected<Database, std::string>;

  /// Runs one or more statements without parameters; rows are ignored.
  [[nodiscard]] auto execute(const char* statements) -> std::expected<void, std::string>;
  [[nodiscard]] auto prepare(std::string_view statement) -> std::expected<Statement, std::string>;
  /// First column of the first row of `statement`.
  [[nodiscard]] auto number(std::string_view statement) -> std::expected<std::int64_t, std::string>;
  /// Runs `change` in one transaction, which is undone if it or the commit fails.
  [[nodiscard]] auto transact(const std::function<std::expected<void, std::string>()>& change)
      -> std::expected<void, std::string>;

  /// Pages in the write-ahead log, as of the last transaction.
  [[nodiscard]] auto log_pages() const -> int { return *log_pages_; }
  /// Writes the pages of the write-ahead log where they belong, as far as no reader needs them.
  [[nodiscard]] auto checkpoint() -> std::expected<void, std::string>;
  /// Copies all of it, as it is at one moment, over what is at `path`.
  [[nodiscard]] auto copy_to(const std::filesystem::path& path) -> std::expected<void, std::string>;

 private:
  struct Close {
    void operator()(sqlite3* database) const;
  };
  [[nodiscard]] auto error() const -> std::string;

  std::unique_ptr<int> log_pages_ = std::make_unique<int>(0);  // before the database, which writes to it
  std::unique_ptr<sqlite3, Close> database_;
  Statement begin_;
  Statement commit_;
};

}  // namespace portolan::store
