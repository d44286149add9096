// SPDX-License-Identifier: BSD-2-Clause
//
// Always-on assertion for bugs in our own logic. Never used on input from users, files or the network.
#pragma once

namespace portolan {

/// Prints the failed condition and its place to stderr, then aborts.
[[noreturn]] void check_failed(const char* condition, const char* file, int line) noexcept;

}  // namespace portolan

/// Aborts with a message if `condition` is false, in every build type.
#define PORTOLAN_CHECK(condition)                      \
  (static_cast<bool>(condition) ? static_cast<void>(0) \
                                : ::portolan::check_failed(#condition, __FILE__, __LINE__))
