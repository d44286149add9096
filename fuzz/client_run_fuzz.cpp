// SPDX-License-Identifier: BSD-2-Clause
//
// PCP clients, server and links under any order of wishes, losses, restarts and changes of addresses.
// Properties: those of sim/client_run.h, after every step and when all is mended and quiet.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>

#include "sim/client_run.h"

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
  ClientRun run(choices, 1);
  while (!choices.is_used_up()) expect_nothing(run.step());
  expect_nothing(run.quiesce());
  return 0;
}

}  // namespace portolan::sim
