// SPDX-License-Identifier: BSD-2-Clause
//
// Ports that the kernel gives to no socket unless it is asked for them by number: what the sysctl
// net.ipv4.ip_local_reserved_ports lists.
#pragma once

#include <cstddef>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/port_range.h"

namespace portolan::io {

/// "40000-49999".
[[nodiscard]] auto to_string(const PortRange& ports) -> std::string;
/// The inverse of to_string(); a single number is a range too. nullopt where the first is above the last.
[[nodiscard]] auto parse_port_range(std::string_view text) -> std::optional<PortRange>;

/// True if it reserved them, false if they were reserved already. Errors  some were, others not: what is ours
/// could not be told from what is not
[[nodiscard]] auto reserve_ports(const PortRange& ports) -> std::expected<bool, std::string>;
/// True if it ended that, false if not all of them are reserved.
[[nodiscard]] auto release_ports(const PortRange& ports) -> std::expected<bool, std::string>;

/// How many ports the kernel still has for sockets that ask for any: those of net.ipv4.ip_local_port_range
/// that are not reserved, `taken` apart.
[[nodiscard]] auto free_choice_without(const PortRange& taken) -> std::expected<std::size_t, std::string>;

/// Ports among `ports` that TCP or UDP sockets of this host have, in order, each once: "tcp 40001".
[[nodiscard]] auto sockets_at(const PortRange& ports) -> std::vector<std::string>;

}  // namespace portolan::io
