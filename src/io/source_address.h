// SPDX-License-Identifier: BSD-2-Clause
//
// Which address of this host its traffic leaves from: the kernel's own choice (RFC 6724 s5).
#pragma once

#include <cstdint>
#include <expected>
#include <string>

#include "base/address.h"

namespace portolan::io {

/// The address the kernel would use towards `destination`, by way of `device` unless that is empty. Nothing
/// is sent: connecting a UDP socket only looks up the route.
///
/// In      scope_id: interface index of a link-local destination, else 0
/// Errors  text: there is no way to it
[[nodiscard]] auto source_towards(const IpAddress& destination, std::uint32_t scope_id = 0,
                                  const std::string& device = {}) -> std::expected<IpAddress, std::string>;

/// The address the host's traffic leaves from towards a server and what is behind it. Towards a link-local or
/// unique local server (fc00::/7) that is the source towards the rest of the world by the same interface, if
/// there is a way: a mapping to an address like the server's own would reach nobody (RFC 6887 s8.4).
///
/// In      interface: by which a link-local server is reached; may be empty for others
[[nodiscard]] auto source_for_server(const IpAddress& server, std::uint32_t scope_id,
                                     const std::string& interface) -> std::expected<IpAddress, std::string>;

}  // namespace portolan::io
