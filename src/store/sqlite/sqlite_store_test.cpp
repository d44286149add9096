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

#include <gmock/gmock.h>

#include "base/random.h"
#include "store/contract_test.h"
#include "store/sqlite/test_store.h"

namespace portolan::store {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
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
  TestStore store({.fold_rows = 3, .fold_delay = Milliseconds{0}});
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

TEST(SqliteStore, a_journal_at_its_limit_is_folded_by_every_commit_beyond) {
  TestStore store({.fold_delay = Seconds{3600}, .journal_rows_max = 8});
  const auto put = [&](std::uint32_t number) { return store.commit({PutMapping{numbered(number)}}); };
  for (std::uint32_t number = 0; number < 4; ++number) ASSERT_TRUE(put(number));
  EXPECT_EQ(store.store->counters().journal_rows, 8U) << "a row and a time stamp each";
  ASSERT_TRUE(put(4));
  EXPECT_EQ(store.store->counters().journal_rows, 6U);
  for (std::uint32_t number = 5; number < 40; ++number) {
    ASSERT_TRUE(put(number));
    EXPECT_LE(store.store->counters().journal_rows, 10U);
  }
  EXPECT_THAT(ports_of(store), SizeIs(40));
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
  store.now = TimePoint{Seconds{5}};
  store.wall += Seconds{100};
  ASSERT_EQ(store.reopen(), "");
  EXPECT_EQ(remaining(), Seconds{500});
  store.wall -= Seconds{1'000'000};
  ASSERT_EQ(store.reopen(), "");
  EXPECT_EQ(remaining(), Seconds{600}) << "no time passed since the commit";
}

TEST(SqliteStore, a_wall_clock_set_while_open_moves_no_expiry) {
  TestStore store;
  store.wall = Seconds{86'400};  // no clock battery: 1970
  ASSERT_EQ(store.reopen(), "");
  Contract contract = full_contract();
  contract.expires = store.now + Seconds{600};
  ASSERT_TRUE(store.commit({PutMapping{contract}}));
  store.wall = Seconds{1'700'000'000};  // NTP
  store.now += Seconds{10};
  ASSERT_TRUE(store.commit({PutEpoch{store.now}}));
  store.wall += Seconds{20};
  store.now = TimePoint{Seconds{3}};
  ASSERT_EQ(store.reopen(), "");
  EXPECT_EQ(store.contracts().at(0).expires - store.now, Seconds{570});
}

TEST(SqliteStore, a_newer_schema_is_refused) {
  TestStore store;
  store.store.reset();
  auto database = Database::open(store.path());
  ASSERT_TRUE(database);
  ASSERT_TRUE(database->execute("PRAGMA user_version=4"));
  database = Database{};
  EXPECT_THAT(store.open(), HasSubstr("written by a newer portoland (schema 4, this one knows 3)"));
  database = Database::open(store.path());
  ASSERT_TRUE(database->execute("PRAGMA user_version=3"));
  database = Database{};
  EXPECT_EQ(store.open(), "");
}

TEST(SqliteStore, a_file_of_schema_1_keeps_its_rows_and_is_of_this_one_before_any_is_written) {
  TestStore store;
  // As version 1 wrote it: no row has the flag of parity.
  Contract old = full_contract();
  old.preserve_parity = false;
  ASSERT_TRUE(store.commit({PutMapping{old}}));
  store.store.reset();
  auto database = Database::open(store.path());
  ASSERT_TRUE(database);
  ASSERT_TRUE(database->execute("PRAGMA user_version=1"));
  database = Database{};

  ASSERT_EQ(store.open(), "");
  EXPECT_EQ(store.contracts(), std::vector{old});
  store.store.reset();
  database = Database::open(store.path());
  ASSERT_TRUE(database);
  EXPECT_EQ(database->number("PRAGMA user_version"), SqliteStore::schema_version)
      << "nothing was written yet";
  database = Database{};

  ASSERT_EQ(store.open(), "");
  Contract kept = old;
  kept.preserve_parity = true;
  ASSERT_TRUE(store.commit({PutMapping{kept}}));
  ASSERT_EQ(store.reopen(), "");
  EXPECT_EQ(store.contracts(), std::vector{kept});
}

TEST(SqliteStore, a_file_of_schema_2_keeps_its_rows_and_takes_users_and_static_mappings) {
  TestStore store;
  const Contract kept = full_contract();
  ASSERT_TRUE(store.commit({PutMapping{kept}}));
  store.store.reset();
  auto database = Database::open(store.path());
  ASSERT_TRUE(database);
  ASSERT_TRUE(database->execute("PRAGMA user_version=2"));
  database = Database{};

  ASSERT_EQ(store.open(), "");
  const Profile user = full_user("2001:db8:112::/48");
  const StaticMapping mapping{
      .key = kept.key.mapping, .external_address = kept.external_address, .external_port = Port{8080}};
  ASSERT_TRUE(store.commit({PutUser{user}, PutStatic{mapping}}));
  ASSERT_EQ(store.reopen(), "");
  EXPECT_EQ(store.contracts(), std::vector{kept});
  ASSERT_EQ(store.loaded<PutUser>().size(), 1U);
  EXPECT_EQ(store.loaded<PutUser>()[0].user, user);
  ASSERT_EQ(store.loaded<PutStatic>().size(), 1U);
  EXPECT_EQ(store.loaded<PutStatic>()[0].mapping, mapping);
}

TEST(SqliteStore, another_programs_database_is_left_alone) {
  TestStore store;
  store.store.reset();
  std::filesystem::remove(store.path());
  auto database = Database::open(store.path());
  ASSERT_TRUE(database->execute("CREATE TABLE precious(x)"));
  database = Database{};
  EXPECT_THAT(store.open(), HasSubstr("another program"));
}

TEST(SqliteStore, one_process_at_a_time) {
  TestStore store;
  ASSERT_TRUE(store.commit({PutMapping{full_contract()}}));
  auto second = SqliteStore::open(
      {.path = store.path(), .now = [] { return TimePoint{}; }, .wall_now = [] { return Nanoseconds{}; }}, {},
      {});
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
TEST(SqliteStore, damage_is_told_and_never_crashes) {
  TestStore store({.fold_rows = 1000, .fold_delay = Milliseconds{0}});
  std::vector<Row> rows;
  for (std::uint32_t number = 0; number < 300; ++number) rows.emplace_back(PutMapping{numbered(number)});
  ASSERT_TRUE(store.commit(rows));
  store.wait_until_folded();
  store.store.reset();
  const auto whole = std::filesystem::path(store.path().string() + ".whole");
  std::filesystem::copy_file(store.path(), whole);
  SeededRandom random(3);
  std::size_t errors = 0;
  for (int round = 0; round < 100; ++round) {
    std::filesystem::copy_file(whole, store.path(), std::filesystem::copy_options::overwrite_existing);
    {
      std::fstream file(store.path(), std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(static_cast<std::streamoff>(random.below(std::filesystem::file_size(whole) - 512)));
      for (int i = 0; i < 512; ++i) file.put(static_cast<char>(random.below(256)));
    }
    std::string error = store.open();
    if (error.empty()) {
      if (const auto loaded = store.store->load(); !loaded) error = loaded.error();
    }
    store.store.reset();
    if (error.empty()) continue;
    ++errors;
    EXPECT_THAT(error, HasSubstr("state.db: "));
  }
  EXPECT_GT(errors, 20U);
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

/// Commits rows as fast as it can, and writes the number of each commit that was answered `ok` to `answers`.
/// Commit n puts realm n % 50 at port 1024 + n.
[[noreturn]] void write_until_killed(const std::filesystem::path& path, int answers) {
  std::mutex mutex;
  std::condition_variable wakeup;
  std::vector<std::function<void()>> posted;
  std::uint32_t done = 0;
  auto store = SqliteStore::open(
      {.path = path,
       .now = [] { return TimePoint{Seconds{1000}}; },
       .wall_now = [] { return Nanoseconds{Seconds{1'700'000'000}}; },
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

    auto store = SqliteStore::open({.path = path,
                                    .now = [] { return TimePoint{Seconds{1000}}; },
                                    .wall_now = [] { return Nanoseconds{Seconds{1'700'000'000}}; }},
                                   {}, {});
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
