// SPDX-License-Identifier: BSD-2-Clause
//
// Files of schemas 1 to 3: the table `journal` had rows in the order of commits, and the tables `mapping`
// and `note` what was folded of it. Rows of one are rows of the next.
#pragma once

#include <expected>
#include <functional>
#include <optional>
#include <string>

#include "store/sqlite/database.h"
#include "store/sqlite/row_codec.h"

namespace portolan::store {

/// Nothing if nothing was ever committed.
[[nodiscard]] auto last_stamp_of_old_schema(Database& database)
    -> std::expected<std::optional<Stamp>, std::string>;

/// Calls `take` with what was committed, in order; octets are valid during the call.
using TakeEncoded = std::function<std::expected<void, std::string>(
    RowKind kind, bool is_dropped, std::span<const std::byte> key, std::span<const std::byte> value)>;
[[nodiscard]] auto read_old_schema(Database& database, const TakeEncoded& take)
    -> std::expected<void, std::string>;

constexpr const char* drop_old_schema = "DROP TABLE journal; DROP TABLE mapping; DROP TABLE note";

}  // namespace portolan::store
