// SPDX-License-Identifier: BSD-2-Clause
//
// Where a SIP URI leads, as far as a phone looks at it: host and port. Sofia-SIP reads the rest.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "base/address.h"

namespace portolan::sip {

/// RFC 3261 s19.1.2
inline constexpr Port default_port{5060};

/// "mysip.example", "192.0.2.13:5070", "[2001:db8::13]:5070" (RFC 3261 s25.1).
struct HostPort {
  std::string host;  ///< a name, or an address without brackets
  std::optional<Port> port = {};
  auto operator==(const HostPort&) const -> bool = default;
};

/// Errors  text: names what was given, and a remedy
[[nodiscard]] auto parse_host_port(std::string_view text) -> std::expected<HostPort, std::string>;

/// Of "sip:13@192.0.2.11:6060;x=y".
///
/// Errors  text: names what was given, and a remedy; also for sips:, since this phone has no TLS
[[nodiscard]] auto parse_uri(std::string_view text) -> std::expected<HostPort, std::string>;

/// "sip:[2001:db8::13]:5070": the endpoint as a URI.
[[nodiscard]] auto uri_of(const Endpoint& endpoint) -> std::string;

}  // namespace portolan::sip
