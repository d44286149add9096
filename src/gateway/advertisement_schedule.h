// SPDX-License-Identifier: BSD-2-Clause
//
// When one interface sends router advertisements: unasked at random intervals, a few sooner at the beginning,
// and in answer to solicitations, never more often than neighbours can bear. All go to all hosts of the link.
#pragma once

#include <optional>

#include "base/random.h"
#include "base/time.h"

namespace portolan::gateway {

class AdvertisementSchedule {
 public:
  /// Constants of RFC 4861 s10.
  static constexpr Seconds initial_interval_max{16};
  static constexpr int initial_count = 3;
  static constexpr Seconds distance_min{3};
  static constexpr Milliseconds answer_delay_max{500};

  /// MinRtrAdvInterval and MaxRtrAdvInterval of RFC 4861 s6.2.1.
  struct Intervals {
    Seconds least{200};
    Seconds most{600};
    auto operator==(const Intervals&) const -> bool = default;
  };

  /// `random` outlives it. `latest`: when the last one went out, if another schedule went before this one.
  AdvertisementSchedule(Intervals intervals, Random& random, std::optional<TimePoint> latest = {})
      : intervals_(intervals), random_(&random), latest_(latest) {}

  /// The interface is there, or has something new to say.  Spec  RFC 4861 s6.2.4
  void begin(TimePoint now);
  /// A host asks.  Spec  RFC 4861 s6.2.6
  void solicited(TimePoint now);
  /// The interface is gone.
  void end() { next_.reset(); }
  /// Whether one is to be sent now; if so, this is the one.
  [[nodiscard]] auto take_due(TimePoint now) -> bool;
  [[nodiscard]] auto next() const -> std::optional<TimePoint> { return next_; }
  [[nodiscard]] auto latest() const -> std::optional<TimePoint> { return latest_; }

 private:
  /// Not before the latest one is so long ago.
  [[nodiscard]] auto at_distance(TimePoint wanted) const -> TimePoint;

  Intervals intervals_;
  Random* random_;
  std::optional<TimePoint> next_;
  std::optional<TimePoint> latest_;
  int initial_left_ = 0;
};

}  // namespace portolan::gateway
