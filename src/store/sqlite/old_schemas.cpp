// SPDX-License-Identifier: BSD-2-Clause
#include "store/sqlite/old_schemas.h"

#include "base/bytes.h"

namespace portolan::store {
namespace {

/// Kinds of rows. Of users and static mappings, one without a value drops them.
enum class Kind : std::uint8_t {
  put_mapping = 1,
  drop_mapping = 2,
  epoch = 3,
  path = 4,
  stamp = 5,
  user = 6,
  static_mapping = 7
};

/// A path's value began with its number, which is its key.
constexpr std::size_t number_octets = 2;

auto read_rows(Database& database, const char* text, const TakeEncoded& take)
    -> std::expected<void, std::string> {
  auto rows = database.prepare(text);
  if (!rows) return std::unexpected(rows.error());
  for (;;) {
    const auto row = rows->step();
    if (!row) return std::unexpected(row.error());
    if (!*row) return {};
    const auto key = rows->octets(1);
    const auto value = rows->octets(2);
    std::expected<void, std::string> taken;
    switch (static_cast<Kind>(rows->number(0))) {
      case Kind::put_mapping: taken = take(RowKind::mapping, false, key, value); break;
      case Kind::drop_mapping: taken = take(RowKind::mapping, true, key, {}); break;
      case Kind::epoch: taken = take(RowKind::epoch, false, {}, value); break;
      case Kind::path:
        if (value.size() < number_octets) return std::unexpected("a path can't be read");
        taken = take(RowKind::path, false, key, value.subspan(number_octets));
        break;
      case Kind::user: taken = take(RowKind::user, value.empty(), key, value); break;
      case Kind::static_mapping: taken = take(RowKind::static_mapping, value.empty(), key, value); break;
      case Kind::stamp: break;
      default: return std::unexpected("a row is of unknown kind");
    }
    if (!taken) return taken;
  }
}

}  // namespace

auto last_stamp_of_old_schema(Database& database) -> std::expected<std::optional<Stamp>, std::string> {
  auto stamps = database.prepare(
      "SELECT value FROM (SELECT id, value FROM journal WHERE kind = 5 UNION ALL "
      "SELECT 0, value FROM note WHERE kind = 5) ORDER BY id DESC LIMIT 1");
  if (!stamps) return std::unexpected(stamps.error());
  const auto found = stamps->step();
  if (!found) return std::unexpected(found.error());
  if (!*found) return std::nullopt;
  ByteReader reader(stamps->octets(0));
  Stamp stamp;
  stamp.stored = Nanoseconds{static_cast<std::int64_t>(reader.read<std::uint64_t>())};
  stamp.wall = Nanoseconds{static_cast<std::int64_t>(reader.read<std::uint64_t>())};
  if (!reader.ok() || reader.remaining() != 0) return std::unexpected("its last time stamp can't be read");
  return stamp;
}

auto read_old_schema(Database& database, const TakeEncoded& take) -> std::expected<void, std::string> {
  // One after the other, and not as one that SQLite would have to sort.
  for (const char* text : {"SELECT 1, key, value FROM mapping", "SELECT kind, key, value FROM note",
                           "SELECT kind, key, value FROM journal ORDER BY id"})
    if (auto read = read_rows(database, text, take); !read) return read;
  return {};
}

}  // namespace portolan::store
