// SPDX-License-Identifier: BSD-2-Clause
//
// Simulates the PCP server engine under every request there is: see engine_run.h. A run is repeated from
// its seed: `engine_sim --seed N`.
#include <cstdio>
#include <optional>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "sim/engine_run.h"

namespace {

auto simulate(std::uint64_t seed, std::uint64_t steps) -> std::optional<std::string> {
  portolan::sim::SeededChoices choices(seed);
  portolan::sim::EngineRun run(choices);
  for (std::uint64_t step = 1; step <= steps; ++step)
    if (auto broken = run.step()) return fmt::format("step {}: {}", step, *broken);
  if (auto left = run.run_out()) return fmt::format("run out: {}", *left);
  if (run.answered() < steps / 20) return fmt::format("only {} answers", run.answered());
  return {};
}

}  // namespace

auto main(int argc, char** argv) -> int {
  std::uint64_t seed = 1;
  std::uint64_t runs = 1;
  std::uint64_t steps = 3000;
  CLI::App app("Simulates the PCP server engine under every request there is", "engine_sim");
  app.add_option("--seed", seed, "First seed")->capture_default_str();
  app.add_option("--runs", runs, "Runs, each with the next seed")->capture_default_str();
  app.add_option("--steps", steps, "Steps of a run")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  for (std::uint64_t run = 0; run < runs; ++run) {
    // A failed check of the engine's own ends the program: then this is the last line.
    fmt::print(stderr, "seed {}\n", seed + run);
    if (const auto broken = simulate(seed + run, steps)) {
      fmt::print(stderr, "seed {}: {}\n", seed + run, *broken);
      return 1;
    }
    if ((run + 1) % 50 == 0 || run + 1 == runs) fmt::print("{} of {} runs hold\n", run + 1, runs);
  }
  return 0;
}
