// SPDX-License-Identifier: BSD-2-Clause
//
// The parts of the configuration that are about the protocol and its users.
#pragma once

#include "gateway/config_reader.h"
#include "portoland/config.h"

namespace portolan::portoland::detail {

using gateway::Reader;

/// Table pcp.
void read_pcp(Reader& reader, const toml::table& root, Settings& settings);
/// Tables user: who has other rights than table pcp gives; to be read after it. Tables third_party_id.
void read_users(Reader& reader, const toml::table& root, Settings& settings);
/// Tables prefix64; without any, the prefix of table nat64. To be read after that.
void read_prefix64(Reader& reader, const toml::table& root, Settings& settings);

}  // namespace portolan::portoland::detail
