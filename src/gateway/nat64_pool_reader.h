// SPDX-License-Identifier: BSD-2-Clause
//
// Reading the pool of a NAT64, and what subscribers may have of it.
#pragma once

#include <string_view>

#include "gateway/config_reader.h"
#include "gateway/nat64_settings.h"

namespace portolan::gateway {

/// Most addresses of a pool that an outside interface answers for one by one.
inline constexpr std::size_t proxied_addresses_max = 4096;

/// Ports of the gateway's own address below it are the host's.
inline constexpr Port own_port_min{1024};

/// Reads key pool of section [nat64].
void read_pool(Reader& reader, const toml::table& nat64, Nat64Settings& settings);
/// Reads table own_address of section [nat64].
void read_own_address(Reader& reader, const toml::table& nat64, Nat64Settings& settings);
/// Reads the first and the last port, if key is there. Whether it was, and they were fine.
auto read_port_range(Reader& reader, const toml::table& table, std::string_view where, std::string_view key,
                     PortRange& ports) -> bool;
/// Reads table deterministic of section [nat64]: ports by a plan.
void read_deterministic(Reader& reader, const toml::table& nat64, Nat64Settings& settings);

/// Reads what subscribers without a profile may have.
void read_allowance(Reader& reader, const toml::table& nat64, Nat64Settings& settings);
/// Changes of it that only a restart makes.
void refuse_changes_of_allowance(Comparison& nat64, const Nat64Settings& wanted,
                                 const Nat64Settings& running);

}  // namespace portolan::gateway
