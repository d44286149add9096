// SPDX-License-Identifier: BSD-2-Clause
//
// The command line of `portolan run`.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/time.h"
#include "portolan/keeper.h"
#include "portolan/run_sockets.h"

namespace CLI {  // NOLINT(readability-identifier-naming): the library's name.
class App;
}

namespace portolan {

/// `run` itself failed, and what it was to run did not begin, as env(1) has it.
constexpr int exit_cannot_run = 125;
/// Ports that --expose may name.
constexpr std::size_t exposed_max = 32;

struct RunCommand {
  KeeperSettings keeper;
  Seconds lifetime{7200};
  Family external = Family::ipv4;
  /// Mapped before the program starts, and told to it; of each port one for each family.
  std::vector<NeededMapping> exposed;
  Seconds patience{10};
  std::string hook;
  /// Folder of what makes its nonces.
  std::string state;
  std::vector<std::string> arguments;
};

/// Takes the program and its arguments, which stand behind the first "--", off the command line.
[[nodiscard]] auto take_program(std::vector<std::string>& words) -> std::vector<std::string>;
/// Throws CLI::ParseError if there is no program. `rest` is what no option took.
void check_combination(const RunCommand& command, const std::vector<std::string>& rest);
void add_run(CLI::App& app, RunCommand& command);

}  // namespace portolan
