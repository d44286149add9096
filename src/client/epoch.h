// SPDX-License-Identifier: BSD-2-Clause
//
// Watches one server's Epoch Time for signs that it lost its state (RFC 6887 s8.5).
#pragma once

#include <cstdint>
#include <optional>

#include "base/time.h"

namespace portolan::client {

class EpochCheck {
 public:
  /// Takes the Epoch Time of a response received at `now`; false if it is invalid, so that the server
  /// may have lost its mappings. Calls come with `now` never going back.
  [[nodiscard]] auto is_valid(TimePoint now, std::uint32_t epoch_time_s) -> bool;

 private:
  struct Seen {
    std::int64_t client_time_s;
    std::int64_t server_time_s;
  };
  std::optional<Seen> previous_;
};

/// The same for NAT-PMP's Seconds Since Start of Epoch (RFC 6886 s3.6).
class NatPmpEpochCheck {
 public:
  [[nodiscard]] auto is_valid(TimePoint now, std::uint32_t epoch_time_s) -> bool;

 private:
  struct Seen {
    TimePoint at;
    std::uint32_t epoch_time_s;
  };
  std::optional<Seen> previous_;
};

}  // namespace portolan::client
