// SPDX-License-Identifier: BSD-2-Clause
//
// The translation prefixes (RFC 6052 s2.2, s3.3), what each may carry, and the IPv4 destinations that are
// not translated (RFC 6888 s3 REQ-6).
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

#include "base/address.h"
#include "nat/config.h"
#include "nat/embedding.h"
#include "nat/packet.h"

namespace portolan::nat {

/// The form of `prefix`, whose length is one of RFC 6052's, that packets are translated by.
[[nodiscard]] auto make_embedding(const Prefix& prefix) -> Embedding;

/// Up to prefixes_max prefixes, known by their number in the configuration; none lies in another.
class Prefixes {
 public:
  explicit Prefixes(const Config& config);

  /// Number of the prefix that `address` lies in.
  [[nodiscard]] auto find(const std::uint8_t* address) const -> std::optional<std::uint8_t> {
    std::uint64_t high = 0;
    std::uint64_t low = 0;
    std::memcpy(&high, address, sizeof high);
    std::memcpy(&low, address + sizeof high, sizeof low);
    for (std::uint8_t number = 0; number < count_; ++number) {
      const Each& each = each_[number];
      if ((((high ^ each.high) & each.high_mask) | ((low ^ each.low) & each.low_mask)) == 0) return number;
    }
    return std::nullopt;
  }
  [[nodiscard]] auto operator[](std::uint8_t number) const -> const Embedding& {
    return each_[number].embedding;
  }
  [[nodiscard]] auto count() const -> std::uint8_t { return count_; }

  /// Whether a prefix may stand for `v4`: the well-known one for global addresses only (RFC 6052 s3.1).
  [[nodiscard]] auto carries(std::uint8_t number, const std::uint8_t v4[4]) const -> bool {
    return !each_[number].is_well_known || is_global_ipv4(v4);
  }
  /// The prefix that a host inside sees `v4` in if it did not choose: the first that may stand for it.
  [[nodiscard]] auto for_source(const std::uint8_t v4[4]) const -> std::optional<std::uint8_t> {
    for (std::uint8_t number = 0; number < count_; ++number)
      if (carries(number, v4)) return number;
    return std::nullopt;
  }

 private:
  struct Each {
    Embedding embedding;
    bool is_well_known;
    // Its bits, and which of them count, as they stand in an address.
    std::uint64_t high;
    std::uint64_t low;
    std::uint64_t high_mask;
    std::uint64_t low_mask;
  };
  std::array<Each, prefixes_max> each_{};
  std::uint8_t count_ = 0;
};

/// A set of IPv4 addresses, given as prefixes.
class AddressSet {
 public:
  explicit AddressSet(const std::vector<Prefix>& prefixes);
  /// Whether `address` (host order) is in it. Cost O(log prefixes).
  [[nodiscard]] auto contains(std::uint32_t address) const -> bool {
    return !ranges_.empty() && is_in_range(address);
  }

 private:
  struct Range {
    std::uint32_t first;
    std::uint32_t last;
  };
  [[nodiscard]] auto is_in_range(std::uint32_t address) const -> bool;

  std::vector<Range> ranges_;  // in order, apart from each other
};

}  // namespace portolan::nat
