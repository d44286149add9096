// SPDX-License-Identifier: BSD-2-Clause
//
// Simulates PCP clients, server and links: see client_run.h.
#include <cstdio>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "sim/client_run.h"
#include "sim/simulator.h"

namespace {

struct Granted {
  std::uint64_t runs = 0;
  std::uint64_t in_all = 0;
  std::uint64_t by_nat_pmp = 0;
};

auto simulate(std::uint64_t seed, std::uint64_t steps, Granted& granted) -> std::optional<std::string> {
  portolan::sim::SeededChoices choices(seed);
  portolan::sim::ClientRun run(choices, seed);
  for (std::uint64_t step = 1; step <= steps; ++step)
    if (auto broken = run.step()) return fmt::format("step {}: {}", step, *broken);
  if (auto left = run.run_out()) return fmt::format("when all was quiet: {}", *left);
  ++granted.runs;
  granted.in_all += run.granted();
  granted.by_nat_pmp += run.granted_by_nat_pmp();
  return {};
}

}  // namespace

auto main(int argc, char** argv) -> int {
  Granted granted;
  const int status = portolan::sim::simulate(
      {.name = "client_sim",
       .description = "Simulates PCP clients, server and links",
       .steps = 40,
       .lot = 100,
       .run = [&granted](std::uint64_t seed, std::uint64_t steps) { return simulate(seed, steps, granted); }},
      argc, argv);
  // Of one run nothing can be said.
  const bool are_few = granted.in_all < granted.runs || granted.by_nat_pmp < granted.runs / 20;
  fmt::print("{} mappings granted, {} of them by NAT-PMP{}\n", granted.in_all, granted.by_nat_pmp,
             granted.runs >= 20 && are_few ? ": too few" : "");
  return status == 0 && granted.runs >= 20 && are_few ? 1 : status;
}
