// SPDX-License-Identifier: BSD-2-Clause
#include <array>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/nonce.h"
#include "base/random.h"

namespace portolan {
namespace {

TEST(ByteReader, fails_once_and_for_all_past_the_end) {
  const std::array<std::byte, 5> octets{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}, std::byte{5}};
  ByteReader reader(octets);
  EXPECT_EQ(reader.read<std::uint16_t>(), 0x0102);
  EXPECT_EQ(reader.remaining(), 3U);
  EXPECT_EQ(reader.read<std::uint32_t>(), 0U);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.read<std::uint8_t>(), 0);
  EXPECT_EQ(reader.remaining(), 0U);
}

TEST(ByteWriter, writes_nothing_that_does_not_fit) {
  std::array<std::byte, 3> buffer{};
  ByteWriter writer(buffer);
  writer.write(std::uint16_t{0xabcd});
  writer.write(std::uint16_t{1});
  EXPECT_FALSE(writer.ok());
  EXPECT_EQ(writer.size(), 2U);
  EXPECT_EQ(buffer[0], std::byte{0xab});
  EXPECT_EQ(buffer[2], std::byte{0});
  writer.write(std::uint8_t{1});
  EXPECT_EQ(writer.size(), 2U) << "after a failure nothing more is written";
}

TEST(Nonce, is_24_hexadecimal_digits) {
  const auto nonce = Nonce::parse("000102030405060708090aff");
  ASSERT_TRUE(nonce);
  EXPECT_EQ(to_string(*nonce), "000102030405060708090aff");
  EXPECT_FALSE(Nonce::parse("000102030405060708090af"));
  EXPECT_FALSE(Nonce::parse("000102030405060708090a-1"));
}

TEST(Random, below_stays_below_and_reaches_all) {
  SeededRandom random(1);
  std::array<int, 3> seen{};
  for (int i = 0; i < 300; ++i) ++seen.at(random.below(3));
  for (const int count : seen) EXPECT_GT(count, 50);
  for (int i = 0; i < 300; ++i) {
    const double value = random.uniform(-0.1, 0.1);
    EXPECT_GE(value, -0.1);
    EXPECT_LE(value, 0.1);
  }
}

TEST(KeyedHash, depends_on_key_words_and_their_number) {
  const HashKey key{.low = 1, .high = 2};
  const HashKey other{.low = 1, .high = 3};
  EXPECT_NE(keyed_hash(key, {1, 2}), keyed_hash(other, {1, 2}));
  EXPECT_NE(keyed_hash(key, {1, 2}), keyed_hash(key, {2, 1}));
  EXPECT_NE(keyed_hash(key, {0}), keyed_hash(key, {0, 0}));
}

TEST(CheckDeathTest, aborts_naming_the_condition) {
  EXPECT_DEATH(PORTOLAN_CHECK(1 + 1 == 3), "1 \\+ 1 == 3");
}

}  // namespace
}  // namespace portolan
