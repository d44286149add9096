// SPDX-License-Identifier: BSD-2-Clause
#include "store/sqlite/database.h"

#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"

#include <sqlite3.h>

namespace portolan::store {
namespace {

/// What went wrong last, with what the system said of it.
auto error_of(sqlite3* database) -> std::string {
  std::string text = sqlite3_errmsg(database);
  const int system = sqlite3_system_errno(database);
  const int code = sqlite3_errcode(database) & 0xff;
  if ((code != SQLITE_IOERR && code != SQLITE_CANTOPEN) || system == 0) return text;
  return fmt::format("{}: {}", text, std::generic_category().message(system));
}

}  // namespace

void Statement::Finalize::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }

void Statement::bind(int parameter, std::int64_t value) {
  PORTOLAN_CHECK(sqlite3_bind_int64(statement_.get(), parameter, value) == SQLITE_OK);
}

void Statement::bind(int parameter, std::span<const std::byte> octets) {
  // SQLITE_STATIC, a null pointer: the octets stay where they are.
  PORTOLAN_CHECK(sqlite3_bind_blob64(statement_.get(), parameter, octets.data(), octets.size(), nullptr) ==
                 SQLITE_OK);
}

auto Statement::step() -> std::expected<bool, std::string> {
  const int result = sqlite3_step(statement_.get());
  if (result == SQLITE_ROW) return true;
  std::expected<bool, std::string> ended = false;
  if (result != SQLITE_DONE) ended = std::unexpected(error_of(sqlite3_db_handle(statement_.get())));
  reset();
  return ended;
}

auto Statement::run() -> std::expected<void, std::string> {
  const auto row = step();
  if (!row) return std::unexpected(row.error());
  if (*row) reset();
  return {};
}

void Statement::reset() { sqlite3_reset(statement_.get()); }

auto Statement::number(int column) const -> std::int64_t {
  return sqlite3_column_int64(statement_.get(), column);
}

auto Statement::octets(int column) const -> std::span<const std::byte> {
  const auto* octets = static_cast<const std::byte*>(sqlite3_column_blob(statement_.get(), column));
  return {octets, static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

auto Statement::text(int column) const -> std::string {
  const auto* text = sqlite3_column_text(statement_.get(), column);
  return text == nullptr ? std::string() : reinterpret_cast<const char*>(text);
}

void Database::Close::operator()(sqlite3* database) const { sqlite3_close_v2(database); }

auto Database::open(const std::filesystem::path& path, Access access, const std::string& file_layer)
    -> std::expected<Database, std::string> {
  sqlite3* opened = nullptr;
  const bool writes = access == Access::write;
  const int flags = (writes ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY) |
                    SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  const char* layer = file_layer.empty() ? nullptr : file_layer.c_str();
  if (access == Access::read_alone) layer = "unix-none";
  const int result = sqlite3_open_v2(path.c_str(), &opened, flags, layer);
  Database database;
  database.database_.reset(opened);
  if (result != SQLITE_OK)
    return std::unexpected(opened == nullptr ? std::string(sqlite3_errstr(result)) : database.error());
  if (writes && sqlite3_db_readonly(opened, "main") == 1)
    return std::unexpected(std::string("may only be read: a read-only file system, or another user's file"));
  sqlite3_busy_timeout(opened, 5000);
  // Without locks there is no memory to share with others that says what is in the log.
  if (access == Access::read_alone)
    if (auto set = database.execute("PRAGMA locking_mode=EXCLUSIVE"); !set)
      return std::unexpected(set.error());
  if (!writes) return database;
  // It holds nonces, which are as good as keys. SQLite gives its other files the same rights.
  std::error_code failed;
  std::filesystem::permissions(path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write,
                               failed);
  if (failed) return std::unexpected(failed.message());
  const auto count_pages = [](void* pages, sqlite3*, const char*, int count) -> int {
    *static_cast<int*>(pages) = count;
    return SQLITE_OK;
  };
  sqlite3_wal_hook(opened, count_pages, database.log_pages_.get());
  return database;
}

auto Database::execute(const char* statements) -> std::expected<void, std::string> {
  if (sqlite3_exec(database_.get(), statements, nullptr, nullptr, nullptr) == SQLITE_OK) return {};
  return std::unexpected(error());
}

auto Database::prepare(std::string_view statement) -> std::expected<Statement, std::string> {
  sqlite3_stmt* prepared = nullptr;
  if (sqlite3_prepare_v3(database_.get(), statement.data(), static_cast<int>(statement.size()),
                         SQLITE_PREPARE_PERSISTENT, &prepared, nullptr) != SQLITE_OK)
    return std::unexpected(error());
  Statement made;
  made.statement_.reset(prepared);
  return made;
}

auto Database::number(std::string_view statement) -> std::expected<std::int64_t, std::string> {
  auto prepared = prepare(statement);
  if (!prepared) return std::unexpected(prepared.error());
  const auto row = prepared->step();
  if (!row) return std::unexpected(row.error());
  return *row ? prepared->number(0) : 0;
}

auto Database::transact(const std::function<std::expected<void, std::string>()>& change)
    -> std::expected<void, std::string> {
  for (const auto& [statement, text] :
       {std::pair{&begin_, "BEGIN IMMEDIATE"}, std::pair{&commit_, "COMMIT"}}) {
    if (statement->statement_) continue;
    auto prepared = prepare(text);
    if (!prepared) return std::unexpected(prepared.error());
    *statement = std::move(*prepared);
  }
  if (auto begun = begin_.run(); !begun) return begun;
  auto done = change();
  if (done) done = commit_.run();
  // After some errors SQLite has rolled back by itself.
  if (!done && sqlite3_get_autocommit(database_.get()) == 0) static_cast<void>(execute("ROLLBACK"));
  return done;
}

auto Database::checkpoint() -> std::expected<void, std::string> {
  if (sqlite3_wal_checkpoint_v2(database_.get(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr) ==
      SQLITE_OK)
    return {};
  return std::unexpected(error());
}

auto Database::copy_to(const std::filesystem::path& path) -> std::expected<void, std::string> {
  auto copy = open(path, Access::write);
  if (!copy) return std::unexpected(copy.error());
  sqlite3_backup* backup = sqlite3_backup_init(copy->database_.get(), "main", database_.get(), "main");
  if (backup == nullptr) return std::unexpected(copy->error());
  // In one step: it is one moment's, whoever writes meanwhile.
  const int result = sqlite3_backup_step(backup, -1);
  sqlite3_backup_finish(backup);
  if (result != SQLITE_DONE) return std::unexpected(copy->error());
  // One file, that can be carried away.
  return copy->execute("PRAGMA journal_mode=DELETE");
}

auto Database::error() const -> std::string { return error_of(database_.get()); }

}  // namespace portolan::store
