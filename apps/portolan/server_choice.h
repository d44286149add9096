// SPDX-License-Identifier: BSD-2-Clause
//
// Which PCP server to ask and which address of this host to ask from (RFC 6887 s8.1, s8.4).
#pragma once

#include <expected>
#include <optional>
#include <string>

#include "base/address.h"
#include "base/time.h"
#include "io/resolve.h"
#include "portolan/options.h"

namespace portolan {

struct ServerChoice {
  io::ScopedAddress server;
  Port port;
  /// Source of the requests and internal address of the mapping: one and the same (RFC 6887 s8.1).
  IpAddress client_address;
  /// When this host loses that address, if it will.
  std::optional<TimePoint> address_valid_until = {};

  /// "2001:db8::1" or "fe80::1%eth0".
  [[nodiscard]] auto address_text() const -> std::string;
  /// "[fe80::1%eth0]:5351".
  [[nodiscard]] auto endpoint_text() const -> std::string;

  /// Finds out how long this host has the client address. Whether it has it at all.
  auto look_at_address() -> bool;
};

/// Blocks while a name is resolved. Errors are text with a remedy.
[[nodiscard]] auto choose_server(const ServerOptions& options) -> std::expected<ServerChoice, Exit>;

}  // namespace portolan
