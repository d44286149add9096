// SPDX-License-Identifier: BSD-2-Clause
//
// What the benchmark programs share: rounds in which all cases take turns, so that a machine that gets
// slower or faster on the way does so for all. Values go to stdout raw; scripts/bench makes minimum,
// median, maximum and ratios of them.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

namespace portolan::bench {

/// One thing to measure.
struct Case {
  std::string name;
  bool is_reference = false;  ///< ratios of the others to it are shown
  /// Does the work `count` times.
  std::function<void(std::size_t count)> work;
  std::size_t count = 0;
};

/// Keeps the compiler from dropping the computation of `value`.
template <typename Value>
void keep(const Value& value) {
  asm volatile("" : : "g"(&value) : "memory");
}

/// Runs argv[1] rounds (15 unless given) of all cases and prints "unit UNIT", "reference NAME" lines, and
/// a line "round NAME<tab>VALUE" for each measurement, VALUE in nanoseconds for one piece of work.
inline auto run(int argc, char** argv, const std::string& unit, const std::vector<Case>& cases) -> int {
  const long rounds = argc > 1 ? std::strtol(argv[1], nullptr, 10) : 15;
  std::printf("unit %s\n", unit.c_str());
  for (const Case& each : cases) {
    if (each.is_reference) std::printf("reference %s\n", each.name.c_str());
    each.work(each.count / 10 + 1);  // caches, page faults, clock frequency
  }
  for (long round = 0; round < rounds; ++round) {
    for (std::size_t turn = 0; turn < cases.size(); ++turn) {
      const Case& each = cases[(turn + static_cast<std::size_t>(round)) % cases.size()];
      const auto start = std::chrono::steady_clock::now();
      each.work(each.count);
      const std::chrono::duration<double, std::nano> spent = std::chrono::steady_clock::now() - start;
      std::printf("round %s\t%.3f\n", each.name.c_str(), spent.count() / static_cast<double>(each.count));
      std::fflush(stdout);
    }
  }
  return 0;
}

}  // namespace portolan::bench
