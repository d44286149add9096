// SPDX-License-Identifier: BSD-2-Clause
//
// Simulates the PCP server engine under every request there is: see engine_run.h.
#include <optional>
#include <string>

#include <fmt/format.h>

#include "sim/engine_run.h"
#include "sim/simulator.h"

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
  return portolan::sim::simulate(
      {.name = "engine_sim",
       .description = "Simulates the PCP server engine under every request there is",
       .steps = 3000,
       .run = simulate},
      argc, argv);
}
