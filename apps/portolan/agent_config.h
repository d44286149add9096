// SPDX-License-Identifier: BSD-2-Clause
//
// The agent's configuration file: mappings to keep, and whom to ask if not those found.
#pragma once

#include <cstddef>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "client/wish.h"
#include "portolan/keeper.h"

namespace portolan {

/// Mappings of one agent, those of its file and those asked for over its socket together.
inline constexpr std::size_t agent_mappings_max = 256;
inline constexpr std::size_t agent_servers_max = 16;
/// What the agent asks for. Below, it would do nothing else (RFC 6887 s15).
inline constexpr Seconds agent_lifetime_min{120};
inline constexpr Seconds agent_lifetime_max{86400};

struct AgentConfig {
  KeeperSettings keeper;
  std::vector<client::Wish> wishes;
};

/// Names a mapping of an agent, which has one of a name: "tcp 8080 ipv4", with "to 198.51.100.7:5060" behind
/// that of a connection, and "for 2001:db8::7" of another host.
[[nodiscard]] auto key_of(const client::Wish& wish) -> std::string;

/// Reads the file's text. Errors: each mistake as "FILE:LINE: key = value: problem and remedy"
[[nodiscard]] auto parse_agent_config(std::string_view text, std::string_view file)
    -> std::expected<AgentConfig, std::vector<std::string>>;

}  // namespace portolan
