// SPDX-License-Identifier: BSD-2-Clause
//
// When a registration is tried again that failed. An engine: no clock; its owner adds what it tells to the
// time.
#pragma once

#include <optional>

#include "base/random.h"
#include "base/time.h"

namespace portolan::sip {

class RegistrationRetry {
 public:
  /// The longest wait after one failure is twice this, and twice as long after each further one.
  static constexpr Seconds base{30};
  static constexpr Seconds wait_max{600};
  /// What a server may ask for is kept within these.
  static constexpr Seconds asked_min{1};
  static constexpr Seconds asked_max{3600};

  /// Out  false: it would fail again until a person changes something, as with a wrong password
  [[nodiscard]] static auto is_worth_it(int status) -> bool;

  /// How long to wait after one more failure: some time between half the upper bound and all of it, so that
  /// the phones of a server that comes back don't come all at once.
  ///
  /// Spec  RFC 5626 s4.5, with a lower maximum; RFC 3261 s20.33
  /// In    asked: Retry-After of the answer, which goes before
  [[nodiscard]] auto next(const std::optional<Seconds>& asked, Random& random) -> Milliseconds;
  /// To be told of a registration that came about.
  void reset() { failures_ = 0; }

 private:
  unsigned failures_ = 0;
};

}  // namespace portolan::sip
