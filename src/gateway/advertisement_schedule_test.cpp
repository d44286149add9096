// SPDX-License-Identifier: BSD-2-Clause
#include "gateway/advertisement_schedule.h"

#include <vector>

#include <gtest/gtest.h>

namespace portolan::gateway {
namespace {

constexpr TimePoint start{Seconds{1000}};

/// When `count` are sent if nothing else happens.
auto next_times(AdvertisementSchedule& schedule, int count) -> std::vector<TimePoint> {
  std::vector<TimePoint> times;
  while (count-- > 0) {
    times.push_back(schedule.next().value());
    EXPECT_FALSE(schedule.take_due(times.back() - Nanoseconds{1}));
    EXPECT_TRUE(schedule.take_due(times.back()));
  }
  return times;
}

TEST(AdvertisementSchedule, nothing_is_due_before_the_interface_is_there_nor_after) {
  SeededRandom random(1);
  AdvertisementSchedule schedule({}, random);
  schedule.solicited(start);
  EXPECT_FALSE(schedule.next());
  EXPECT_FALSE(schedule.take_due(start + Seconds{10000}));
  schedule.begin(start);
  EXPECT_TRUE(schedule.take_due(start));
  schedule.end();
  schedule.solicited(start);
  EXPECT_FALSE(schedule.take_due(start + Seconds{10000}));
}

TEST(AdvertisementSchedule, the_first_three_come_soon_the_others_within_the_interval) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SeededRandom random(seed);
    AdvertisementSchedule schedule({.least = Seconds{200}, .most = Seconds{600}}, random);
    schedule.begin(start);
    const auto times = next_times(schedule, 8);
    EXPECT_EQ(times[0], start);
    EXPECT_EQ(times[1] - times[0], AdvertisementSchedule::initial_interval_max);
    EXPECT_EQ(times[2] - times[1], AdvertisementSchedule::initial_interval_max);
    for (std::size_t i = 3; i < times.size(); ++i) {
      EXPECT_GE(times[i] - times[i - 1], Seconds{200});
      EXPECT_LE(times[i] - times[i - 1], Seconds{600});
    }
    EXPECT_NE(times[4] - times[3], times[5] - times[4]) << "intervals are random";
  }
}

TEST(AdvertisementSchedule, a_solicitation_is_answered_within_half_a_second) {
  SeededRandom random(2);
  AdvertisementSchedule schedule({}, random);
  schedule.begin(start);
  next_times(schedule, 4);
  for (int i = 0; i < 100; ++i) {
    const TimePoint asked = *schedule.latest() + Seconds{10};
    schedule.solicited(asked);
    EXPECT_GE(*schedule.next(), asked);
    EXPECT_LE(*schedule.next(), asked + AdvertisementSchedule::answer_delay_max);
    next_times(schedule, 1);
  }
}

TEST(AdvertisementSchedule, a_solicitation_never_puts_off_what_is_due_anyway) {
  SeededRandom random(3);
  AdvertisementSchedule schedule({}, random);
  schedule.begin(start);
  next_times(schedule, 4);
  const TimePoint due = *schedule.next();
  schedule.solicited(due - Nanoseconds{1});
  EXPECT_LE(*schedule.next(), due);
}

TEST(AdvertisementSchedule, a_flood_of_solicitations_gets_an_answer_in_three_seconds) {
  SeededRandom random(4);
  AdvertisementSchedule schedule({.least = Seconds{3}, .most = Seconds{4}}, random);
  schedule.begin(start);
  std::vector<TimePoint> sent;
  for (TimePoint now = start; now < start + Seconds{60}; now += Milliseconds{1}) {
    schedule.solicited(now);
    if (schedule.take_due(now)) sent.push_back(now);
  }
  ASSERT_GT(sent.size(), 15U);
  for (std::size_t i = 1; i < sent.size(); ++i)
    EXPECT_GE(sent[i] - sent[i - 1], AdvertisementSchedule::distance_min);
}

TEST(AdvertisementSchedule, a_change_is_told_at_once_but_not_too_soon_after_the_last) {
  SeededRandom random(5);
  AdvertisementSchedule schedule({}, random);
  schedule.begin(start);
  next_times(schedule, 1);
  schedule.begin(start + Seconds{1});
  EXPECT_EQ(*schedule.next(), start + AdvertisementSchedule::distance_min);
  AdvertisementSchedule after({}, random, start);
  after.begin(start + Seconds{1});
  EXPECT_EQ(*after.next(), start + AdvertisementSchedule::distance_min);
  after.begin(start + Seconds{100});
  EXPECT_EQ(*after.next(), start + Seconds{100});
}

}  // namespace
}  // namespace portolan::gateway
