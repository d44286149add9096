// SPDX-License-Identifier: BSD-2-Clause
#include "client/epoch.h"

#include <utility>

namespace portolan::client {

auto EpochCheck::is_valid(TimePoint now, std::uint32_t epoch_time_s) -> bool {
  const Seen current{
      .client_time_s = std::chrono::floor<Seconds>(now.time_since_epoch()).count(),
      .server_time_s = epoch_time_s,
  };
  const auto previous = std::exchange(previous_, current);
  if (!previous) return true;
  // One second back is packets that overtook each other.
  if (current.server_time_s < previous->server_time_s - 1) return false;
  const std::int64_t client_delta = current.client_time_s - previous->client_time_s;
  const std::int64_t server_delta = current.server_time_s - previous->server_time_s;
  return client_delta + 2 >= server_delta - server_delta / 16 &&
         server_delta + 2 >= client_delta - client_delta / 16;
}

auto NatPmpEpochCheck::is_valid(TimePoint now, std::uint32_t epoch_time_s) -> bool {
  const auto previous = std::exchange(previous_, Seen{.at = now, .epoch_time_s = epoch_time_s});
  if (!previous) return true;
  const std::int64_t elapsed_s = std::chrono::floor<Seconds>(now - previous->at).count();
  const std::int64_t expected = previous->epoch_time_s + elapsed_s / 8 * 7 + elapsed_s % 8 * 7 / 8;
  return epoch_time_s + std::int64_t{2} >= expected;
}

}  // namespace portolan::client
