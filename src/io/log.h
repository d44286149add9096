// SPDX-License-Identifier: BSD-2-Clause
//
// Sets up spdlog's default logger once at start; programs then log with spdlog itself.
#pragma once

#include <expected>
#include <string>
#include <string_view>

namespace portolan::io {

/// Logs to stderr from `level` (trace, debug, info, warning, error, off) up. On a terminal: time and
/// colour; under systemd's journal: a priority prefix and nothing the journal adds itself; else time.
/// Errors  unknown level
[[nodiscard]] auto set_up_log(std::string_view level) -> std::expected<void, std::string>;

}  // namespace portolan::io
