// SPDX-License-Identifier: BSD-2-Clause
#include "client/timing.h"

#include <vector>

#include <gtest/gtest.h>

#include "client/epoch.h"

namespace portolan::client {
namespace {

using namespace std::chrono_literals;

auto seconds(Nanoseconds duration) -> double { return std::chrono::duration<double>(duration).count(); }

TEST(Retransmission, doubles_from_3_s_to_1024_s_within_a_tenth) {
  SeededRandom random(7);
  const RetransmissionTimes times;
  Retransmission exchange;
  TimePoint now{1h};
  double previous = 0;
  for (int i = 0; i < 40; ++i) {
    const TimePoint again = exchange.transmitted(now, times, random);
    const double interval = seconds(again - now);
    const double base = i == 0 ? 3.0 : std::min(2 * previous, 1024.0);
    EXPECT_GE(interval, 0.9 * base - 1e-6) << i;
    EXPECT_LE(interval, 1.1 * base + 1e-6) << i;
    EXPECT_FALSE(exchange.is_exhausted(again, times));
    previous = interval;
    now = again;
  }
  EXPECT_GT(previous, 920.0);
}

TEST(Retransmission, is_spread_over_the_whole_tenth) {
  SeededRandom random(7);
  double lowest = 10;
  double highest = 0;
  for (int i = 0; i < 1000; ++i) {
    Retransmission exchange;
    const double interval = seconds(exchange.transmitted(TimePoint{}, {}, random).time_since_epoch());
    lowest = std::min(lowest, interval);
    highest = std::max(highest, interval);
  }
  EXPECT_LT(lowest, 2.71);
  EXPECT_GT(highest, 3.29);
}

TEST(Retransmission, fails_after_count_max_transmissions) {
  SeededRandom random(7);
  const RetransmissionTimes times{.count_max = 2};
  Retransmission exchange;
  EXPECT_FALSE(exchange.is_exhausted(TimePoint{1h}, times));
  TimePoint now = exchange.transmitted(TimePoint{}, times, random);
  EXPECT_FALSE(exchange.is_exhausted(now, times));
  now = exchange.transmitted(now, times, random);
  EXPECT_TRUE(exchange.is_exhausted(now, times));
}

TEST(Retransmission, fails_once_duration_max_has_passed) {
  SeededRandom random(7);
  const RetransmissionTimes times{.duration_max = 5s};
  Retransmission exchange;
  TimePoint now = exchange.transmitted(TimePoint{1h}, times, random);
  EXPECT_FALSE(exchange.is_exhausted(now, times));
  now = exchange.transmitted(now, times, random);
  EXPECT_EQ(now, TimePoint{1h} + 5s);
  EXPECT_TRUE(exchange.is_exhausted(now, times));
  EXPECT_FALSE(exchange.is_exhausted(now - 1ns, times));
}

TEST(Retransmission, without_interval_max_never_stops_doubling) {
  SeededRandom random(7);
  const RetransmissionTimes times{.interval_max = 0s};
  Retransmission exchange;
  TimePoint now{};
  TimePoint again{};
  for (int i = 0; i < 200; ++i) {
    now = TimePoint{1h};
    again = exchange.transmitted(now, times, random);
  }
  EXPECT_GT(again - now, 24h * 300);
  EXPECT_LT(again - now, 24h * 420);
}

TEST(RenewalTime, halves_the_rest_each_time_with_a_quarter_of_it_as_jitter) {
  SeededRandom random(7);
  const std::vector<std::pair<double, double>> ranges = {
      {1.0 / 2, 5.0 / 8}, {3.0 / 4, 3.0 / 4 + 1.0 / 16}, {7.0 / 8, 7.0 / 8 + 1.0 / 32}};
  for (unsigned attempt = 0; attempt < 3; ++attempt) {
    const auto [from, to] = ranges[attempt];
    double lowest = 10000;
    double highest = 0;
    for (int i = 0; i < 1000; ++i) {
      const double time = seconds(renewal_time(TimePoint{}, 7200s, attempt, random).time_since_epoch());
      lowest = std::min(lowest, time);
      highest = std::max(highest, time);
    }
    const double width = (to - from) * 7200;
    EXPECT_GE(lowest, from * 7200);
    EXPECT_LE(highest, to * 7200);
    EXPECT_LT(lowest, from * 7200 + width / 50);
    EXPECT_GT(highest, to * 7200 - width / 50);
  }
}

TEST(RenewalTime, of_any_attempt_comes_before_the_end) {
  SeededRandom random(7);
  for (const unsigned attempt : {3U, 10U, 63U, 1000U, UINT32_MAX})
    EXPECT_LE(renewal_time(TimePoint{}, 7200s, attempt, random), TimePoint{7200s});
}

struct EpochCase {
  std::string_view what;
  Nanoseconds client_delta;
  std::int64_t server_delta;
  bool is_valid;
};

TEST(EpochCheck, follows_the_rfc_in_integer_arithmetic) {
  const std::vector<EpochCase> cases = {
      {"in step", 100s, 100, true},
      {"a second back, packets overtook each other", 0s, -1, true},
      {"two seconds back", 0s, -2, false},
      {"started again", 100s, -5000, false},
      // server ahead: invalid if client_delta + 2 < server_delta - server_delta / 16
      {"server 2 s ahead at once", 0s, 2, true},
      {"server 3 s ahead at once", 0s, 3, false},
      {"server a sixteenth fast, at the limit", 1502s, 1604, true},
      {"server a sixteenth fast, one more", 1501s, 1604, false},
      // client ahead: invalid if server_delta + 2 < client_delta - client_delta / 16
      {"server stood still 2 s", 2s, 0, true},
      {"server stood still 3 s", 3s, 0, false},
      {"server a sixteenth slow, at the limit", 1604s, 1502, true},
      {"server a sixteenth slow, one less", 1604s, 1501, false},
      {"fractions of a client second do not count", 2999ms, 0, true},
  };
  for (const EpochCase& epoch : cases) {
    EpochCheck check;
    const TimePoint start{1h};
    EXPECT_TRUE(check.is_valid(start, 10000));
    EXPECT_EQ(
        check.is_valid(start + epoch.client_delta, static_cast<std::uint32_t>(10000 + epoch.server_delta)),
        epoch.is_valid)
        << epoch.what;
  }
}

TEST(EpochCheck, the_first_is_valid_and_the_last_is_what_counts) {
  EpochCheck check;
  EXPECT_TRUE(check.is_valid(TimePoint{1h}, 4000000000U));
  EXPECT_FALSE(check.is_valid(TimePoint{1h} + 1s, 0));
  EXPECT_TRUE(check.is_valid(TimePoint{1h} + 2s, 1)) << "a restart is told once";
}

}  // namespace
}  // namespace portolan::client
