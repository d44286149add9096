// SPDX-License-Identifier: BSD-2-Clause
//
// Filters and octets as people write them: on the command line, in the agent's file and in its memory.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/remote_filter.h"

namespace portolan {

/// "2001:db8:64::/96", "198.51.100.0/24", "198.51.100.7", each with ",PORT" behind or not.
[[nodiscard]] auto parse_remote_filter(std::string_view text) -> std::optional<RemoteFilter>;
[[nodiscard]] auto text_of(const RemoteFilter& filter) -> std::string;

/// Reads what plain_hex() writes.
[[nodiscard]] auto parse_octets(std::string_view text) -> std::optional<std::vector<std::byte>>;

}  // namespace portolan
