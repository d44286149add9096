// SPDX-License-Identifier: BSD-2-Clause
#include "store/sqlite/database.h"

#include <system_error>

#include "base/check.h"

#include <sqlite3.h>

namespace portolan::store {
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
  if (result != SQLITE_DONE)
    ended = std::unexpected(std::string(sqlite3_errmsg(sqlite3_db_handle(statement_.get()))));
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

void Database::Close::operator()(sqlite3* database) const { sqlite3_close_v2(database); }

auto Database::open(const std::filesystem::path& path) -> std::expected<Database, std::string> {
  sqlite3* opened = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  const int result = sqlite3_open_v2(path.c_str(), &opened, flags, nullptr);
  Database database;
  database.database_.reset(opened);
  if (result != SQLITE_OK)
    return std::unexpected(opened == nullptr ? std::string(sqlite3_errstr(result)) : database.error());
  // It holds nonces, which are as good as keys. SQLite gives its other files the same rights.
  std::error_code failed;
  std::filesystem::permissions(path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write,
                               failed);
  if (failed) return std::unexpected(failed.message());
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
  if (auto begun = execute("BEGIN IMMEDIATE"); !begun) return begun;
  auto done = change();
  if (done) done = execute("COMMIT");
  // After some errors SQLite has rolled back by itself.
  if (!done && sqlite3_get_autocommit(database_.get()) == 0) static_cast<void>(execute("ROLLBACK"));
  return done;
}

auto Database::error() const -> std::string { return sqlite3_errmsg(database_.get()); }

}  // namespace portolan::store
