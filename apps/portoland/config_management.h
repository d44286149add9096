// SPDX-License-Identifier: BSD-2-Clause
//
// Table management of portoland's configuration.
#pragma once

#include "gateway/config_reader.h"
#include "portoland/config.h"

namespace portolan::portoland::detail {

/// Reads [management], and the file of tokens that it names. Without the table the API is at a UNIX socket of
/// the runtime directory, which is read before.
void read_management(gateway::Reader& reader, const toml::table& root, Settings& settings);

/// Everything but the tokens is fixed at start.
void refuse_management_changes(gateway::Reader& reader, const toml::table& root,
                               const ManagementSettings& wanted, const ManagementSettings& running);

}  // namespace portolan::portoland::detail
