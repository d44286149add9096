// SPDX-License-Identifier: BSD-2-Clause
//
// The PCP server engine under any order of requests, device and store results, failures, changes of the
// pool and time. Properties: those of sim/engine_run.h, after every step and when all has become quiet.
#include <cstddef>
#include <cstdint>
#include <span>

#include "fuzz/run_check.h"
#include "sim/engine_run.h"

namespace portolan::sim {

extern "C" auto LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) -> int {
  ScriptedChoices choices(std::as_bytes(std::span(data, size)));
  EngineRun run(choices);
  check_run(run, choices);
  return 0;
}

}  // namespace portolan::sim
