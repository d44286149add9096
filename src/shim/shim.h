// SPDX-License-Identifier: BSD-2-Clause
//
// What the shim tells `portolan run`: "open COOKIE tcp|udp 4|6|both ADDRESS PORT".
#pragma once

#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>

namespace portolan::shim {

inline constexpr size_t report_octets_max = 128;

/// Writes the line about a socket that listens or is bound; 0 if nobody else could reach it, or it is none.
[[nodiscard]] auto describe_socket(int descriptor, decltype(&::getsockname) getsockname,
                                   char (&text)[report_octets_max]) -> size_t;

}  // namespace portolan::shim
