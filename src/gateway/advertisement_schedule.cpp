// SPDX-License-Identifier: BSD-2-Clause
#include "gateway/advertisement_schedule.h"

#include <algorithm>

namespace portolan::gateway {
namespace {

auto between(Random& random, Nanoseconds least, Nanoseconds most) -> Nanoseconds {
  const auto width = static_cast<std::uint64_t>((most - least).count()) + 1;
  return least + Nanoseconds{static_cast<Nanoseconds::rep>(random.below(width))};
}

}  // namespace

auto AdvertisementSchedule::at_distance(TimePoint wanted) const -> TimePoint {
  return latest_ ? std::max(wanted, *latest_ + distance_min) : wanted;
}

void AdvertisementSchedule::begin(TimePoint now) {
  next_ = at_distance(now);
  initial_left_ = initial_count;
}

void AdvertisementSchedule::solicited(TimePoint now) {
  // Whoever asks at an interface that is not there is not answered.
  if (!next_) return;
  const bool is_too_soon = latest_ && now < *latest_ + distance_min;
  const TimePoint from = is_too_soon ? *latest_ + distance_min : now;
  next_ = std::min(*next_, from + between(*random_, Nanoseconds{0}, answer_delay_max));
}

auto AdvertisementSchedule::take_due(TimePoint now) -> bool {
  if (!next_ || now < *next_) return false;
  latest_ = now;
  Nanoseconds interval = between(*random_, intervals_.least, intervals_.most);
  if (initial_left_ > 0) --initial_left_;
  if (initial_left_ > 0) interval = std::min<Nanoseconds>(interval, initial_interval_max);
  next_ = now + interval;
  return true;
}

}  // namespace portolan::gateway
