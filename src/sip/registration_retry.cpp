// SPDX-License-Identifier: BSD-2-Clause
#include "sip/registration_retry.h"

#include <algorithm>

namespace portolan::sip {
namespace {

constexpr int unauthorized = 401;
constexpr int forbidden = 403;
constexpr int proxy_unauthorized = 407;
/// By then the maximum is reached.
constexpr unsigned doublings_max = 8;

}  // namespace

auto RegistrationRetry::is_worth_it(int status) -> bool {
  return status != unauthorized && status != forbidden && status != proxy_unauthorized;
}

auto RegistrationRetry::next(const std::optional<Seconds>& asked, Random& random) -> Milliseconds {
  failures_ = std::min(failures_ + 1, doublings_max);
  if (asked) return std::clamp(*asked, asked_min, asked_max);
  const Milliseconds upper_bound = std::min(wait_max, base * (1U << failures_));
  const auto half = static_cast<double>(upper_bound.count()) / 2;
  return Milliseconds{static_cast<Milliseconds::rep>(random.uniform(half, 2 * half))};
}

}  // namespace portolan::sip
