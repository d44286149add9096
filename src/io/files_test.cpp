// SPDX-License-Identifier: BSD-2-Clause
#include "io/files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "io/testing.h"

namespace portolan::io {
namespace {

constexpr auto owner_only = std::filesystem::perms::owner_read | std::filesystem::perms::owner_write;

TEST(Files, a_file_is_locked_once_at_a_time_and_made_for_its_owner) {
  const testing::TemporaryFolder folder;
  const auto path = folder.path() / "locked";
  {
    const auto lock = lock_file(path);
    ASSERT_TRUE(lock) << to_string(lock.error());
    EXPECT_EQ(std::filesystem::status(path).permissions(), owner_only);
    const auto second = lock_file(path);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().number, EWOULDBLOCK);
  }
  EXPECT_TRUE(lock_file(path));
}

TEST(Files, what_is_in_a_file_stays_when_it_is_locked) {
  const testing::TemporaryFolder folder;
  std::ofstream(folder.path() / "full") << "text";
  ASSERT_TRUE(lock_file(folder.path() / "full"));
  EXPECT_EQ(std::filesystem::file_size(folder.path() / "full"), 4U);
}

TEST(Files, one_that_can_not_be_made_is_no_lock) {
  const testing::TemporaryFolder folder;
  const auto lock = lock_file(folder.path() / "none" / "file");
  ASSERT_FALSE(lock);
  EXPECT_EQ(lock.error().number, ENOENT);
}

TEST(Files, a_file_is_made_where_nothing_is) {
  const testing::TemporaryFolder folder;
  ASSERT_TRUE(make_file(folder.path() / "new"));
  EXPECT_EQ(std::filesystem::status(folder.path() / "new").permissions(), owner_only);
  const auto again = make_file(folder.path() / "new");
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().number, EEXIST);
}

TEST(Files, what_root_makes_for_the_owner_of_a_folder_is_the_owners) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  constexpr uid_t owner = 65534;
  const testing::TemporaryFolder folder;
  ASSERT_EQ(::chown(folder.path().c_str(), owner, owner), 0);
  const auto path = folder.path() / "new";
  ASSERT_TRUE(make_file_of_folder(path));
  EXPECT_EQ(std::filesystem::status(path).permissions(), owner_only);
  struct stat status{};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, owner);
  EXPECT_EQ(status.st_gid, owner);
  EXPECT_EQ(make_file_of_folder(path).error().number, EEXIST);
  // To this process, root, it is another's; and so is the folder, where there is no file.
  const SystemError refused{.number = EACCES, .operation = "open"};
  EXPECT_EQ(ownership_advice(path, refused), fmt::format(": it is nobody's: chown root: {}", path.string()));
  EXPECT_EQ(ownership_advice(folder.path() / "none", refused),
            ": its folder is nobody's, where root may make no file");
}

TEST(Files, nothing_is_advised_about_ones_own_files) {
  const testing::TemporaryFolder folder;
  const SystemError refused{.number = EACCES, .operation = "open"};
  ASSERT_TRUE(make_file(folder.path() / "mine"));
  EXPECT_EQ(ownership_advice(folder.path() / "mine", refused), "");
  EXPECT_EQ(ownership_advice("/nowhere/at/all", refused), "");
  EXPECT_EQ(ownership_advice("/", {.number = ENOENT, .operation = "open"}), "");
}

}  // namespace
}  // namespace portolan::io
