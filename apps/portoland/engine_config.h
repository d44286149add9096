// SPDX-License-Identifier: BSD-2-Clause
//
// What the settings mean to the engines.
#pragma once

#include "nat/config.h"
#include "portoland/config.h"
#include "server/config.h"

namespace portolan::portoland {

/// The server engine's configuration; its epoch begins at the time given.
[[nodiscard]] auto server_config(const Settings& settings, TimePoint now) -> server::Config;
/// The NAT64's; whether it is one that can be had is nat::check()'s to say.
[[nodiscard]] auto nat64_config(const Nat64Settings& settings) -> nat::Config;

}  // namespace portolan::portoland
