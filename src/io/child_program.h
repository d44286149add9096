// SPDX-License-Identifier: BSD-2-Clause
//
// Another program, run to its end.
#pragma once

#include <sys/types.h>

#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace portolan::io {

struct ProgramEnd {
  pid_t process = 0;
  int exit_code = 0;   ///< 128 + the signal that ended it
  std::string errors;  ///< what it wrote to standard error, or the beginning of much
};

/// Runs a program without a shell, and waits for its end.
/// In      name: looked for in PATH, then in /usr/sbin and /sbin, which daemons and users may not have there;
///         arguments: those behind the name; input: its standard input
/// Errors  text: it is not there, it can't be started
[[nodiscard]] auto run_program(const std::string& name, std::vector<std::string> arguments,
                               std::string_view input) -> std::expected<ProgramEnd, std::string>;

}  // namespace portolan::io
