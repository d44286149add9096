// SPDX-License-Identifier: BSD-2-Clause
//
// Which settings may change while portoland runs, and which only a restart changes.
#pragma once

#include "portoland/config.h"
#include "portoland/config_reader.h"

namespace portolan::portoland::detail {

/// Every setting in which `wanted` differs from `running` and that is fixed at start is an error.
void refuse_changes(Reader& reader, const toml::table& root, const Settings& wanted, const Settings& running);

}  // namespace portolan::portoland::detail
