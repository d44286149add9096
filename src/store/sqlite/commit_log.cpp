// SPDX-License-Identifier: BSD-2-Clause
#include "store/sqlite/commit_log.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "base/bytes.h"
#include "base/check.h"
#include "io/files.h"
#include "io/system.h"
#include "store/sqlite/old_schemas.h"

namespace portolan::store {
namespace {

/// "Ptln": marks the file as ours.
constexpr std::int64_t application_id = 0x50746c6e;

/// A file becomes one with a write-ahead log in a transaction that has a rollback journal. That must not come
/// back after a power cut, hence EXTRA, until commits go by the log.
///
/// Pages of a new file are larger than SQLite's own choice: a commit is of many rows, and each page costs two
/// writes. Debian's SQLite writes zeros over what is freed unless it is told not to: that would be most of
/// what folding writes.
constexpr const char* settings =
    "PRAGMA page_size=8192; PRAGMA synchronous=EXTRA; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;"
    "PRAGMA journal_size_limit=67108864; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-4096;"
    "PRAGMA secure_delete=OFF; PRAGMA trusted_schema=OFF";
constexpr const char* schema =
    "CREATE TABLE log(first INTEGER PRIMARY KEY, rows BLOB NOT NULL);"
    "PRAGMA application_id=1349807214; PRAGMA user_version=4";
static_assert(application_id == 1349807214 && CommitLog::schema_version == 4);

/// What is kept of the memory of a large commit.
constexpr std::size_t kept_octets_max = 4U << 20U;
/// Octets of a key; a row with more is none of ours.
constexpr std::size_t key_octets_max = 48;
constexpr std::size_t checksum_octets = 8;

constexpr std::string_view in_use = "another process has it open: is portoland running already?";
constexpr std::string_view damaged = "is damaged: restore a copy, or move it away and lose what it holds";

/// Of a part, which begins with it. Finds what a disk garbles, and parts in each other's place.
auto checksum(std::uint64_t first, std::span<const std::byte> octets) -> std::uint64_t {
  std::uint64_t sum = first + octets.size();
  std::uint64_t sums = 1;
  while (octets.size() >= sizeof(std::uint32_t)) {
    std::uint32_t word = 0;
    std::memcpy(&word, octets.data(), sizeof word);
    sum += word;
    sums += sum;
    octets = octets.subspan(sizeof word);
  }
  for (const std::byte octet : octets) {
    sum += std::to_integer<std::uint64_t>(octet) + 1;
    sums += sum;
  }
  return sum ^ std::rotl(sums, 32);
}

/// The rows of a part; nothing if they are not as they were written.
auto content_of(std::uint64_t first, std::span<const std::byte> part)
    -> std::optional<std::span<const std::byte>> {
  ByteReader reader(part);
  const auto sum = reader.read<std::uint64_t>();
  const auto content = reader.take(reader.remaining());
  if (!reader.ok() || sum != checksum(first, content)) return {};
  return content;
}

}  // namespace

CommitLog::CommitLog(CommitLogOptions options) : options_(std::move(options)) {
  io::SystemRandom random;
  low_key_ = HashKey::generate(random);
  high_key_ = HashKey::generate(random);
}

auto CommitLog::open(CommitLogOptions options, Access access) -> std::expected<CommitLog, std::string> {
  CommitLog log(std::move(options));
  auto opened = log.open_file(access);
  if (opened) opened = log.index_all();
  if (!opened) return std::unexpected(opened.error());
  return log;
}

auto CommitLog::open_to_read(CommitLogOptions options) -> std::expected<CommitLog, std::string> {
  auto log = open(options, Access::read);
  if (log) return log;
  auto alone = open(std::move(options), Access::read_alone);
  // Another process has it: then the first error is the one that says something.
  return alone ? std::move(alone) : std::move(log);
}

auto CommitLog::open_file(Access access) -> Result {
  const std::filesystem::path& path = options_.path;
  std::error_code failed;
  if (access == Access::write && path.has_parent_path()) {
    std::filesystem::create_directories(path.parent_path(), failed);
    if (failed) return std::unexpected(fmt::format("its folder can't be made: {}", failed.message()));
  }
  if (access != Access::write && !std::filesystem::is_regular_file(path, failed))
    return std::unexpected(std::string("is not there, or no file"));
  if (access != Access::read) {
    auto lock = io::lock_file(path);
    if (!lock && lock.error().number == EWOULDBLOCK) return std::unexpected(std::string(in_use));
    if (!lock) return std::unexpected(to_string(lock.error()) + io::ownership_advice(path, lock.error()));
    lock_ = std::move(*lock);
  }
  auto database = Database::open(path, access, options_.file_layer);
  if (!database) return std::unexpected(database.error());
  database_ = std::move(*database);
  is_writable_ = access == Access::write;
  // All that is read is of one moment.
  if (!is_writable_)
    if (auto begun = database_.execute("BEGIN"); !begun) return begun;

  auto version = version_of_file();
  if (!version) return std::unexpected(version.error());
  if (is_writable_) {
    if (auto set = database_.execute(settings); !set) return set;
    if (auto set = synchronize(options_.synchronous); !set) return set;
    if (*version != schema_version)
      if (auto made = *version == 0 ? make() : migrate(*version); !made) return made;
  } else if (*version != schema_version) {
    return std::unexpected(
        fmt::format("is of schema {}, and not {}: portoland converts it when it starts and can write",
                    *version, schema_version));
  }
  return prepare_statements();
}

/// 0: nothing is in it.
auto CommitLog::version_of_file() -> std::expected<int, std::string> {
  const auto kept = database_.number("PRAGMA application_id");
  // An earlier version, which had it to itself by SQLite's locks.
  if (!kept && kept.error() == "database is locked") return std::unexpected(std::string(in_use));
  if (!kept)
    return std::unexpected(fmt::format("{}: restore a copy, or move it away and lose it", kept.error()));
  const auto tables = database_.number("SELECT count(*) FROM sqlite_schema");
  if (!tables) return std::unexpected(tables.error());
  if (*tables == 0) return 0;
  if (*kept != application_id)
    return std::unexpected(std::string("is the database of another program: choose another store_path"));
  const auto version = database_.number("PRAGMA user_version");
  if (!version) return std::unexpected(version.error());
  if (*version > schema_version)
    return std::unexpected(
        fmt::format("was written by a newer portoland (schema {}, this one knows {}): run that one", *version,
                    schema_version));
  return static_cast<int>(*version);
}

auto CommitLog::make() -> Result {
  return database_.transact([this]() -> Result {
    if (auto made = database_.execute(schema); !made) return made;
    if (auto ready = prepare_statements(); !ready) return ready;
    go_on_from({.stored = options_.clocks.wall_now(), .wall = options_.clocks.wall_now()});
    begin_write();
    return insert_parts();
  });
}

auto CommitLog::migrate(int version) -> Result {
  auto migrated = database_.transact([&]() -> Result {
    const auto stamp = last_stamp_of_old_schema(database_);
    if (!stamp) return std::unexpected(stamp.error());
    if (auto made = database_.execute(schema); !made) return made;
    if (auto ready = prepare_statements(); !ready) return ready;
    const Nanoseconds wall = options_.clocks.wall_now();
    go_on_from(stamp->value_or(Stamp{.stored = wall, .wall = wall}));
    begin_write();
    const auto take = [this](RowKind kind, bool is_dropped, std::span<const std::byte> key,
                             std::span<const std::byte> value) -> Result {
      append_encoded(kind, is_dropped, key, value, written_);
      return end_row_of_many();
    };
    if (auto read = read_old_schema(database_, take); !read) return read;
    if (auto inserted = insert_parts(); !inserted) return inserted;
    return database_.execute(drop_old_schema);
  });
  if (migrated) return {};
  return std::unexpected(fmt::format("is of schema {} and can't be converted to {}: {}", version,
                                     schema_version, migrated.error()));
}

auto CommitLog::prepare_statements() -> Result {
  for (const auto& [statement, text] : {std::pair{&oldest_, "SELECT first, rows FROM log ORDER BY first"},
                                        std::pair{&forget_, "DELETE FROM log WHERE first <= ?1"},
                                        std::pair{&append_, "INSERT INTO log(first, rows) VALUES(?1, ?2)"}}) {
    auto prepared = database_.prepare(text);
    if (!prepared) return std::unexpected(prepared.error());
    *statement = std::move(*prepared);
  }
  return {};
}

auto CommitLog::synchronize(std::string_view how) -> Result {
  return database_.execute(fmt::format("PRAGMA synchronous={}", how).c_str());
}

/// The store's time line is today as far behind its last stamp as the wall clock says.
void CommitLog::go_on_from(const Stamp& stamp) {
  if (options_.line) {
    line_ = *options_.line;
    return;
  }
  const Nanoseconds passed = std::max(options_.clocks.wall_now() - stamp.wall, Nanoseconds{0});
  line_.offset = stamp.stored + passed - options_.clocks.now().time_since_epoch();
}

// --- reading ---------------------------------------------------------------------------------------

template <typename Visit>
auto CommitLog::for_each_part(Visit visit) -> Result {
  for (;;) {
    const auto part = oldest_.step();
    if (!part) return std::unexpected(part.error());
    if (!*part) return {};
    const auto first = static_cast<std::uint64_t>(oldest_.number(0));
    const auto content = content_of(first, oldest_.octets(1));
    const auto goes_on = content ? visit(first, *content) : std::nullopt;
    if (goes_on && *goes_on) continue;
    oldest_.reset();
    if (!goes_on) return std::unexpected(std::string(damaged));
    return {};
  }
}

template <typename Visit>
auto CommitLog::for_each_row(std::uint64_t first, std::span<const std::byte> octets, Visit visit) -> bool {
  // Memory takes longer than all else: what the index has of each is fetched while the others are read.
  rows_of_part_.clear();
  while (!octets.empty()) {
    const auto row = take_row(octets);
    if (!row || row->key.size() > key_octets_max) return false;
    rows_of_part_.push_back({.number = first++, .print = print_of(*row), .row = *row});
    index_.prefetch(rows_of_part_.back().print);
  }
  for (const NumberedRow& row : rows_of_part_) visit(row);
  return true;
}

auto CommitLog::print_of(const EncodedRow& row) const -> RowIndex::Print {
  std::array<std::uint64_t, key_octets_max / sizeof(std::uint64_t)> words{};
  if (!row.key.empty()) std::memcpy(words.data(), row.key.data(), row.key.size());
  const std::uint64_t kind = std::uint64_t{std::to_underlying(row.kind)} << 32U | row.key.size();
  const auto hash = [&](const HashKey& key) {
    return keyed_hash(key, {kind, words[0], words[1], words[2], words[3], words[4], words[5]});
  };
  return {.low = hash(low_key_), .high = hash(high_key_)};
}

auto CommitLog::counts(const NumberedRow& row) const -> bool {
  if (row.row.is_dropped || row.row.kind == RowKind::stamp) return false;
  return index_.find(row.print) == row.number;
}

void CommitLog::note(const NumberedRow& row) {
  if (row.row.kind == RowKind::stamp)
    last_stamp_ = decode_stamp(row.row);
  else if (row.row.is_dropped)
    index_.erase(row.print);
  else
    index_.put(row.print, row.number);
}

auto CommitLog::index_all() -> Result {
  std::optional<std::uint64_t> begin;
  std::uint64_t next = 0;
  const auto read =
      for_each_part([&](std::uint64_t first, std::span<const std::byte> octets) -> std::optional<bool> {
        if (!begin) begin = next = first;
        if (first != next) return {};
        const auto take = [&](const NumberedRow& row) {
          next = row.number + 1;
          note(row);
        };
        return for_each_row(first, octets, take) ? std::optional(true) : std::nullopt;
      });
  if (!read) return read;
  // A file that was made has one stamp at least, and none of its rows is missing.
  if (!last_stamp_ || last_stamp_->first_row != *begin) return std::unexpected(std::string(damaged));
  first_row_of_file_ = first_row_ = *begin;
  next_row_ = next;
  go_on_from(*last_stamp_);
  return {};
}

auto CommitLog::for_each(const std::function<Result(Row)>& visit) -> Result {
  Result ended;
  const auto read =
      for_each_part([&](std::uint64_t first, std::span<const std::byte> octets) -> std::optional<bool> {
        bool is_legal = true;
        const auto take = [&](const NumberedRow& encoded) {
          if (!ended || !is_legal || !counts(encoded)) return;
          auto row = decode_row(encoded.row, line_);
          is_legal = row.has_value();
          if (row) ended = visit(*std::move(row));
        };
        if (!for_each_row(first, octets, take) || !is_legal) return {};
        return ended.has_value();
      });
  return read ? ended : read;
}

auto CommitLog::check() -> std::expected<LogCheck, std::string> {
  auto whole = database_.prepare("PRAGMA integrity_check(5)");
  if (!whole) return std::unexpected(whole.error());
  for (;;) {
    const auto row = whole->step();
    if (!row) return std::unexpected(row.error());
    if (!*row) break;
    if (const std::string told = whole->text(0); told != "ok")
      return std::unexpected(fmt::format("{} ({})", damaged, told));
  }
  LogCheck found{.rows = rows(), .live_rows = live_rows(), .written = last_stamp_->wall};
  const TimePoint now = options_.clocks.now();
  const auto read = for_each([&](const Row& row) -> Result {
    if (const auto* mapping = std::get_if<PutMapping>(&row)) {
      ++found.mappings;
      if (mapping->contract.expires <= now) ++found.expired_mappings;
    } else if (std::holds_alternative<PutUser>(row)) {
      ++found.users;
    } else if (std::holds_alternative<PutStatic>(row)) {
      ++found.static_mappings;
    } else if (std::holds_alternative<PutPath>(row)) {
      ++found.paths;
    } else if (std::holds_alternative<PutEpoch>(row)) {
      found.has_epoch = true;
    }
    return {};
  });
  if (!read) return std::unexpected(read.error());
  return found;
}

auto CommitLog::copy_to(const std::filesystem::path& path) -> Result {
  // Nobody else can have made it, and what is there is not overwritten.
  auto made = io::make_file(path);
  if (!made) return std::unexpected(to_string(made.error()));
  made->reset();
  auto done = database_.copy_to(path);
  if (done) {
    CommitLogOptions options = options_;
    options.path = path;
    auto copy = open(std::move(options), Access::write);
    done = copy ? copy->forget_epoch() : Result(std::unexpected(copy.error()));
  }
  if (!done) {
    std::error_code ignored;
    for (const char* ending : {"", "-wal", "-shm"}) std::filesystem::remove(path.string() + ending, ignored);
  }
  return done;
}

auto CommitLog::forget_epoch() -> Result {
  return database_.transact([this] {
    begin_write();
    append_encoded(RowKind::epoch, true, {}, {}, written_);
    end_row();
    return insert_parts();
  });
}

// --- writing ---------------------------------------------------------------------------------------

auto CommitLog::write(std::span<const Row> rows, std::uint64_t folds) -> Result {
  settle();
  if (!is_writable_) return std::unexpected(std::string("opened to be read only"));
  // What is folded is in the file until this is on the disk: it may wait for the next commit to get there.
  const bool can_wait = rows.empty() && folds > 0 && options_.synchronous == "FULL";
  if (can_wait)
    if (auto set = synchronize("NORMAL"); !set) return set;
  auto done = database_.transact([&]() -> Result {
    begin_write();
    if (folds > 0)
      if (auto taken = take_oldest(folds); !taken) return taken;
    for (const Row& row : rows) {
      append_row(row, line_, written_);
      end_row();
    }
    return insert_parts();
  });
  if (can_wait)
    if (auto set = synchronize(options_.synchronous); !set && done) done = set;
  is_settled_ = !done;
  return done;
}

auto CommitLog::replace(const std::function<std::expected<std::optional<Row>, std::string>()>& next)
    -> Result {
  settle();
  auto done = database_.transact([&]() -> Result {
    if (auto emptied = database_.execute("DELETE FROM log"); !emptied) return emptied;
    begin_write();
    first_after_ = next_row_;
    for (;;) {
      const auto row = next();
      if (!row) return std::unexpected(row.error());
      if (!*row) return insert_parts();
      append_row(**row, line_, written_);
      if (auto ended = end_row_of_many(); !ended) return ended;
    }
  });
  if (!done) return done;
  index_.clear();
  return index_all();
}

void CommitLog::begin_write() {
  written_.clear();
  parts_.clear();
  first_after_ = first_row_;
  next_after_ = next_row_;
  begin_part();
}

void CommitLog::begin_part() {
  part_ = {.first_row = next_after_, .begin = written_.size(), .end = 0};
  written_.resize(written_.size() + checksum_octets);
}

void CommitLog::end_row() {
  ++next_after_;
  if (written_.size() - part_.begin < part_octets) return;
  end_part();
  begin_part();
}

/// As end_row(), and writes whole parts at once: there may be millions.
auto CommitLog::end_row_of_many() -> Result {
  end_row();
  if (parts_.empty()) return {};
  auto inserted = insert();
  parts_.clear();
  written_.clear();
  begin_part();
  return inserted;
}

void CommitLog::end_part() {
  const auto part = std::span(written_).subspan(part_.begin);
  ByteWriter(part).write(checksum(part_.first_row, part.subspan(checksum_octets)));
  part_.end = written_.size();
  parts_.push_back(part_);
}

auto CommitLog::take_oldest(std::uint64_t folds) -> Result {
  std::uint64_t last = 0;
  const auto read =
      for_each_part([&](std::uint64_t first, std::span<const std::byte> octets) -> std::optional<bool> {
        last = first;
        const auto take = [&](const NumberedRow& row) {
          first_after_ = row.number + 1;
          if (!counts(row)) return;
          written_.insert(written_.end(), row.row.octets.begin(), row.row.octets.end());
          end_row();
        };
        if (!for_each_row(first, octets, take)) return {};
        return first_after_ - first_row_ < folds;
      });
  if (!read) return read;
  forget_.bind(1, static_cast<std::int64_t>(last));
  return forget_.run();
}

/// With the stamp that ends what is written together.
auto CommitLog::insert_parts() -> Result {
  append_stamp({.stored = line_.stored(options_.clocks.now()),
                .wall = options_.clocks.wall_now(),
                .first_row = first_after_},
               written_);
  ++next_after_;
  end_part();
  return insert();
}

auto CommitLog::insert() -> Result {
  for (const Part& part : parts_) {
    append_.bind(1, static_cast<std::int64_t>(part.first_row));
    append_.bind(2, std::span<const std::byte>(written_).subspan(part.begin, part.end - part.begin));
    if (auto done = append_.run(); !done) return done;
  }
  return {};
}

void CommitLog::settle() {
  if (std::exchange(is_settled_, true)) return;
  for (const Part& part : parts_) {
    const auto octets = std::span<const std::byte>(written_).subspan(part.begin, part.end - part.begin);
    PORTOLAN_CHECK(for_each_row(part.first_row, octets.subspan(checksum_octets),
                                [this](const NumberedRow& row) { note(row); }));
  }
  first_row_ = first_after_;
  next_row_ = next_after_;
  if (written_.capacity() > kept_octets_max) written_ = {};
  const int pages = database_.log_pages();
  if (pages < checkpointed_pages_) checkpointed_pages_ = 0;
  if (pages - checkpointed_pages_ < options_.checkpoint_pages) return;
  checkpointed_pages_ = pages;
  // A disk that is full lets commits fail too, and they tell.
  static_cast<void>(database_.checkpoint());
}

}  // namespace portolan::store
