// SPDX-License-Identifier: BSD-2-Clause
//
// What the settings mean to the engines.
#pragma once

#include "portoland/config.h"
#include "server/config.h"

namespace portolan::portoland {

/// The server engine's configuration; its epoch begins at the time given.
[[nodiscard]] auto server_config(const Settings& settings, TimePoint now) -> server::Config;

}  // namespace portolan::portoland
