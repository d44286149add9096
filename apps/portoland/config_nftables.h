// SPDX-License-Identifier: BSD-2-Clause
//
// Tables nat44 and firewall6: the devices that work by nftables.
#pragma once

#include "gateway/config_reader.h"
#include "portoland/config.h"

namespace portolan::portoland::detail {

using gateway::Reader;

/// Table nat44, which device "nat44" needs. To be read after the devices, the inside interfaces and table
/// nat64.
void read_nat44(Reader& reader, const toml::table& root, Settings& settings);
/// Table firewall6, which device "firewall6" needs; to be read likewise.
void read_firewall6(Reader& reader, const toml::table& root, Settings& settings);

/// What of the table only a restart changes: all but the pool, and all.
void refuse_changes(Reader& reader, const toml::table& root, const device::Nat44Settings& wanted,
                    const device::Nat44Settings& running);
void refuse_changes(Reader& reader, const toml::table& root, const device::Firewall6Settings& wanted,
                    const device::Firewall6Settings& running);

}  // namespace portolan::portoland::detail
