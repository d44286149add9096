// SPDX-License-Identifier: BSD-2-Clause
//
// The PCP server engine under any order of requests, device and store results, failures, changes of the
// pool and time. Properties: those of sim/engine_run.h, after every step and when all has become quiet.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>

#include "sim/engine_run.h"

namespace portolan::sim {
namespace {

void expect_nothing(const std::optional<std::string>& broken) {
  if (!broken) return;
  std::fprintf(stderr, "%s\n", broken->c_str());
  std::abort();
}

}  // namespace

extern "C" auto LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) -> int {
  ScriptedChoices choices(std::as_bytes(std::span(data, size)));
  EngineRun run(choices);
  while (!choices.is_used_up()) expect_nothing(run.step());
  expect_nothing(run.run_out());
  return 0;
}

}  // namespace portolan::sim
