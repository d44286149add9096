// SPDX-License-Identifier: BSD-2-Clause
//
// Source of randomness, handed to engines through their constructors so that tests, fuzzers and the
// simulator can repeat a run from its seed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace portolan {

/// Random bits. Thread: not safe; one source per thread.
class Random {
 public:
  virtual ~Random() = default;

  /// Next 64 uniformly distributed bits.
  virtual auto next() -> std::uint64_t = 0;

  /// Uniform number in [0, bound), free of modulo bias. bound > 0.
  auto below(std::uint64_t bound) -> std::uint64_t;

  /// Uniform number in [low, high].
  auto uniform(double low, double high) -> double;

  /// Fills `out` with random octets.
  void fill(std::span<std::byte> out);
};

/// Repeatable generator (splitmix64) for tests, the simulator and fuzzers. Not for secrets.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(std::uint64_t seed) : state_(seed) {}
  auto next() -> std::uint64_t override;

 private:
  std::uint64_t state_;
};

}  // namespace portolan
