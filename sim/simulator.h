// SPDX-License-Identifier: BSD-2-Clause
//
// What the simulators' programs have in common: runs from one seed after the other, and the words by which
// the one that fails is repeated.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace portolan::sim {

struct Simulator {
  std::string name;         ///< of the program
  std::string description;  ///< for --help
  std::uint64_t steps = 0;  ///< of a run, unless told otherwise
  std::uint64_t lot = 1;    ///< runs until it tells again how far it is
  /// One run. Out  what does not hold; nothing if all does
  std::function<std::optional<std::string>(std::uint64_t seed, std::uint64_t steps)> run;
};

/// The whole program. Out  its exit status
[[nodiscard]] auto simulate(const Simulator& simulator, int argc, char** argv) -> int;

}  // namespace portolan::sim
