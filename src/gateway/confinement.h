// SPDX-License-Identifier: BSD-2-Clause
//
// How a daemon gives up what it does not need: keys run_as and unexpected_calls of its configuration, and the
// two steps at which it does.
#pragma once

#include <expected>
#include <filesystem>
#include <string>
#include <vector>

#include "io/rights.h"
#include "io/system_calls.h"

namespace portolan::gateway {

struct ConfinementSettings {
  /// Empty: whoever starts it.
  std::string run_as;
  io::UnexpectedCalls unexpected_calls = io::UnexpectedCalls::refuse;
  auto operator==(const ConfinementSettings&) const -> bool = default;
};

/// What a daemon needs, by what it is told to do.
struct Needs {
  /// Folders of its own that it writes to.
  std::vector<std::filesystem::path> directories = {};
  /// For opening what is open from then on.
  std::vector<io::Capability> to_start = {};
  /// For reloading, for following what changes on the host, and for undoing at the end.
  std::vector<io::Capability> to_run = {};
  io::SystemCallNeeds system_calls = {};
};

/// Before anything is opened and any thread started. Errors  text for the operator
[[nodiscard]] auto begin_confined(const ConfinementSettings& settings, const Needs& needs)
    -> std::expected<void, std::string>;
/// Once everything is open. Errors  text for the operator
[[nodiscard]] auto confine(const ConfinementSettings& settings, const Needs& needs)
    -> std::expected<void, std::string>;

}  // namespace portolan::gateway
