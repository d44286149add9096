// SPDX-License-Identifier: BSD-2-Clause
//
// Another program that runs beside this one.
#pragma once

#include <sys/types.h>

#include <expected>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace portolan::io {

/// Starts a program, looked for in PATH, with this one's descriptors and environment, some variables of it
/// set to other values. Descriptors of this one that are closed on exec are not its.
///
/// In      arguments: the name and what follows it
/// Errors  text: it is not there, it can't be started
[[nodiscard]] auto start_program(const std::vector<std::string>& arguments,
                                 const std::vector<std::pair<std::string, std::string>>& environment)
    -> std::expected<pid_t, std::string>;

/// A program that has ended, and its exit code, or 128 + the signal that ended it. Nothing: all run.
struct EndedProgram {
  pid_t process = 0;
  int exit_code = 0;
};
[[nodiscard]] auto take_ended_program() -> std::optional<EndedProgram>;

void signal_program(pid_t process, int signal);

/// From now on, what programs started here leave behind become children of this process, however deep.
void adopt_orphans();
/// Whether any child is there, of whichever kind.
[[nodiscard]] auto has_children() -> bool;
/// Those children.
[[nodiscard]] auto own_children() -> std::vector<pid_t>;

}  // namespace portolan::io
