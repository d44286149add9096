// SPDX-License-Identifier: BSD-2-Clause
#include "io/files.h"

#include <cerrno>
#include <fstream>

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

}  // namespace
}  // namespace portolan::io
