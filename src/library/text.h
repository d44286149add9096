// SPDX-License-Identifier: BSD-2-Clause
//
// The texts of the library's interface: servers as a program names them, and mappings as a later run takes
// them up again.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/time.h"
#include "client/client.h"

namespace portolan::library {

/// An address of a server; `zone` is the interface of a link-local one.
struct ServerAddress {
  Endpoint endpoint;
  std::string zone;
  auto operator==(const ServerAddress&) const -> bool = default;
};

/// Reads "192.0.2.1,[2001:db8::1]:5351,fe80::1%eth0"; the port is PCP's unless given.
/// Errors  text: what is wrong with which address, and what to write
[[nodiscard]] auto parse_server(std::string_view text)
    -> std::expected<std::vector<ServerAddress>, std::string>;

/// Both clocks at one moment: mappings outlive a run by the wall clock.
struct Moment {
  TimePoint now;
  Nanoseconds wall{0};
};

/// One line for each server that grants the mapping.
[[nodiscard]] auto save_text(const std::vector<client::Held>& held, const Moment& moment) -> std::string;

/// Reads save_text(). What has expired meanwhile is there still, and so are its nonce and external endpoint.
/// A wall clock that went back counts as if no time had passed. Errors  text: which line is none
[[nodiscard]] auto parse_saved(std::string_view text, const Moment& moment)
    -> std::expected<std::vector<client::Held>, std::string>;

/// A sentence for people about what happened.
[[nodiscard]] auto describe(const client::ClientEvent& event) -> std::string;

}  // namespace portolan::library
