// SPDX-License-Identifier: BSD-2-Clause
//
// Reading section [nat64], and comparing it with the one that runs.
#pragma once

#include <string_view>

#include "gateway/config_reader.h"
#include "gateway/nat64_settings.h"

namespace portolan::gateway {

/// Reads section [nat64] of `root`; mistakes go to `reader`. `wanted_by` names what can't do without the
/// section; empty: it may be missing, and what it says is not looked at as a whole.
void read_nat64(Reader& reader, const toml::table& root, std::string_view wanted_by, Nat64Settings& settings);

/// Every setting in which `wanted` differs from `running` and that is fixed at start is an error.
void refuse_changes(Reader& reader, const toml::table& root, const Nat64Settings& wanted,
                    const Nat64Settings& running);

}  // namespace portolan::gateway
