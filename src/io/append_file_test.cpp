// SPDX-License-Identifier: BSD-2-Clause
#include "io/append_file.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <fstream>
#include <iterator>

#include <gtest/gtest.h>

#include "io/testing.h"

namespace portolan::io {
namespace {

auto contents(const std::filesystem::path& path) -> std::string {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(AppendFile, is_made_for_its_owner_and_group_and_added_to) {
  const testing::TemporaryFolder folder;
  const auto path = folder.path() / "lines";
  for (const char* text : {"one\n", "two\n"}) {
    auto file = AppendFile::open(path);
    ASSERT_TRUE(file) << file.error();
    EXPECT_TRUE(file->write(text));
  }
  EXPECT_EQ(contents(path), "one\ntwo\n");
  struct stat status{};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0137U, 0U);
}

TEST(AppendFile, a_line_cut_short_ends_before_the_next) {
  const testing::TemporaryFolder folder;
  const auto path = folder.path() / "lines";
  auto file = AppendFile::open(path);
  ASSERT_TRUE(file) << file.error();
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  auto* const handler = ::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{.rlim_cur = 6, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto failed = file->write("one\ntwo\n");
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, handler);
  EXPECT_FALSE(failed);
  EXPECT_TRUE(file->write("three\n"));
  EXPECT_EQ(contents(path), "one\ntw\nthree\n");
}

}  // namespace
}  // namespace portolan::io
