// SPDX-License-Identifier: BSD-2-Clause
//
// Rows as octets. A change of them is a new schema version (commit_log.h). Times are on the store's time
// line.
//
//   row = kind (1; 0x80: the row of this key is dropped), octets of key (2), octets of value (4), key, value
//
// Two rows of one kind and key are the same thing; the later one counts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "store/store.h"

namespace portolan::store {

/// Most that a field of variable length may have; a longer one is no row of ours.
constexpr std::size_t field_octets_max = 65'535;

/// Adds `offset` to a time of the monotonic line to have it on the store's.
struct TimeLine {
  Nanoseconds offset{};
  [[nodiscard]] auto stored(TimePoint time) const -> Nanoseconds { return time.time_since_epoch() + offset; }
  [[nodiscard]] auto monotonic(Nanoseconds stored) const -> TimePoint { return TimePoint{stored - offset}; }
};

enum class RowKind : std::uint8_t {
  stamp = 1,
  epoch = 2,
  path = 3,
  mapping = 4,
  user = 5,
  static_mapping = 6
};

/// A row in the octets that it was taken from.
struct EncodedRow {
  RowKind kind{};
  bool is_dropped = false;
  std::span<const std::byte> key{};
  std::span<const std::byte> value{};
  /// All of it.
  std::span<const std::byte> octets{};
};

/// Adds the octets of `row` at the end of `octets`.
void append_row(const Row& row, const TimeLine& line, std::vector<std::byte>& octets);
void append_encoded(RowKind kind, bool is_dropped, std::span<const std::byte> key,
                    std::span<const std::byte> value, std::vector<std::byte>& octets);

/// Takes the next row off the front of `octets`; nothing if there is none whole.
[[nodiscard]] auto take_row(std::span<const std::byte>& octets) -> std::optional<EncodedRow>;
/// Nothing if it is not a row that load() could return.
[[nodiscard]] auto decode_row(const EncodedRow& row, const TimeLine& line) -> std::optional<Row>;

/// When rows were written, on the store's line and by the wall clock.
struct Stamp {
  Nanoseconds stored{};
  Nanoseconds wall{};
  /// Number of the first row that was not folded away by then.
  std::uint64_t first_row = 0;
};
void append_stamp(const Stamp& stamp, std::vector<std::byte>& octets);
[[nodiscard]] auto decode_stamp(const EncodedRow& row) -> std::optional<Stamp>;

}  // namespace portolan::store
