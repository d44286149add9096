// SPDX-License-Identifier: BSD-2-Clause
#include "sim/simulator.h"

#include <algorithm>
#include <cstdio>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace portolan::sim {

auto simulate(const Simulator& simulator, int argc, char** argv) -> int {
  std::uint64_t seed = 1;
  std::uint64_t runs = 1;
  std::uint64_t steps = simulator.steps;
  bool breaks = false;
  CLI::App app(simulator.description, simulator.name);
  app.add_option("--seed", seed, "First seed")->capture_default_str();
  app.add_option("--runs", runs, "Runs, each with the next seed")->capture_default_str();
  app.add_option("--steps", steps, "Steps of a run")->capture_default_str();
  app.add_flag("--break", breaks, "Take the first run for one that fails: to see what is told of it");
  CLI11_PARSE(app, argc, argv);
  for (std::uint64_t run = 0; run < runs; ++run) {
    // A failed check of an engine's own ends the program: then this is the last line.
    if (run % simulator.lot == 0)
      fmt::print(stderr, "{} of {} runs hold; next: {} --seed {} --runs {} --steps {}\n", run, runs,
                 simulator.name, seed + run, std::min(simulator.lot, runs - run), steps);
    auto broken = simulator.run(seed + run, steps);
    if (breaks && !broken) broken = "broken on purpose";
    if (!broken) continue;
    fmt::print(stderr, "seed {}: {}\nrepeat with: {} --seed {} --steps {}\n", seed + run, *broken,
               simulator.name, seed + run, steps);
    return 1;
  }
  fmt::print("{} of {} runs hold\n", runs, runs);
  return 0;
}

}  // namespace portolan::sim
