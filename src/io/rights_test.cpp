// SPDX-License-Identifier: BSD-2-Clause
#include "io/rights.h"

#include <gtest/gtest.h>

#include "io/testing.h"

namespace portolan::io {
namespace {

TEST(Rights, users_that_exist_are_known) {
  EXPECT_TRUE(user_exists("root"));
  EXPECT_FALSE(user_exists("portolan-nobody-has-that-name"));
  EXPECT_FALSE(user_exists(""));
}

TEST(Rights, a_user_that_does_not_exist_can_not_be_become) {
  const auto may = may_become("portolan-nobody-has-that-name");
  ASSERT_FALSE(may);
  EXPECT_NE(may.error().find("does not exist: make it, or name another in run_as"), std::string::npos);
  EXPECT_TRUE(may_become(""));
  EXPECT_FALSE(become("portolan-nobody-has-that-name", {}, false)) << "and nothing is given up";
}

TEST(Rights, folders_are_made_with_those_above_them) {
  const testing::TemporaryFolder folder;
  const auto wanted = folder.path() / "a" / "b";
  EXPECT_TRUE(make_directory_for(wanted, ""));
  EXPECT_TRUE(std::filesystem::is_directory(wanted));
  EXPECT_TRUE(make_directory_for(wanted, "")) << "one that is there will do";
  const auto below_a_file = std::filesystem::path("/dev/null/x");
  const auto made = make_directory_for(below_a_file, "");
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().find("folder /dev/null/x: "), std::string::npos);
}

}  // namespace
}  // namespace portolan::io
