// SPDX-License-Identifier: BSD-2-Clause
//
// Simulates PCP clients, server and links: see client_run.h. A run is repeated from its seed:
// `client_sim --seed N`.
#include <cstdio>
#include <optional>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "sim/client_run.h"

namespace {

struct Granted {
  std::uint64_t in_all = 0;
  std::uint64_t by_nat_pmp = 0;
};

auto simulate(std::uint64_t seed, std::uint64_t steps, Granted& granted) -> std::optional<std::string> {
  portolan::sim::SeededChoices choices(seed);
  portolan::sim::ClientRun run(choices, seed);
  for (std::uint64_t step = 1; step <= steps; ++step)
    if (auto broken = run.step()) return fmt::format("step {}: {}", step, *broken);
  if (auto left = run.run_out()) return fmt::format("when all was quiet: {}", *left);
  granted.in_all += run.granted();
  granted.by_nat_pmp += run.granted_by_nat_pmp();
  return {};
}

}  // namespace

auto main(int argc, char** argv) -> int {
  std::uint64_t seed = 1;
  std::uint64_t runs = 1;
  std::uint64_t steps = 100;
  CLI::App app("Simulates PCP clients, server and links", "client_sim");
  app.add_option("--seed", seed, "First seed")->capture_default_str();
  app.add_option("--runs", runs, "Runs, each with the next seed")->capture_default_str();
  app.add_option("--steps", steps, "Steps of a run")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  Granted granted;
  for (std::uint64_t run = 0; run < runs; ++run) {
    // A failed check of an engine's own ends the program: then this is the last line.
    if (runs <= 1000) fmt::print(stderr, "seed {}\n", seed + run);
    if (const auto broken = simulate(seed + run, steps, granted)) {
      fmt::print(stderr, "seed {}: {}\n", seed + run, *broken);
      return 1;
    }
    if ((run + 1) % 100 == 0 || run + 1 == runs)
      fmt::print("{} of {} runs hold, {} mappings granted, {} of them by NAT-PMP\n", run + 1, runs,
                 granted.in_all, granted.by_nat_pmp);
  }
  // Of one run nothing can be said.
  if (runs >= 20 && (granted.in_all < runs || granted.by_nat_pmp < runs / 20)) {
    fmt::print(stderr, "only {} mappings in {} runs, {} of them by NAT-PMP\n", granted.in_all, runs,
               granted.by_nat_pmp);
    return 1;
  }
  return 0;
}
