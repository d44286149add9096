// SPDX-License-Identifier: BSD-2-Clause
//
// What the engine knows, as members of JSON objects. row.cpp is where the names of C++ become those of JSON:
// of RFC 8512 where it has them (schema/fields.json says what each means). Strings of clients are any octets;
// those that are no UTF-8 come as U+FFFD.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/time.h"
#include "device/pool_use.h"
#include "server/management.h"
#include "server/server.h"

namespace portolan::management {

using Cell = std::variant<bool, std::uint64_t, std::string, std::vector<std::string>>;
/// Members in their order; what is not there is not known, or does not apply.
using Row = std::vector<std::pair<std::string_view, Cell>>;

/// On one line.
[[nodiscard]] auto to_json(const Row& row) -> std::string;

[[nodiscard]] auto row_of(const server::UserView& user) -> Row;
[[nodiscard]] auto row_of(const server::MappingView& mapping) -> Row;
[[nodiscard]] auto row_of(const server::RuntimeSettings& settings) -> Row;
[[nodiscard]] auto row_of(const server::Gauges& gauges) -> Row;
/// `since_epoch` is when it happened, as wall time.
[[nodiscard]] auto row_of(const server::Event& event, Nanoseconds since_epoch, TimePoint now) -> Row;

/// "2026-11-26T18:23:39.123Z": UTC, to the millisecond.
[[nodiscard]] auto time_text(Nanoseconds since_epoch) -> std::string;

/// Of a device, by its name in the configuration.
struct Pool {
  std::string device;
  device::PoolUse use;
};
[[nodiscard]] auto row_of(const Pool& pool) -> Row;

struct Counter {
  std::string_view group;
  std::string name;
  std::uint64_t value = 0;
};
[[nodiscard]] auto row_of(const Counter& counter) -> Row;
/// What the engine has counted.
[[nodiscard]] auto counters_of(const server::Counters& counters) -> std::vector<Counter>;

}  // namespace portolan::management
