// SPDX-License-Identifier: BSD-2-Clause
//
// Kernel settings under /proc/sys by their sysctl(8) name.
#pragma once

#include <cstddef>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "base/address.h"

namespace portolan::io {

/// No value is that long; ip_local_reserved_ports with every other port is the longest.
inline constexpr std::size_t sysctl_octets_max = std::size_t{1} << 20U;

/// Value without its line end, whole. `name` is "net.ipv4.ip_forward", or with slashes where a part itself
/// has a dot ("net/ipv4/conf/eth0.7/proxy_arp").
[[nodiscard]] auto read_sysctl(std::string_view name) -> std::expected<std::string, std::string>;
/// Errors  also if the kernel took only a part of it
[[nodiscard]] auto write_sysctl(std::string_view name, std::string_view value)
    -> std::expected<void, std::string>;

/// The setting that lets this host forward packets of a family.
[[nodiscard]] auto forwarding_sysctl(Family family) -> std::string_view;

/// nullopt if this host forwards packets of `family`; else a sentence with the remedy, for the log.
[[nodiscard]] auto forwarding_complaint(Family family) -> std::optional<std::string>;

}  // namespace portolan::io
