// SPDX-License-Identifier: BSD-2-Clause
//
// How many values were as small as each of some bounds: for durations and sizes of which an average says
// little.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace portolan {

/// Bounds in seconds that suit anything from a hash table to a busy disk.
inline constexpr std::array<double, 13> duration_bounds{0.00001, 0.0001, 0.0005, 0.001, 0.002, 0.005, 0.01,
                                                        0.02,    0.05,   0.1,    0.2,   0.5,   1};
/// Bounds of what comes by the piece.
inline constexpr std::array<double, 9> size_bounds{1, 2, 4, 8, 16, 32, 64, 128, 256};

/// `Bounds` ascend and stay where they are.
template <const auto& Bounds>
class Histogram {
 public:
  /// Cost O(bounds)
  void observe(double value) {
    const auto place = std::ranges::lower_bound(Bounds, value) - Bounds.begin();
    ++counts_[static_cast<std::size_t>(place)];
    sum_ += value;
  }
  [[nodiscard]] static auto upper_bounds() -> std::span<const double> { return Bounds; }
  /// Values up to each bound that are greater than the one before; the last: beyond all.
  [[nodiscard]] auto counts() const -> std::span<const std::uint64_t> { return counts_; }
  [[nodiscard]] auto sum() const -> double { return sum_; }

 private:
  std::array<std::uint64_t, std::size(Bounds) + 1> counts_{};
  double sum_ = 0;
};

using DurationHistogram = Histogram<duration_bounds>;
using SizeHistogram = Histogram<size_bounds>;

}  // namespace portolan
