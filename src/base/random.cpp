// SPDX-License-Identifier: BSD-2-Clause
#include "base/random.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace portolan {

auto Random::below(std::uint64_t bound) -> std::uint64_t {
  PORTOLAN_CHECK(bound > 0);
  // Values from the incomplete last multiple of `bound` are drawn again: fewer than half of them.
  const std::uint64_t excess = (UINT64_MAX % bound + 1) % bound;
  std::uint64_t value = next();
  while (value > UINT64_MAX - excess) value = next();
  return value % bound;
}

auto Random::uniform(double low, double high) -> double {
  constexpr double resolution = 1.0 / static_cast<double>(1ULL << 53U);
  return low + (high - low) * (static_cast<double>(next() >> 11U) * resolution);
}

void Random::fill(std::span<std::byte> out) {
  while (!out.empty()) {
    const std::uint64_t bits = next();
    const std::size_t count = std::min(out.size(), sizeof bits);
    std::memcpy(out.data(), &bits, count);
    out = out.subspan(count);
  }
}

auto SeededRandom::next() -> std::uint64_t {
  state_ += 0x9e3779b97f4a7c15ULL;
  std::uint64_t z = state_;
  z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27U)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31U);
}

}  // namespace portolan
