// SPDX-License-Identifier: BSD-2-Clause
//
// What an operator decides about the server engine; limits included.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/address.h"
#include "base/time.h"

namespace portolan::server {

/// Longest grantable lifetime: what the expiry wheel spans, 2^17 s (36 h).
constexpr Seconds lifetime_max{131071};

struct Config {
  /// Granted lifetimes are clamped to these (RFC 6887 s15). 1 s <= minimum <= maximum <= lifetime_max.
  Seconds minimum_lifetime{120};
  Seconds maximum_lifetime{86400};

  /// Contracts in all, and of one subscriber; beyond them NO_RESOURCES and USER_EX_QUOTA.
  std::size_t mappings_max = 1'000'000;
  std::size_t mappings_per_user_max = 1000;

  /// Batches with the device or waiting for the store; beyond it MAP requests are dropped, and clients
  /// ask again (RFC 6887 s8.2).
  std::size_t batches_in_flight_max = 64;
  /// Requests waiting for an earlier one on the same mapping; beyond it they are dropped likewise.
  std::size_t deferred_max = 4096;
  /// Contracts expired by one advance(); more follow in the next.
  std::size_t expiries_per_advance_max = 1024;

  /// One inside interface: Path::inside indexes this list.
  struct Inside {
    /// Bits that tell subscribers apart: 64 where each has a link of its own, 128 on shared links. IPv4
    /// clients are told apart by their whole address.
    unsigned subscriber_prefix_length = 64;
  };
  std::vector<Inside> inside{Inside{}};

  /// Family of the external addresses the device gives.
  Family external_family = Family::ipv4;

  /// Where the epoch begins: `now` of the first moment without state (RFC 6887 s8.5).
  TimePoint epoch_base{};
};

}  // namespace portolan::server
