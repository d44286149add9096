// SPDX-License-Identifier: BSD-2-Clause
//
// Tells systemd about the state of a service (Type=notify), without libsystemd: one datagram to the
// socket named by NOTIFY_SOCKET, see sd_notify(3).
#pragma once

#include <expected>
#include <string>
#include <string_view>

namespace portolan::io {

/// Sends assignments separated by line ends: "READY=1\nSTATUS=serving 2 links", "STOPPING=1",
/// "WATCHDOG=1". True if sent, false if the program does not run as such a service.
auto notify_service_manager(std::string_view assignments) -> std::expected<bool, std::string>;

}  // namespace portolan::io
