// SPDX-License-Identifier: BSD-2-Clause
//
// Time as a value: engines get `now` as an argument and never read a clock. TimePoint counts
// nanoseconds of a monotonic clock whose origin only the program that drives the engines knows.
#pragma once

#include <chrono>

namespace portolan {

using Seconds = std::chrono::seconds;
using Milliseconds = std::chrono::milliseconds;
using Nanoseconds = std::chrono::nanoseconds;

/// Tag of the monotonic time line; it has no now(): io::monotonic_now() reads the real clock.
struct MonotonicClock {
  using duration = Nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<MonotonicClock>;
  static constexpr bool is_steady = true;
};

using TimePoint = MonotonicClock::time_point;

}  // namespace portolan
