// SPDX-License-Identifier: BSD-2-Clause
//
// What a request line asks for (RFC 3986): path and query. No I/O.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace portolan::management {

/// Members of one query; there is no command with more parameters.
constexpr std::size_t query_members_max = 64;

struct Target {
  std::string path;
  /// Names and values, with %XX and '+' resolved.
  std::vector<std::pair<std::string, std::string>> query;
};

/// Reads "/v1/users?limit=3". Errors: what is wrong
[[nodiscard]] auto parse_target(std::string_view text) -> std::expected<Target, std::string>;

}  // namespace portolan::management
