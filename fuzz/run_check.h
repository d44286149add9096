// SPDX-License-Identifier: BSD-2-Clause
//
// What the fuzz targets of whole runs (sim/) do: an input is one run's decisions.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>

#include "sim/choices.h"

namespace portolan::sim {

inline void expect_nothing(const std::optional<std::string>& broken) {
  if (!broken) return;
  std::fprintf(stderr, "%s\n", broken->c_str());
  std::abort();
}

/// Step by step until the input is used up, and to the end from there.
template <typename Run>
void check_run(Run& run, const ScriptedChoices& choices) {
  while (!choices.is_used_up()) expect_nothing(run.step());
  expect_nothing(run.run_out());
}

}  // namespace portolan::sim
