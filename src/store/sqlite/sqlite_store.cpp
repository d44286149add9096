// SPDX-License-Identifier: BSD-2-Clause
#include "store/sqlite/sqlite_store.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <boost/unordered/unordered_flat_map.hpp>
#include <fmt/format.h>

#include "base/bytes.h"
#include "base/check.h"
#include "io/rights.h"
#include "io/system.h"

namespace portolan::store {
namespace {

/// "Ptln": marks the file as ours.
constexpr std::int64_t application_id = 0x50746c6e;

/// How long nothing is folded after that failed.
constexpr Seconds fold_pause{1};

/// The WAL is written back into the file when it has this many pages.
constexpr const char* settings =
    "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
    "PRAGMA wal_autocheckpoint=4000; PRAGMA journal_size_limit=67108864; PRAGMA temp_store=MEMORY;"
    "PRAGMA cache_size=-16384; PRAGMA trusted_schema=OFF";

// journal: id orders rows. mapping: what is folded. note: one row of each kind and key, whatever is no
// mapping.
constexpr const char* schema =
    "CREATE TABLE journal(id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, key BLOB, value BLOB);"
    "CREATE TABLE mapping(key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE note(kind INTEGER, key BLOB, value BLOB NOT NULL, PRIMARY KEY(kind, key)) WITHOUT ROWID;"
    "PRAGMA application_id=1349807214; PRAGMA user_version=3";
static_assert(application_id == 1349807214 && SqliteStore::schema_version == 3);

/// Rows of earlier versions are rows of this one. From now on there may be some that only this version reads.
constexpr const char* migration = "PRAGMA user_version=3";

/// Kinds of rows in the file.
enum class Kind : std::uint8_t {
  put_mapping = 1,
  drop_mapping = 2,
  epoch = 3,
  path = 4,
  /// When the last commit was, on the store's line and by the wall clock.
  stamp = 5,
  // Of users and static mappings; rows without a value drop them.
  user = 6,
  fixed_mapping = 7,
};

using Result = std::expected<void, std::string>;

struct Stamp {
  Nanoseconds stored{};
  Nanoseconds wall{};
};

auto encode(const Stamp& stamp) -> std::array<std::byte, 16> {
  std::array<std::byte, 16> octets;
  ByteWriter writer(octets);
  writer.write(static_cast<std::uint64_t>(stamp.stored.count()));
  writer.write(static_cast<std::uint64_t>(stamp.wall.count()));
  return octets;
}

auto decode_stamp(std::span<const std::byte> octets) -> std::optional<Stamp> {
  ByteReader reader(octets);
  const auto stored = static_cast<std::int64_t>(reader.read<std::uint64_t>());
  const auto wall = static_cast<std::int64_t>(reader.read<std::uint64_t>());
  if (!reader.ok() || reader.remaining() != 0) return {};
  return Stamp{.stored = Nanoseconds{stored}, .wall = Nanoseconds{wall}};
}

auto number_key(std::uint16_t number) -> std::array<std::byte, 2> {
  std::array<std::byte, 2> octets;
  ByteWriter(octets).write(number);
  return octets;
}

auto text_of(std::span<const std::byte> octets) -> std::string {
  return {reinterpret_cast<const char*>(octets.data()), octets.size()};
}

}  // namespace

auto SqliteStore::open(SqliteOptions options, Completion completion,
                       std::function<void(std::function<void()>)> post)
    -> std::expected<std::unique_ptr<SqliteStore>, std::string> {
  const std::string path = options.path.string();
  const auto fail = [&](std::string_view problem) {
    return std::unexpected(fmt::format("store {}: {}", path, problem));
  };
  std::error_code failed;
  std::filesystem::create_directories(options.path.parent_path(), failed);
  if (failed) return fail(fmt::format("its folder can't be made: {}", failed.message()));
  auto database = Database::open(options.path);
  if (!database) return fail(database.error());
  std::unique_ptr<SqliteStore> store(
      new SqliteStore(std::move(options), std::move(completion), std::move(post), std::move(*database)));
  if (const auto made = store->prepare(); !made) return fail(made.error());
  store->thread_ = std::thread([store = store.get()] {
    io::give_up_all();
    store->run();
  });
  return store;
}

SqliteStore::SqliteStore(SqliteOptions options, Completion completion,
                         std::function<void(std::function<void()>)> post, Database database)
    : options_(std::move(options)),
      answers_(std::make_shared<Answers>()),
      post_(std::move(post)),
      database_(std::move(database)) {
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

auto SqliteStore::prepare() -> Result {
  const auto kept = database_.number("PRAGMA application_id");
  if (!kept && kept.error() == "database is locked")
    return std::unexpected("another process has it open: is portoland running already?");
  if (!kept)
    return std::unexpected(fmt::format("{}: restore a copy, or move it away and lose it", kept.error()));
  const auto tables = database_.number("SELECT count(*) FROM sqlite_schema");
  if (!tables) return std::unexpected(tables.error());
  if (*kept != application_id && *tables != 0)
    return std::unexpected("is the database of another program: choose another store_path");
  const auto version = database_.number("PRAGMA user_version");
  if (!version) return std::unexpected(version.error());
  if (*version > schema_version)
    return std::unexpected(
        fmt::format("was written by a newer portoland (schema {}, this one knows {}): run that one", *version,
                    schema_version));
  if (auto set = database_.execute(settings); !set) return set;
  if (*tables == 0)
    if (auto made = database_.transact([this] { return database_.execute(schema); }); !made) return made;
  if (*tables != 0 && *version < schema_version) {
    auto migrated = database_.transact([this] { return database_.execute(migration); });
    if (!migrated) return migrated;
  }

  const auto statement = [this](Statement& into, std::string_view text) -> Result {
    auto prepared = database_.prepare(text);
    if (!prepared) return std::unexpected(prepared.error());
    into = std::move(*prepared);
    return {};
  };
  Result done = statement(statements_.append, "INSERT INTO journal(kind, key, value) VALUES(?1, ?2, ?3)");
  if (done)
    done =
        statement(statements_.journal_from, "SELECT id, kind, key, value FROM journal ORDER BY id LIMIT ?1");
  if (done)
    done = statement(statements_.put_mapping, "INSERT OR REPLACE INTO mapping(key, value) VALUES(?1, ?2)");
  if (done) done = statement(statements_.drop_mapping, "DELETE FROM mapping WHERE key = ?1");
  if (done)
    done =
        statement(statements_.put_note, "INSERT OR REPLACE INTO note(kind, key, value) VALUES(?1, ?2, ?3)");
  if (done) done = statement(statements_.drop_note, "DELETE FROM note WHERE kind = ?1 AND key = ?2");
  if (done) done = statement(statements_.forget_journal, "DELETE FROM journal WHERE id <= ?1");
  if (!done) return done;
  const auto rows = database_.number("SELECT count(*) FROM journal");
  if (!rows) return std::unexpected(rows.error());
  journal_rows_ = static_cast<std::uint64_t>(*rows);
  return find_time();
}

/// Where the store's time line is today: as far behind its last stamp as the wall clock says.
auto SqliteStore::find_time() -> Result {
  auto notes = database_.prepare(
      "SELECT value FROM (SELECT id, value FROM journal WHERE kind = 5 UNION ALL "
      "SELECT 0, value FROM note WHERE kind = 5) ORDER BY id DESC LIMIT 1");
  if (!notes) return std::unexpected(notes.error());
  static_assert(std::to_underlying(Kind::stamp) == 5);
  const auto found = notes->step();
  if (!found) return std::unexpected(found.error());
  Nanoseconds stored = options_.wall_now();
  if (*found) {
    const auto stamp = decode_stamp(notes->octets(0));
    if (!stamp) return std::unexpected("is damaged, its last time stamp can't be read: restore a copy");
    stored = stamp->stored + std::max(stored - stamp->wall, Nanoseconds{0});
  }
  line_.offset = stored - options_.now().time_since_epoch();
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
  bool folds_on = false;
  Nanoseconds delay = options_.fold_delay;
  for (;;) {
    const auto has_work = [this] { return work_.has_value() || is_stopping_; };
    if (journal_rows_ == 0)
      wakeup_.wait(lock, has_work);
    else if (!folds_on)
      wakeup_.wait_for(lock, delay, has_work);
    if (work_) {
      Work work = *std::exchange(work_, std::nullopt);
      lock.unlock();
      const auto written = write(work.rows);
      ++(written ? commits_ : failed_commits_);
      if (written && journal_rows_ > options_.journal_rows_max)
        static_cast<void>(fold(2 * (work.rows.size() + 1)));
      lock.lock();
      last_error_ = written ? std::string() : written.error();
      post_([answers = answers_, commit = work.commit, ok = written.has_value()] {
        if (!answers->is_store_gone) answers->completion(commit, ok);
      });
      folds_on = false;
      delay = options_.fold_delay;
      continue;
    }
    if (is_stopping_) return;
    if (journal_rows_ == 0) continue;
    lock.unlock();
    folds_on = fold(options_.fold_rows).has_value();
    if (!folds_on) delay = fold_pause;
    lock.lock();
  }
}

auto SqliteStore::write(const std::vector<Row>& rows) -> Result {
  const std::scoped_lock lock(database_mutex_);
  const auto append_row = [this](const Row& row) -> Result {
    if (const auto* put = std::get_if<PutMapping>(&row)) {
      encode_key(put->contract.key, key_);
      encode_mapping(*put, line_, value_);
      return append(std::to_underlying(Kind::put_mapping), key_, value_);
    }
    if (const auto* drop = std::get_if<DropMapping>(&row)) {
      encode_key(drop->key, key_);
      return append(std::to_underlying(Kind::drop_mapping), key_, {});
    }
    if (const auto* epoch = std::get_if<PutEpoch>(&row)) {
      encode_epoch(*epoch, line_, value_);
      return append(std::to_underlying(Kind::epoch), {}, value_);
    }
    if (const auto* path = std::get_if<PutPath>(&row)) {
      encode_path(*path, value_);
      return append(std::to_underlying(Kind::path), number_key(path->number), value_);
    }
    if (const auto* user = std::get_if<PutUser>(&row)) {
      encode_prefix(user->user.users, key_);
      encode_user(*user, value_);
      return append(std::to_underlying(Kind::user), key_, value_);
    }
    if (const auto* gone = std::get_if<DropUser>(&row)) {
      encode_prefix(gone->users, key_);
      return append(std::to_underlying(Kind::user), key_, {});
    }
    if (const auto* fixed = std::get_if<PutStatic>(&row)) {
      encode_key({.mapping = fixed->mapping.key, .remote_peer = {}}, key_);
      encode_static(*fixed, value_);
      return append(std::to_underlying(Kind::fixed_mapping), key_, value_);
    }
    encode_key({.mapping = std::get<DropStatic>(row).key, .remote_peer = {}}, key_);
    return append(std::to_underlying(Kind::fixed_mapping), key_, {});
  };
  auto done = database_.transact([&]() -> Result {
    for (const Row& row : rows)
      if (auto appended = append_row(row); !appended) return appended;
    const Stamp stamp{.stored = line_.stored(options_.now()), .wall = options_.wall_now()};
    return append(std::to_underlying(Kind::stamp), {}, encode(stamp));
  });
  if (!done) return done;
  rows_ += rows.size();
  journal_rows_ += rows.size() + 1;
  return done;
}

auto SqliteStore::append(std::uint8_t kind, std::span<const std::byte> key, std::span<const std::byte> value)
    -> Result {
  statements_.append.bind(1, kind);
  statements_.append.bind(2, key);
  statements_.append.bind(3, value);
  return statements_.append.run();
}

auto SqliteStore::fold(std::uint64_t limit) -> Result {
  const std::scoped_lock lock(database_mutex_);
  std::uint64_t folded = 0;
  // What is folded is in the journal until this is on the disk: it may wait for the next commit to get there.
  if (auto set = database_.execute("PRAGMA synchronous=NORMAL"); !set) return set;
  auto done = database_.transact([&]() -> Result {
    Statement& rows = statements_.journal_from;
    rows.bind(1, static_cast<std::int64_t>(limit));
    std::int64_t last = 0;
    for (;;) {
      const auto row = rows.step();
      if (!row) return std::unexpected(row.error());
      if (!*row) break;
      last = rows.number(0);
      ++folded;
      if (auto one = fold_row(static_cast<std::uint8_t>(rows.number(1)), rows.octets(2), rows.octets(3));
          !one) {
        rows.reset();
        return one;
      }
    }
    statements_.forget_journal.bind(1, last);
    return statements_.forget_journal.run();
  });
  if (auto set = database_.execute("PRAGMA synchronous=FULL"); !set && done) done = set;
  if (!done) return done;
  folded_rows_ += folded;
  journal_rows_ -= std::min<std::uint64_t>(folded, journal_rows_);
  return done;
}

auto SqliteStore::fold_row(std::uint8_t kind, std::span<const std::byte> key,
                           std::span<const std::byte> value) -> Result {
  switch (Kind{kind}) {
    case Kind::put_mapping:
      statements_.put_mapping.bind(1, key);
      statements_.put_mapping.bind(2, value);
      return statements_.put_mapping.run();
    case Kind::drop_mapping: statements_.drop_mapping.bind(1, key); return statements_.drop_mapping.run();
    case Kind::user:
    case Kind::fixed_mapping:
      if (value.empty()) {
        statements_.drop_note.bind(1, kind);
        statements_.drop_note.bind(2, key);
        return statements_.drop_note.run();
      }
      [[fallthrough]];
    case Kind::epoch:
    case Kind::path:
    case Kind::stamp: {
      // A null key is never the same as another one.
      static constexpr std::array<std::byte, 1> no_key{};
      statements_.put_note.bind(1, kind);
      statements_.put_note.bind(2, key.empty() ? std::span<const std::byte>(no_key) : key);
      statements_.put_note.bind(3, value);
      return statements_.put_note.run();
    }
  }
  return std::unexpected(fmt::format("a row of the journal is of unknown kind {}", kind));
}

auto SqliteStore::load() const -> std::expected<std::vector<Row>, std::string> {
  auto rows = load_rows();
  if (rows) return rows;
  return std::unexpected(fmt::format("store {}: {}: restore a copy, or move it away and lose what it holds",
                                     options_.path.string(), rows.error()));
}

auto SqliteStore::load_rows() const -> std::expected<std::vector<Row>, std::string> {
  const std::scoped_lock lock(database_mutex_);
  std::vector<Row> rows;
  // The last word of the journal on each key: where it is in `newer_rows`, or that it is dropped.
  io::SystemRandom random;
  boost::unordered_flat_map<ContractKey, std::optional<std::size_t>, ContractKeyHash> newer(
      0, ContractKeyHash(HashKey::generate(random)));
  std::vector<PutMapping> newer_rows;
  newer.reserve(journal_rows_);
  newer_rows.reserve(journal_rows_);
  std::unordered_map<std::string, std::string> newer_paths;
  // Of users and static mappings: the last value by kind and key, empty if it was dropped.
  std::map<std::pair<Kind, std::string>, std::string> by_hand;
  std::optional<PutEpoch> epoch;
  const auto damaged = [](std::string_view what) {
    return std::unexpected(fmt::format("is damaged: {} can't be read", what));
  };

  auto journal = database_.prepare("SELECT kind, key, value FROM journal ORDER BY id");
  if (!journal) return std::unexpected(journal.error());
  for (;;) {
    const auto row = journal->step();
    if (!row) return std::unexpected(row.error());
    if (!*row) break;
    const auto value = journal->octets(2);
    switch (static_cast<Kind>(journal->number(0))) {
      case Kind::put_mapping: {
        auto mapping = decode_mapping(journal->octets(1), value, line_);
        if (!mapping) return damaged("a mapping of the journal");
        std::optional<std::size_t>& place = newer[mapping->contract.key];
        if (place) {
          newer_rows[*place] = *std::move(mapping);
        } else {
          place = newer_rows.size();
          newer_rows.push_back(*std::move(mapping));
        }
        break;
      }
      case Kind::drop_mapping: {
        const auto key = decode_key(journal->octets(1));
        if (!key) return damaged("a key of the journal");
        newer[*key].reset();
        break;
      }
      case Kind::epoch:
        epoch = decode_epoch(value, line_);
        if (!epoch) return damaged("an epoch");
        break;
      case Kind::path: newer_paths[text_of(journal->octets(1))] = text_of(value); break;
      case Kind::user:
      case Kind::fixed_mapping:
        by_hand[{static_cast<Kind>(journal->number(0)), text_of(journal->octets(1))}] = text_of(value);
        break;
      case Kind::stamp: break;
      default: return damaged("a row of the journal");
    }
  }

  auto notes = database_.prepare("SELECT kind, key, value FROM note");
  if (!notes) return std::unexpected(notes.error());
  for (;;) {
    const auto row = notes->step();
    if (!row) return std::unexpected(row.error());
    if (!*row) break;
    const auto kind = static_cast<Kind>(notes->number(0));
    if (kind == Kind::user || kind == Kind::fixed_mapping)
      by_hand.try_emplace({kind, text_of(notes->octets(1))}, text_of(notes->octets(2)));
    else if (kind == Kind::path)
      newer_paths.try_emplace(text_of(notes->octets(1)), text_of(notes->octets(2)));
    else if (kind == Kind::epoch && !epoch) {
      epoch = decode_epoch(notes->octets(2), line_);
      if (!epoch) return damaged("the epoch");
    }
  }
  if (epoch) rows.emplace_back(*epoch);
  for (const auto& [number, value] : newer_paths) {
    auto path = decode_path(std::as_bytes(std::span(value)));
    if (!path) return damaged("a path");
    rows.emplace_back(std::move(*path));
  }
  for (const auto& [key, value] : by_hand) {
    if (value.empty()) continue;
    const auto encoded_key = std::as_bytes(std::span(key.second));
    const auto encoded_value = std::as_bytes(std::span(value));
    if (key.first == Kind::user) {
      auto user = decode_user(encoded_key, encoded_value);
      if (!user) return damaged("a user");
      rows.emplace_back(*std::move(user));
    } else {
      auto fixed = decode_static(encoded_key, encoded_value);
      if (!fixed) return damaged("a static mapping");
      rows.emplace_back(*std::move(fixed));
    }
  }

  auto mappings = database_.prepare("SELECT key, value FROM mapping");
  if (!mappings) return std::unexpected(mappings.error());
  for (;;) {
    const auto row = mappings->step();
    if (!row) return std::unexpected(row.error());
    if (!*row) break;
    auto mapping = decode_mapping(mappings->octets(0), mappings->octets(1), line_);
    if (!mapping) return damaged("a mapping");
    if (!newer.contains(mapping->contract.key)) rows.emplace_back(*std::move(mapping));
  }
  for (std::size_t i = 0; i < newer_rows.size(); ++i)
    // One that was dropped later, and perhaps put again, is elsewhere or nowhere.
    if (newer.at(newer_rows[i].contract.key) == i) rows.emplace_back(std::move(newer_rows[i]));
  return rows;
}

auto SqliteStore::counters() const -> SqliteCounters {
  return {.commits = commits_,
          .failed_commits = failed_commits_,
          .rows = rows_,
          .folded_rows = folded_rows_,
          .journal_rows = journal_rows_};
}

auto SqliteStore::last_error() const -> std::string {
  const std::scoped_lock lock(mutex_);
  return last_error_;
}

}  // namespace portolan::store
