// SPDX-License-Identifier: BSD-2-Clause
//
// Octets of the store's file. Property: rows that can be read are written as octets that say the same, and so
// do their lines of JSON.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/check.h"
#include "store/json_rows.h"
#include "store/sqlite/row_codec.h"

namespace {

using namespace portolan;         // NOLINT(google-build-using-namespace): a program of one file
using namespace portolan::store;  // NOLINT(google-build-using-namespace)

auto octets_of(const Row& row) -> std::vector<std::byte> {
  std::vector<std::byte> octets;
  append_row(row, {}, octets);
  return octets;
}

auto read(std::span<const std::byte> octets) -> std::optional<Row> {
  const auto encoded = take_row(octets);
  return encoded ? decode_row(*encoded, {}) : std::nullopt;
}

}  // namespace

extern "C" auto LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) -> int {
  std::span<const std::byte> rest = std::as_bytes(std::span(data, size));
  while (const auto encoded = take_row(rest)) {
    const auto row = decode_row(*encoded, {});
    if (!row) continue;
    const auto octets = octets_of(*row);
    const auto again = read(octets);
    PORTOLAN_CHECK(again && octets_of(*again) == octets);
    // Lines have whole seconds, and no times that RFC 6887 has no room for.
    const std::string line = to_json(*row, TimePoint{});
    if (const auto parsed = parse_json(line, TimePoint{}))
      PORTOLAN_CHECK(to_json(*parsed, TimePoint{}) == line);
  }
  return 0;
}
