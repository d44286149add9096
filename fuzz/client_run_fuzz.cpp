// SPDX-License-Identifier: BSD-2-Clause
//
// PCP clients, server and links under any order of wishes, losses, restarts and changes of addresses.
// Properties: those of sim/client_run.h, after every step and when all is mended and quiet.
#include <cstddef>
#include <cstdint>
#include <span>

#include "fuzz/run_check.h"
#include "sim/client_run.h"

namespace portolan::sim {

extern "C" auto LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) -> int {
  ScriptedChoices choices(std::as_bytes(std::span(data, size)));
  ClientRun run(choices, 1);
  check_run(run, choices);
  return 0;
}

}  // namespace portolan::sim
