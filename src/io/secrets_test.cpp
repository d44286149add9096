// SPDX-License-Identifier: BSD-2-Clause
#include "io/secrets.h"

#include <sys/stat.h>

#include <fstream>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/testing.h"

namespace portolan::io {
namespace {

using ::testing::HasSubstr;

class SecretFileTest : public ::testing::Test {
 protected:
  void write(std::string_view octets, mode_t mode) const {
    std::ofstream(path) << octets;
    ASSERT_EQ(::chmod(path.c_str(), mode), 0);
  }

  testing::TemporaryFolder folder;
  std::filesystem::path path = folder.path() / "secret";
};

TEST_F(SecretFileTest, is_read_if_only_its_owner_can_change_it) {
  for (const mode_t mode : {mode_t{0600}, mode_t{0400}, mode_t{0640}}) {
    write("abc", mode);
    EXPECT_EQ(read_secret_file(path, 3), "abc");
  }
  for (const mode_t mode : {mode_t{0644}, mode_t{0660}, mode_t{0602}, mode_t{0601}}) {
    write("abc", mode);
    EXPECT_THAT(read_secret_file(path, 3).error(), HasSubstr("so that others may use it: chmod 0640"));
  }
}

TEST_F(SecretFileTest, has_a_limit) {
  write("abc", 0600);
  EXPECT_TRUE(read_secret_file(path, 4).has_value());
  EXPECT_TRUE(read_secret_file(path, 3).has_value());
  EXPECT_THAT(read_secret_file(path, 2).error(), HasSubstr("is longer than 2 octets"));
}

TEST_F(SecretFileTest, is_a_file) {
  EXPECT_THAT(read_secret_file(path, 3).error(), HasSubstr("No such file"));
  EXPECT_THAT(read_secret_file(folder.path(), 3).error(), HasSubstr("is no regular file"));
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_THAT(read_secret_file(path, 3).error(), HasSubstr("is no regular file"));
}

auto hex(const Sha256& digest) -> std::string {
  std::string text;
  for (const std::byte octet : digest) text += fmt::format("{:02x}", static_cast<unsigned>(octet));
  return text;
}

TEST(Sha256, is_that_of_fips_180_4) {
  EXPECT_EQ(hex(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Sha256, with_a_key_it_is_that_of_rfc_4231) {
  EXPECT_EQ(hex(hmac_sha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(Sha256, digests_are_compared_whole) {
  EXPECT_TRUE(equal_in_constant_time(sha256("a"), sha256("a")));
  EXPECT_FALSE(equal_in_constant_time(sha256("a"), sha256("b")));
  const Sha256 digest = sha256("a");
  EXPECT_FALSE(equal_in_constant_time(digest, std::span(digest).first(31)));
}

}  // namespace
}  // namespace portolan::io
