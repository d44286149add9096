// SPDX-License-Identifier: BSD-2-Clause
//
// portolan-nat64 show and trace: asks a running gateway, and prints what it says.
#pragma once

#include <string>

#include "control/messages.h"
#include "io/stream.h"

namespace portolan::nat64 {

inline constexpr int exit_fine = 0;
inline constexpr int exit_failure = 1;
inline constexpr int exit_usage = 2;
inline constexpr int exit_dropped = 3;  ///< trace: the packet would be dropped

struct Asking {
  std::string connect = "unix:/run/portolan/nat64.sock";
  io::TlsFiles tls;
  bool is_json = false;
};

/// Asks and prints to standard output as answers come, mistakes to standard error; the exit code.
[[nodiscard]] auto ask(const Asking& asking, const control::Request& query) -> int;

}  // namespace portolan::nat64
