// SPDX-License-Identifier: BSD-2-Clause
//
// Expiry of slab entries with a resolution of one second: a ring of one list per second, O(1) to
// schedule and cancel, and work in proportion to what expires. Spans lifetime_max.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "base/time.h"

namespace portolan::server {

class SecondWheel {
 public:
  /// Index of an entry in the owner's slab.
  using Index = std::uint32_t;
  static constexpr Index none = std::numeric_limits<Index>::max();

  SecondWheel();

  /// Schedules `index`, which must not be scheduled, for the first whole second at or after `expires`, or
  /// for the farthest second of the ring if that lies beyond: the owner of an entry that comes before its
  /// time schedules it again.
  void schedule(Index index, TimePoint expires);
  /// Takes `index`, if scheduled, out.
  void cancel(Index index);

  /// Removes and returns one entry due at `now`, if there is one.
  auto take_due(TimePoint now) -> std::optional<Index>;

  /// When take_due() has something next.
  [[nodiscard]] auto next_due() const -> std::optional<TimePoint>;

  /// Octets used.
  [[nodiscard]] auto memory_octets() const -> std::size_t;

 private:
  static constexpr std::uint64_t slots = 1U << 17U;
  static constexpr std::uint64_t words = slots / 64;

  struct Link {
    Index previous = none;
    Index next = none;
    std::uint32_t slot = not_scheduled;
  };
  static constexpr std::uint32_t not_scheduled = std::numeric_limits<std::uint32_t>::max();

  /// First occupied slot in ring order from `slot` on.
  [[nodiscard]] auto first_occupied_from(std::uint64_t slot) const -> std::optional<std::uint64_t>;
  void mark(std::uint64_t slot, bool occupied);

  std::vector<Index> heads_;
  std::vector<Link> links_;
  /// One bit per slot, and one per word of that bitmap: finds the next occupied slot in a few steps.
  std::array<std::uint64_t, words> occupied_{};
  std::array<std::uint64_t, words / 64> occupied_words_{};
  /// No entry is due in a second before this one.
  std::uint64_t current_second_ = 0;
};

}  // namespace portolan::server
