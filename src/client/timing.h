// SPDX-License-Identifier: BSD-2-Clause
//
// When a client sends: retransmission of an unanswered request (RFC 6887 s8.1.1) and renewal of a
// mapping (RFC 6887 s11.2.1).
#pragma once

#include "base/random.h"
#include "base/time.h"

namespace portolan::client {

/// The variables of RFC 6887 s8.1.1, with the values it recommends.
struct RetransmissionTimes {
  Milliseconds initial{3000};            ///< IRT; at least 1 ms
  unsigned count_max = 0;                ///< MRC; 0: no maximum
  Milliseconds interval_max{1'024'000};  ///< MRT; 0: no maximum
  Milliseconds duration_max{0};          ///< MRD; 0: no maximum
};

/// NAT-PMP's (RFC 6886 s3.1): nine attempts, of which the last waits for 64 s.
constexpr RetransmissionTimes nat_pmp_times{.initial = Milliseconds{250},
                                            .count_max = 9,
                                            .interval_max = Milliseconds{64'000},
                                            .duration_max = Milliseconds{0}};

/// One message exchange: how often the request went out and when it goes out again.
class Retransmission {
 public:
  /// Notes a transmission at `now` and returns when to call is_exhausted() and to transmit again.
  auto transmitted(TimePoint now, const RetransmissionTimes& times, Random& random) -> TimePoint;

  /// Whether the exchange has failed, once the time transmitted() returned has come.
  [[nodiscard]] auto is_exhausted(TimePoint now, const RetransmissionTimes& times) const -> bool;

 private:
  unsigned transmissions_ = 0;
  TimePoint first_;
  Nanoseconds interval_{0};  // RT
};

/// Renewal requests are never closer together (RFC 6887 s11.2.1).
constexpr Seconds renewal_interval_min{4};

/// Random time for renewal attempt number `attempt` (from 0) of a mapping granted at `granted`: within
/// 1/2 to 5/8 of the lifetime, then 3/4 to 3/4 + 1/16, 7/8 to 7/8 + 1/32, and so on.
[[nodiscard]] auto renewal_time(TimePoint granted, Seconds lifetime, unsigned attempt, Random& random)
    -> TimePoint;

}  // namespace portolan::client
