// SPDX-License-Identifier: BSD-2-Clause
//
// Keys and values of rows as octets. A change of either is a new schema version (sqlite_store.cpp). Times are
// on the store's time line.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "store/store.h"

namespace portolan::store {

/// Octets of a key.
constexpr std::size_t key_octets = 42;
/// Most that a field of variable length may have; a longer one is no row of ours.
constexpr std::size_t field_octets_max = 65'535;

/// Adds `offset` to a time of the monotonic line to have it on the store's.
struct TimeLine {
  Nanoseconds offset{};
  [[nodiscard]] auto stored(TimePoint time) const -> Nanoseconds { return time.time_since_epoch() + offset; }
  [[nodiscard]] auto monotonic(Nanoseconds stored) const -> TimePoint { return TimePoint{stored - offset}; }
};

/// Each replaces `octets`, and keeps its memory.
void encode_key(const ContractKey& key, std::vector<std::byte>& octets);
void encode_mapping(const PutMapping& mapping, const TimeLine& line, std::vector<std::byte>& octets);
void encode_epoch(const PutEpoch& epoch, const TimeLine& line, std::vector<std::byte>& octets);
void encode_path(const PutPath& path, std::vector<std::byte>& octets);
/// Of users.
void encode_prefix(const Prefix& prefix, std::vector<std::byte>& octets);
void encode_user(const PutUser& user, std::vector<std::byte>& octets);
/// Their key is that of a MAP contract.
void encode_static(const PutStatic& row, std::vector<std::byte>& octets);

/// Nothing if the octets are no such thing.
[[nodiscard]] auto decode_key(std::span<const std::byte> octets) -> std::optional<ContractKey>;
[[nodiscard]] auto decode_mapping(std::span<const std::byte> key, std::span<const std::byte> octets,
                                  const TimeLine& line) -> std::optional<PutMapping>;
[[nodiscard]] auto decode_epoch(std::span<const std::byte> octets, const TimeLine& line)
    -> std::optional<PutEpoch>;
[[nodiscard]] auto decode_path(std::span<const std::byte> octets) -> std::optional<PutPath>;
[[nodiscard]] auto decode_user(std::span<const std::byte> key, std::span<const std::byte> octets)
    -> std::optional<PutUser>;
[[nodiscard]] auto decode_static(std::span<const std::byte> key, std::span<const std::byte> octets)
    -> std::optional<PutStatic>;

}  // namespace portolan::store
