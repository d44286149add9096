// SPDX-License-Identifier: BSD-2-Clause
#include "store/sqlite/row_index.h"

#include <map>

#include <gtest/gtest.h>

#include "base/random.h"

namespace portolan::store {
namespace {

TEST(RowIndex, agrees_with_a_map_however_things_collide) {
  SeededRandom random(3);
  RowIndex index;
  std::map<std::uint64_t, std::uint64_t> expected;
  // Few homes, all near the end of the table, so that chains go round it.
  const auto print_of = [](std::uint64_t thing) {
    return RowIndex::Print{.low = (thing % 5) - 3, .high = thing};
  };
  for (std::uint64_t number = 1; number <= 20'000; ++number) {
    const std::uint64_t thing = random.below(200);
    if (random.below(2) == 0) {
      index.put(print_of(thing), number);
      expected[thing] = number;
    } else {
      index.erase(print_of(thing));
      expected.erase(thing);
    }
    ASSERT_EQ(index.size(), expected.size());
    if (number % 100 != 0) continue;
    for (std::uint64_t each = 0; each < 200; ++each)
      ASSERT_EQ(index.find(print_of(each)), expected.contains(each) ? expected.at(each) : 0U) << each;
  }
}

TEST(RowIndex, grows_and_is_empty_again) {
  SeededRandom random(4);
  RowIndex index;
  std::vector<RowIndex::Print> prints;
  for (std::uint64_t number = 1; number <= 100'000; ++number) {
    prints.push_back({.low = random.next(), .high = random.next()});
    index.put(prints.back(), number);
  }
  EXPECT_EQ(index.size(), prints.size());
  for (std::uint64_t number = 1; number <= prints.size(); ++number)
    ASSERT_EQ(index.find(prints[number - 1]), number);
  EXPECT_EQ(index.find({.low = 1, .high = 2}), 0U);
  index.clear();
  EXPECT_EQ(index.size(), 0U);
  EXPECT_EQ(index.find(prints[0]), 0U);
  index.put(prints[0], 7);
  EXPECT_EQ(index.find(prints[0]), 7U);
}

}  // namespace
}  // namespace portolan::store
