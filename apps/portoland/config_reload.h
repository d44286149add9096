// SPDX-License-Identifier: BSD-2-Clause
//
// Which settings may change while portoland runs, and which only a restart changes.
#pragma once

#include "gateway/config_reader.h"
#include "portoland/config.h"

namespace portolan::portoland::detail {

using gateway::Reader;

/// Every setting in which `wanted` differs from `running` and that is fixed at start is an error.
void refuse_changes(Reader& reader, const toml::table& root, const Settings& wanted, const Settings& running);

}  // namespace portolan::portoland::detail
