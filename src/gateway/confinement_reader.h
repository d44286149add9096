// SPDX-License-Identifier: BSD-2-Clause
//
// Reading run_as and unexpected_calls.
#pragma once

#include "gateway/config_reader.h"
#include "gateway/confinement.h"

namespace portolan::gateway {

[[nodiscard]] auto read_confinement(Reader& reader, const toml::table& root) -> ConfinementSettings;
/// Rights are given up at start, and for good.
void refuse_changes(Reader& reader, const toml::table& root, const ConfinementSettings& wanted,
                    const ConfinementSettings& running);

}  // namespace portolan::gateway
