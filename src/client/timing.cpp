// SPDX-License-Identifier: BSD-2-Clause
#include "client/timing.h"

#include <algorithm>
#include <cmath>

namespace portolan::client {
namespace {

/// Stands for "no maximum": sums of it and any time a program sees stay in range.
constexpr Nanoseconds longest_interval = std::chrono::hours{24 * 365};

auto scaled(Nanoseconds duration, double factor) -> Nanoseconds {
  return Nanoseconds{std::llround(static_cast<double>(duration.count()) * factor)};
}

}  // namespace

auto Retransmission::transmitted(TimePoint now, const RetransmissionTimes& times, Random& random)
    -> TimePoint {
  if (transmissions_ == 0) {
    first_ = now;
    interval_ = times.initial;
  } else {
    const Nanoseconds maximum =
        times.interval_max == Milliseconds{0} ? longest_interval : Nanoseconds{times.interval_max};
    interval_ = std::min(2 * interval_, maximum);
  }
  interval_ = scaled(interval_, 1.0 + random.uniform(-0.1, 0.1));
  ++transmissions_;
  const TimePoint again = now + interval_;
  return times.duration_max == Milliseconds{0} ? again : std::min(again, first_ + times.duration_max);
}

auto Retransmission::is_exhausted(TimePoint now, const RetransmissionTimes& times) const -> bool {
  if (transmissions_ == 0) return false;
  return (times.count_max != 0 && transmissions_ >= times.count_max) ||
         (times.duration_max != Milliseconds{0} && now >= first_ + times.duration_max);
}

auto renewal_time(TimePoint granted, Seconds lifetime, unsigned attempt, Random& random) -> TimePoint {
  const double rest = std::ldexp(1.0, -static_cast<int>(std::min(attempt, 62U) + 1));
  const double start = 1.0 - rest;
  return granted + scaled(lifetime, random.uniform(start, start + rest / 4));
}

}  // namespace portolan::client
