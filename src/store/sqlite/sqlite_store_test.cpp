// SPDX-License-Identifier: BSD-2-Clause
#include "store/sqlite/sqlite_store.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "base/bytes.h"
#include "base/random.h"
#include "store/contract_test.h"
#include "store/sqlite/test_store.h"

namespace portolan::store {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

INSTANTIATE_TYPED_TEST_SUITE_P(Sqlite, StoreContract, TestStore);

/// External ports by realm, which numbered() counts in.
auto ports_of(const TestStore& store) -> std::map<std::uint32_t, std::uint16_t> {
  std::map<std::uint32_t, std::uint16_t> ports;
  for (const Contract& contract : store.contracts())
    EXPECT_TRUE(ports.emplace(contract.key.mapping.realm.value, contract.external_port.value).second);
  return ports;
}

TEST(SqliteStore, what_was_answered_is_there_when_opened_again) {
  TestStore store;
  ASSERT_TRUE(store.commit({PutEpoch{TimePoint{Seconds{900}}}, PutMapping{full_contract()},
                            PutPath{2, *IpAddress::parse("2001:db8:112::ff"), "phone0"}}));
  ASSERT_EQ(store.reopen(), "");
  EXPECT_EQ(store.contracts(), std::vector{full_contract()});
  EXPECT_EQ(store.loaded<PutEpoch>().at(0).base, TimePoint{Seconds{900}});
  EXPECT_EQ(store.loaded<PutPath>().at(0).interface, "phone0");
}

TEST(SqliteStore, folding_changes_nothing_that_is_loaded) {
  TestStore store({.idle_rows_max = 16, .fold_rows = 3, .fold_delay = Milliseconds{0}});
  std::map<std::uint32_t, std::uint16_t> expected;
  SeededRandom random(7);
  for (std::uint16_t round = 0; round < 40; ++round) {
    std::vector<Row> rows;
    for (int i = 0; i < 5; ++i) {
      const auto number = static_cast<std::uint32_t>(random.below(12));
      if (random.below(3) == 0) {
        rows.emplace_back(DropMapping{numbered(number).key});
        expected.erase(number);
      } else {
        const auto port = static_cast<std::uint16_t>(1024 + round);
        rows.emplace_back(PutMapping{numbered(number, port)});
        expected[number] = port;
      }
    }
    rows.emplace_back(PutEpoch{TimePoint{Seconds{round}}});
    rows.emplace_back(PutPath{static_cast<std::uint16_t>(round % 3), {}, std::to_string(round)});
    ASSERT_TRUE(store.commit(rows));
    if (round % 4 == 0) {
      EXPECT_EQ(ports_of(store), expected);
    }
    if (round % 8 == 0) {
      ASSERT_EQ(store.reopen(), "");
      EXPECT_EQ(ports_of(store), expected) << "half folded";
    }
  }
  store.wait_until_folded();
  EXPECT_GT(store.store->counters().folded_rows, 0U);
  EXPECT_EQ(ports_of(store), expected);
  ASSERT_EQ(store.reopen(), "");
  EXPECT_EQ(ports_of(store), expected);
  EXPECT_EQ(store.loaded<PutEpoch>().at(0).base, TimePoint{Seconds{39}});
  EXPECT_THAT(store.loaded<PutPath>(), SizeIs(3));
}

TEST(SqliteStore, where_there_is_no_pause_commits_fold) {
  constexpr std::uint32_t idle = 10;
  TestStore store({.idle_rows_max = idle, .fold_delay = Seconds{3600}});
  for (std::uint32_t number = 0; number < 20; ++number)
    ASSERT_TRUE(store.commit({PutMapping{numbered(number)}}));
  EXPECT_EQ(store.store->counters().folded_rows, 0U) << "all count, but for time stamps";
  std::map<std::uint32_t, std::uint16_t> expected = ports_of(store);
  for (std::uint16_t round = 0; round < 500; ++round) {
    // Most are as old as the store, and pushed on.
    ASSERT_TRUE(store.commit({PutMapping{numbered(round % 3, static_cast<std::uint16_t>(5000 + round))}}));
    expected[round % 3] = static_cast<std::uint16_t>(5000 + round);
    EXPECT_LE(store.store->counters().rows_kept, 3 * 20 + 2 * idle + 4 * 20) << round;
  }
  EXPECT_GT(store.store->counters().folded_rows, 500U);
  EXPECT_EQ(ports_of(store), expected);
  ASSERT_EQ(store.reopen(), "");
  EXPECT_EQ(ports_of(store), expected);
}

TEST(SqliteStore, a_large_commit_is_one_of_many_parts) {
  TestStore store({.idle_rows_max = 16, .fold_rows = 100, .fold_delay = Milliseconds{0}});
  std::vector<Row> rows;
  rows.reserve(2000);
  for (std::uint32_t number = 0; number < 2000; ++number) rows.emplace_back(PutMapping{numbered(number)});
  ASSERT_TRUE(store.commit(rows));
  ASSERT_TRUE(store.commit(rows));
  ASSERT_TRUE(store.commit(rows));
  store.wait_until_folded();
  EXPECT_THAT(ports_of(store), SizeIs(2000));
  EXPECT_EQ(store.store->counters().live_rows, 2000U);
  ASSERT_EQ(store.reopen(), "");
  EXPECT_THAT(ports_of(store), SizeIs(2000));
}

// design: a wall clock behind the last stored stamp counts as no time passed.
TEST(SqliteStore, time_passes_while_closed_as_the_wall_clock_says) {
  TestStore store;
  Contract contract = full_contract();
  contract.expires = store.now + Seconds{600};
  ASSERT_TRUE(store.commit({PutMapping{contract}}));
  const auto remaining = [&] { return store.contracts().at(0).expires - store.now; };
  EXPECT_EQ(remaining(), Seconds{600});
  // Another boot: the monotonic line begins anew.
  store.store.reset();
  store.now = TimePoint{Seconds{5}};
  store.wall += Seconds{100};
  ASSERT_EQ(store.open(), "");
  EXPECT_EQ(remaining(), Seconds{500});
  store.store.reset();
  store.wall -= Seconds{1'000'000};
  ASSERT_EQ(store.open(), "");
  EXPECT_EQ(remaining(), Seconds{500}) << "no time passed since it was closed";
}

TEST(SqliteStore, a_wall_clock_set_while_open_moves_no_expiry) {
  TestStore store;
  store.store.reset();
  store.wall = Seconds{86'400};  // no clock battery: 1970
  ASSERT_EQ(store.open(), "");
  Contract contract = full_contract();
  contract.expires = store.now + Seconds{600};
  ASSERT_TRUE(store.commit({PutMapping{contract}}));
  store.wall = Seconds{1'700'000'000};  // NTP
  store.now += Seconds{10};
  ASSERT_TRUE(store.commit({PutEpoch{store.now}}));
  store.store.reset();
  store.wall += Seconds{20};
  store.now = TimePoint{Seconds{3}};
  ASSERT_EQ(store.open(), "");
  EXPECT_EQ(store.contracts().at(0).expires - store.now, Seconds{570});
}

TEST(SqliteStore, the_time_is_written_down_at_the_end) {
  TestStore store;
  Contract contract = full_contract();
  contract.expires = store.now + Seconds{600};
  ASSERT_TRUE(store.commit({PutMapping{contract}}));
  store.now += Seconds{100};
  store.wall += Seconds{100};
  ASSERT_EQ(store.reopen(), "");
  store.store.reset();
  store.wall = Nanoseconds{0};  // a host without a clock wakes up
  ASSERT_EQ(store.open(), "");
  EXPECT_EQ(store.contracts().at(0).expires - store.now, Seconds{500});
}

TEST(SqliteStore, the_time_is_written_down_while_nothing_is_committed) {
  TestStore store({.stamp_interval = Seconds{0}});
  Contract contract = full_contract();
  contract.expires = store.now + Seconds{600};
  ASSERT_TRUE(store.commit({PutMapping{contract}}));
  const auto stamps = store.store->counters().rows_kept;
  // Nothing but time stamps comes to it.
  while (store.store->counters().rows_kept <= stamps) std::this_thread::yield();
  EXPECT_EQ(store.store->counters().commits, 1U);
}

TEST(SqliteStore, a_newer_schema_is_refused) {
  TestStore store;
  store.store.reset();
  auto database = Database::open(store.path(), Access::write);
  ASSERT_TRUE(database);
  ASSERT_TRUE(database->execute("PRAGMA user_version=5"));
  database = Database{};
  EXPECT_THAT(store.open(), HasSubstr("written by a newer portoland (schema 5, this one knows 4)"));
  database = Database::open(store.path(), Access::write);
  ASSERT_TRUE(database->execute("PRAGMA user_version=4"));
  database = Database{};
  EXPECT_EQ(store.open(), "");
}

/// A file of schema 1, 2 or 3, in which every row has a history.
class OldFile {
 public:
  OldFile(const std::filesystem::path& path, int schema) {
    auto opened = Database::open(path, Access::write);
    EXPECT_TRUE(opened);
    database_ = std::move(*opened);
    execute(
        "PRAGMA journal_mode=WAL;"
        "CREATE TABLE journal(id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, key BLOB, value BLOB);"
        "CREATE TABLE mapping(key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
        "CREATE TABLE note(kind INTEGER, key BLOB, value BLOB NOT NULL, PRIMARY KEY(kind, key)) WITHOUT "
        "ROWID;"
        "PRAGMA application_id=1349807214");
    execute(fmt::format("PRAGMA user_version={}", schema));
  }
  void fold(const Row& row) {
    const Octets octets = encode(row);
    if (octets.row.kind == RowKind::mapping)
      insert("INSERT INTO mapping(key, value) VALUES(?2, ?3)", octets, 0);
    else
      insert("INSERT INTO note(kind, key, value) VALUES(?1, ?2, ?3)", octets, kind_of(octets.row));
  }
  void append(const Row& row) {
    const Octets octets = encode(row);
    insert("INSERT INTO journal(kind, key, value) VALUES(?1, ?2, ?3)", octets, kind_of(octets.row));
  }
  void stamp(Nanoseconds stored, Nanoseconds wall) {
    Octets octets;
    octets.value.resize(16);
    ByteWriter writer(octets.value);
    writer.write(static_cast<std::uint64_t>(stored.count()));
    writer.write(static_cast<std::uint64_t>(wall.count()));
    insert("INSERT INTO journal(kind, key, value) VALUES(?1, ?2, ?3)", octets, 5);
  }

 private:
  struct Octets {
    std::vector<std::byte> all;
    EncodedRow row;
    std::vector<std::byte> value;
  };
  static auto kind_of(const EncodedRow& row) -> int {
    switch (row.kind) {
      case RowKind::mapping: return row.is_dropped ? 2 : 1;
      case RowKind::epoch: return 3;
      case RowKind::path: return 4;
      case RowKind::stamp: return 5;
      case RowKind::user: return 6;
      case RowKind::static_mapping: return 7;
    }
    return 0;
  }
  static auto encode(const Row& row) -> Octets {
    Octets octets;
    append_row(row, {}, octets.all);
    std::span<const std::byte> rest = octets.all;
    octets.row = *take_row(rest);
    if (octets.row.kind == RowKind::path) octets.value.assign(octets.row.key.begin(), octets.row.key.end());
    octets.value.insert(octets.value.end(), octets.row.value.begin(), octets.row.value.end());
    return octets;
  }
  void execute(const std::string& text) {
    const auto done = database_.execute(text.c_str());
    EXPECT_TRUE(done) << done.error();
  }
  void insert(const char* text, const Octets& octets, int kind) {
    auto statement = database_.prepare(text);
    ASSERT_TRUE(statement) << statement.error();
    static constexpr std::array<std::byte, 1> no_key{};
    if (kind != 0) statement->bind(1, kind);
    statement->bind(2, octets.row.key.empty() ? std::span<const std::byte>(no_key) : octets.row.key);
    statement->bind(3, octets.value);
    const auto done = statement->run();
    EXPECT_TRUE(done) << done.error();
  }

  Database database_;
};

TEST(SqliteStore, files_of_older_schemas_keep_what_they_have) {
  for (const int schema : {1, 2, 3}) {
    TestStore store;
    store.store.reset();
    std::filesystem::remove(store.path());
    const auto address = *IpAddress::parse("2001:db8:112::ff");
    const StaticMapping fixed{.key = full_contract().key.mapping,
                              .external_address = *IpAddress::parse("192.0.2.14"),
                              .external_port = Port{8080}};
    {
      OldFile old(store.path(), schema);
      for (std::uint32_t number = 0; number < 500; ++number) old.fold(PutMapping{numbered(number)});
      old.fold(PutEpoch{TimePoint{Seconds{7}}});
      old.fold(PutPath{3, address, "old0"});
      old.append(PutEpoch{TimePoint{Seconds{9}}});
      old.append(PutPath{3, address, "new0"});
      old.append(DropMapping{numbered(0).key});
      old.append(DropMapping{numbered(1).key});
      old.append(PutMapping{numbered(1, 5001)});
      old.append(PutMapping{numbered(2, 5002)});
      if (schema == 3) {
        old.fold(PutUser{full_user("2001:db8:112::/48")});
        old.fold(PutUser{full_user("2001:db8:113::/48")});
        old.append(DropUser{*Prefix::parse("2001:db8:113::/48")});
        old.append(PutStatic{fixed});
      }
      // Its line of time was 900 s ahead of today's, and 100 s have passed.
      old.stamp(store.now.time_since_epoch() + Seconds{800}, store.wall - Seconds{100});
    }
    ASSERT_EQ(store.open(), "");
    std::map<std::uint32_t, std::uint16_t> expected;
    for (std::uint32_t number = 1; number < 500; ++number) expected[number] = 4000;
    expected[1] = 5001;
    expected[2] = 5002;
    EXPECT_EQ(ports_of(store), expected);
    EXPECT_EQ(store.contracts().at(0).expires, full_contract().expires - Seconds{900});
    EXPECT_EQ(store.loaded<PutEpoch>().at(0).base, TimePoint{Seconds{9 - 900}});
    ASSERT_THAT(store.loaded<PutPath>(), SizeIs(1));
    EXPECT_EQ(store.loaded<PutPath>()[0].interface, "new0");
    EXPECT_EQ(store.loaded<PutPath>()[0].local_address, address);
    ASSERT_THAT(store.loaded<PutUser>(), SizeIs(schema == 3 ? 1 : 0));
    ASSERT_THAT(store.loaded<PutStatic>(), SizeIs(schema == 3 ? 1 : 0));
    if (schema == 3) {
      EXPECT_EQ(store.loaded<PutUser>()[0].user, full_user("2001:db8:112::/48"));
      EXPECT_EQ(store.loaded<PutStatic>()[0].mapping, fixed);
    }

    store.store.reset();
    auto database = Database::open(store.path(), Access::write);
    ASSERT_TRUE(database);
    EXPECT_EQ(database->number("PRAGMA user_version"), SqliteStore::schema_version);
    EXPECT_EQ(database->number("SELECT count(*) FROM sqlite_schema WHERE type = 'table'"), 1);
    database = Database{};
    ASSERT_EQ(store.open(), "");
    EXPECT_EQ(ports_of(store), expected);
  }
}

TEST(SqliteStore, an_old_file_that_was_never_written_is_taken_over) {
  TestStore store;
  store.store.reset();
  std::filesystem::remove(store.path());
  {
    const OldFile old(store.path(), 1);
  }
  ASSERT_EQ(store.open(), "");
  EXPECT_THAT(store.load(), IsEmpty());
  ASSERT_TRUE(store.commit({PutMapping{full_contract()}}));
  ASSERT_EQ(store.reopen(), "");
  EXPECT_EQ(store.contracts(), std::vector{full_contract()});
}

TEST(SqliteStore, another_programs_database_is_left_alone) {
  TestStore store;
  store.store.reset();
  std::filesystem::remove(store.path());
  auto database = Database::open(store.path(), Access::write);
  ASSERT_TRUE(database->execute("CREATE TABLE precious(x)"));
  database = Database{};
  EXPECT_THAT(store.open(), HasSubstr("another program"));
}

TEST(SqliteStore, one_process_at_a_time) {
  TestStore store;
  ASSERT_TRUE(store.commit({PutMapping{full_contract()}}));
  const Clocks clocks{.now = [] { return TimePoint{}; }, .wall_now = [] { return Nanoseconds{}; }};
  auto second = SqliteStore::open({.log = {.path = store.path(), .clocks = clocks}}, {}, {});
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error(), HasSubstr("another process has it open"));
}

TEST(SqliteStore, nobody_else_may_read_it) {
  TestStore store;
  ASSERT_TRUE(store.commit({PutMapping{full_contract()}}));
  for (const auto& file : std::filesystem::directory_iterator(store.path().parent_path()))
    EXPECT_EQ(std::filesystem::status(file).permissions(),
              std::filesystem::perms::owner_read | std::filesystem::perms::owner_write)
        << file.path();
}

TEST(SqliteStore, what_is_no_database_is_told_so) {
  TestStore store;
  store.store.reset();
  std::ofstream(store.path()) << std::string(8192, 'x');
  EXPECT_THAT(store.open(), HasSubstr("not a database"));
}

// Wherever octets are overwritten, what is loaded is what was written, or an error says what is wrong.
TEST(SqliteStore, damage_is_told_and_never_loaded) {
  TestStore store({.idle_rows_max = 16, .fold_rows = 1000, .fold_delay = Milliseconds{0}});
  std::vector<Row> rows;
  rows.reserve(300);
  for (std::uint32_t number = 0; number < 300; ++number) rows.emplace_back(PutMapping{numbered(number)});
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(store.commit(rows));
  store.wait_until_folded();
  const auto written = ports_of(store);
  store.store.reset();
  const auto whole = std::filesystem::path(store.path().string() + ".whole");
  std::filesystem::copy_file(store.path(), whole);
  SeededRandom random(3);
  std::size_t errors = 0;
  for (int round = 0; round < 200; ++round) {
    std::filesystem::copy_file(whole, store.path(), std::filesystem::copy_options::overwrite_existing);
    const auto octets = static_cast<std::uint64_t>(1) << random.below(10);
    {
      std::fstream file(store.path(), std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(static_cast<std::streamoff>(random.below(std::filesystem::file_size(whole) - octets)));
      for (std::uint64_t i = 0; i < octets; ++i) file.put(static_cast<char>(random.below(256)));
    }
    std::string error = store.open();
    if (error.empty()) {
      if (const auto loaded = store.store->load(); !loaded)
        error = loaded.error();
      else
        EXPECT_EQ(ports_of(store), written) << "round " << round;
    }
    store.store.reset();
    if (error.empty()) continue;
    ++errors;
    EXPECT_THAT(error, HasSubstr("state.db: "));
  }
  EXPECT_GT(errors, 50U);
}

/// While it lives no file of this process grows beyond `octets`: as if the disk were full.
class FullDisk {
 public:
  explicit FullDisk(rlim_t octets) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{.rlim_cur = octets, .rlim_max = before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullDisk() { ::setrlimit(RLIMIT_FSIZE, &before_); }
  FullDisk(const FullDisk&) = delete;
  auto operator=(const FullDisk&) -> FullDisk& = delete;

 private:
  rlimit before_{};
};

TEST(SqliteStore, a_full_disk_fails_commits_until_there_is_room) {
  TestStore store;
  ASSERT_TRUE(store.commit({PutMapping{numbered(1)}}));
  std::vector<Row> rows;
  for (std::uint32_t number = 2; number < 2000; ++number) rows.emplace_back(PutMapping{numbered(number)});
  {
    const FullDisk full(100'000);
    EXPECT_FALSE(store.commit(rows));
    EXPECT_THAT(store.store->last_error(), HasSubstr("disk I/O error"));
    EXPECT_FALSE(store.commit(rows)) << "still";
    EXPECT_THAT(ports_of(store), SizeIs(1)) << "all or nothing";
  }
  EXPECT_TRUE(store.commit({}));
  EXPECT_THAT(store.store->last_error(), IsEmpty());
  EXPECT_TRUE(store.commit(rows));
  EXPECT_THAT(ports_of(store), SizeIs(1999));
  ASSERT_EQ(store.reopen(), "");
  EXPECT_THAT(ports_of(store), SizeIs(1999));
  EXPECT_EQ(store.store->counters().failed_commits, 0U);
}

TEST(SqliteStore, a_file_that_can_not_be_written_at_the_start_is_read_and_written_later) {
  TestStore store;
  ASSERT_TRUE(store.commit({PutMapping{numbered(1)}}));
  store.store.reset();
  {
    const FullDisk full(0);
    ASSERT_EQ(store.open(), "");
    EXPECT_THAT(store.store->last_error(), Not(IsEmpty()));
    EXPECT_THAT(ports_of(store), SizeIs(1));
    EXPECT_FALSE(store.commit({PutMapping{numbered(2)}}));
    EXPECT_FALSE(store.commit({}));
    EXPECT_THAT(store.store->last_error(), Not(IsEmpty()));
  }
  store.now += Seconds{10};
  store.wall += Seconds{5};  // the clock was set meanwhile: it moves no expiry
  EXPECT_TRUE(store.commit({PutMapping{numbered(2)}}));
  EXPECT_THAT(store.store->last_error(), IsEmpty());
  EXPECT_THAT(ports_of(store), SizeIs(2));
  for (const Contract& contract : store.contracts()) EXPECT_EQ(contract.expires, full_contract().expires);
  ASSERT_EQ(store.reopen(), "");
  EXPECT_THAT(ports_of(store), SizeIs(2));
}

TEST(SqliteStore, what_can_not_be_made_is_told) {
  TestStore store;
  store.store.reset();
  std::filesystem::remove(store.path());
  {
    const FullDisk full(0);
    EXPECT_THAT(store.open(), HasSubstr("state.db: "));
    EXPECT_THAT(store.open(), Not(HasSubstr("newer"))) << "what the first attempt left is no store either";
  }
  ASSERT_EQ(store.open(), "");
  ASSERT_TRUE(store.commit({PutMapping{numbered(1)}}));
}

TEST(SqliteStore, counters_tell_of_commits) {
  TestStore store;
  store.commit({PutMapping{numbered(1)}, PutMapping{numbered(1)}});
  store.commit({});
  const SqliteCounters counters = store.store->counters();
  EXPECT_EQ(counters.commits, 2U);
  EXPECT_EQ(counters.rows, 2U);
  EXPECT_EQ(counters.live_rows, 1U);
  EXPECT_EQ(counters.failed_commits, 0U);
}

auto fixed_clocks() -> Clocks {
  return {.now = [] { return TimePoint{Seconds{1000}}; },
          .wall_now = [] { return Nanoseconds{Seconds{1'700'000'000}}; }};
}

/// Commits rows as fast as it can, and writes the number of each commit that was answered `ok` to `answers`.
/// Commit n puts realm n % 50 at port 1024 + n.
[[noreturn]] void write_until_killed(const std::filesystem::path& path, int answers) {
  std::mutex mutex;
  std::condition_variable wakeup;
  std::vector<std::function<void()>> posted;
  std::uint32_t done = 0;
  auto store = SqliteStore::open(
      {.log = {.path = path, .clocks = fixed_clocks()},
       .idle_rows_max = 16,
       .fold_rows = 5,
       .fold_delay = Milliseconds{0}},
      [&](CommitId commit, bool ok) {
        if (!ok) ::_exit(1);
        done = static_cast<std::uint32_t>(commit.value);
      },
      [&](std::function<void()> task) {
        const std::scoped_lock lock(mutex);
        posted.push_back(std::move(task));
        wakeup.notify_one();
      });
  if (!store) ::_exit(2);
  for (std::uint32_t number = 1;; ++number) {
    (*store)->commit({number},
                     {PutMapping{numbered(number % 50, static_cast<std::uint16_t>(1024 + number))}});
    std::unique_lock lock(mutex);
    wakeup.wait(lock, [&] { return !posted.empty(); });
    posted.front()();
    posted.clear();
    if (::write(answers, &done, sizeof done) != sizeof done) ::_exit(3);
  }
}

TEST(SqliteStore, a_writer_killed_at_any_time_loses_nothing_that_was_answered) {
  io::testing::TemporaryFolder folder;
  SeededRandom random(11);
  for (int round = 0; round < 12; ++round) {
    const auto path = folder.path() / fmt::format("{}.db", round);
    std::array<int, 2> pipe{};
    ASSERT_EQ(::pipe(pipe.data()), 0);
    const pid_t writer = ::fork();
    if (writer == 0) {
      ::close(pipe[0]);
      write_until_killed(path, pipe[1]);
    }
    ::close(pipe[1]);
    std::uint32_t last = 0;
    const std::uint64_t enough = 1 + random.below(400);
    while (last < enough) ASSERT_EQ(::read(pipe[0], &last, sizeof last), ssize_t{sizeof last});
    ::kill(writer, SIGKILL);
    while (::read(pipe[0], &last, sizeof last) == ssize_t{sizeof last}) continue;
    ::close(pipe[0]);
    int status = 0;
    ::waitpid(writer, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << status;

    auto store = SqliteStore::open({.log = {.path = path, .clocks = fixed_clocks()}}, {}, {});
    ASSERT_TRUE(store) << store.error();
    const auto rows = (*store)->load();
    ASSERT_TRUE(rows) << rows.error();
    std::map<std::uint32_t, std::uint32_t> numbers;
    for (const Row& row : *rows)
      if (const auto* put = std::get_if<PutMapping>(&row))
        numbers[put->contract.key.mapping.realm.value] = put->contract.external_port.value - 1024U;
    for (std::uint32_t number = last > 50 ? last - 49 : 1; number <= last; ++number) {
      ASSERT_TRUE(numbers.contains(number % 50)) << "commit " << number << " of " << last;
      // The one after the last answer may be there too.
      EXPECT_TRUE(numbers[number % 50] == number || numbers[number % 50] == last + 1)
          << "commit " << number << " of " << last;
    }
  }
}

}  // namespace
}  // namespace portolan::store
