// SPDX-License-Identifier: BSD-2-Clause
#include "server/second_wheel.h"

#include <map>
#include <set>

#include <gtest/gtest.h>

#include "base/random.h"

namespace portolan::server {
namespace {

auto at(double seconds) -> TimePoint {
  return TimePoint{std::chrono::duration_cast<Nanoseconds>(std::chrono::duration<double>(seconds))};
}

TEST(SecondWheel, nothing_is_due_before_its_second) {
  SecondWheel wheel;
  wheel.schedule(7, at(10.5));
  EXPECT_EQ(wheel.next_due(), at(11));
  EXPECT_FALSE(wheel.take_due(at(10.9)));
  EXPECT_EQ(wheel.take_due(at(11)), 7U);
  EXPECT_FALSE(wheel.take_due(at(11)));
  EXPECT_FALSE(wheel.next_due());
}

TEST(SecondWheel, what_is_cancelled_never_comes) {
  SecondWheel wheel;
  for (SecondWheel::Index i = 0; i < 3; ++i) wheel.schedule(i, at(5));
  wheel.cancel(1);
  wheel.cancel(1);
  std::set<SecondWheel::Index> due;
  while (const auto index = wheel.take_due(at(100))) due.insert(*index);
  EXPECT_EQ(due, (std::set<SecondWheel::Index>{0, 2}));
}

TEST(SecondWheel, a_past_deadline_is_due_at_once) {
  SecondWheel wheel;
  EXPECT_FALSE(wheel.take_due(at(1000)));
  wheel.schedule(1, at(3));
  EXPECT_EQ(wheel.take_due(at(1000)), 1U);
}

// The model is an ordered multimap: each step's entries must be exactly those due, in order of seconds.
TEST(SecondWheel, agrees_with_an_ordered_map_around_the_ring) {
  SecondWheel wheel;
  SeededRandom random(20261122);
  std::multimap<std::int64_t, SecondWheel::Index> model;
  std::map<SecondWheel::Index, std::int64_t> scheduled;
  std::int64_t now = 1000;
  for (int step = 0; step < 20000; ++step) {
    const auto index = static_cast<SecondWheel::Index>(random.below(200));
    if (const auto known = scheduled.find(index); known != scheduled.end()) {
      wheel.cancel(index);
      for (auto [entry, end] = model.equal_range(known->second); entry != end; ++entry) {
        if (entry->second != index) continue;
        model.erase(entry);
        break;
      }
      scheduled.erase(known);
    }
    if (random.below(3) != 0) {
      const auto second = now + static_cast<std::int64_t>(random.below(131072 - 1));
      wheel.schedule(index, TimePoint{Seconds{second}});
      model.emplace(second, index);
      scheduled[index] = second;
    }
    now += static_cast<std::int64_t>(random.below(10) == 0 ? random.below(60000) : random.below(3));
    while (const auto due = wheel.take_due(TimePoint{Seconds{now}})) {
      ASSERT_FALSE(model.empty());
      ASSERT_EQ(scheduled.at(*due), model.begin()->first) << "out of order at step " << step;
      for (auto [entry, end] = model.equal_range(scheduled.at(*due)); entry != end; ++entry) {
        if (entry->second != *due) continue;
        model.erase(entry);
        break;
      }
      scheduled.erase(*due);
    }
    ASSERT_TRUE(model.empty() || model.begin()->first > now) << "missed at step " << step;
    if (model.empty())
      ASSERT_FALSE(wheel.next_due());
    else
      ASSERT_EQ(wheel.next_due(), TimePoint{Seconds{model.begin()->first}});
  }
}

}  // namespace
}  // namespace portolan::server
