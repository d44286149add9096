// SPDX-License-Identifier: BSD-2-Clause
#include "io/number_locks.h"

#include <cerrno>

#include <gtest/gtest.h>

#include "io/testing.h"

namespace portolan::io {
namespace {

TEST(NumberLocks, a_number_is_one_objects_at_a_time) {
  const testing::TemporaryFolder folder;
  const auto path = folder.path() / "locks";
  const auto one = NumberLocks::open(path);
  ASSERT_TRUE(one);
  EXPECT_EQ(std::filesystem::status(path).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  {
    const auto other = NumberLocks::open(path);
    ASSERT_TRUE(other && other->take(7) && other->take(7));
    EXPECT_FALSE(one->take(7));
    EXPECT_TRUE(one->take(8)) << "each by itself";
    other->give_up(7);
    EXPECT_TRUE(one->take(7));
    EXPECT_FALSE(other->take(7));
    EXPECT_TRUE(other->wait_for(UINT32_MAX));
  }
  EXPECT_TRUE(one->take(UINT32_MAX)) << "the other object is gone";
}

TEST(NumberLocks, need_a_file) {
  const testing::TemporaryFolder folder;
  const auto locks = NumberLocks::open(folder.path() / "none" / "locks");
  ASSERT_FALSE(locks);
  EXPECT_EQ(locks.error().number, ENOENT);
}

}  // namespace
}  // namespace portolan::io
