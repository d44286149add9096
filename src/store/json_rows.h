// SPDX-License-Identifier: BSD-2-Clause
//
// Rows as lines of JSON, for people and other programs. Names are those of RFC 8512 where it has them, and
// of the management API. The first line says when the others were true; times in them are counted from then.
//
//   {"portolan-store":1,"time":"2026-11-26T18:00:00Z"}
//   {"epoch":{"epoch":86400}}
//   {"mapping":{"internal-src-address":"2001:db8:112::1","transport-protocol":"tcp","lifetime":7200,...}}
#pragma once

#include <cstddef>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "store/store.h"

namespace portolan::store {

/// A longer line is none of ours.
constexpr std::size_t json_line_octets_max = 1U << 20U;

/// The first line of a file written at `wall`, time since 1970.
[[nodiscard]] auto json_head(Nanoseconds wall) -> std::string;
/// When it was written. Errors  text for the operator
[[nodiscard]] auto parse_json_head(std::string_view line) -> std::expected<Nanoseconds, std::string>;

/// As UTC, to the second: "2026-11-26T18:00:00Z".
[[nodiscard]] auto to_utc(Nanoseconds wall) -> std::string;

/// One line, without its end; of a row that load() could return. A lifetime is rounded up: nobody's ends
/// earlier.
[[nodiscard]] auto to_json(const Row& row, TimePoint now) -> std::string;

/// `written`: the time of the server's line at which the line was true.
/// Errors  everything that is wrong with it, each as: field = value: what it must be
[[nodiscard]] auto parse_json(std::string_view line, TimePoint written)
    -> std::expected<Row, std::vector<std::string>>;

}  // namespace portolan::store
