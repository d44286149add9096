// SPDX-License-Identifier: BSD-2-Clause
//
// IPv4 addresses that hosts share, without listing them one by one (RFC 6888 s3 REQ-3).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/address.h"
#include "base/port_range.h"

namespace portolan::nat {

/// Addresses from `first` to `last`, both included, of which each has the same weight and the same ports.
struct PoolRange {
  PoolRange() = default;
  // NOLINTNEXTLINE(google-explicit-constructor): an address is the shortest range.
  PoolRange(Ipv4Address address) : first(address), last(address) {}
  PoolRange(Ipv4Address first_address, Ipv4Address last_address) : first(first_address), last(last_address) {}

  /// Parses "192.0.2.14", "192.0.2.16-192.0.2.31" or "192.0.2.0/24".
  [[nodiscard]] static auto parse(std::string_view text) -> std::optional<PoolRange>;

  auto operator==(const PoolRange&) const -> bool = default;
  [[nodiscard]] auto size() const -> std::uint64_t { return std::uint64_t{last.value} - first.value + 1; }
  [[nodiscard]] auto contains(Ipv4Address address) const -> bool {
    return first.value <= address.value && address.value <= last.value;
  }

  Ipv4Address first;
  Ipv4Address last;
  std::uint32_t weight = 1;  ///< an address of weight 2 gets twice as many subscribers as one of weight 1
  PortRange ports{};         ///< that are the translator's; at its others nothing is translated
  /// Whether the addresses are the host's too: packets that are not the translator's go back to it.
  bool is_shared = false;
};
/// Largest weight there is.
inline constexpr std::uint32_t pool_weight_max = 1000;

/// As parse() reads it, without weight and ports.
[[nodiscard]] auto to_string(const PoolRange& range) -> std::string;

}  // namespace portolan::nat
