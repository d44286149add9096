// SPDX-License-Identifier: BSD-2-Clause
//
// Mapping nonce: 96 bits that only the client that made a mapping knows (RFC 6887 s11.1). Zero is legal.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/random.h"

namespace portolan {

struct Nonce {
  std::array<std::byte, 12> octets{};

  auto operator<=>(const Nonce&) const = default;

  [[nodiscard]] static auto generate(Random& random) -> Nonce {
    Nonce nonce;
    random.fill(nonce.octets);
    return nonce;
  }
  /// Parses 24 hexadecimal digits.
  [[nodiscard]] static auto parse(std::string_view hex) -> std::optional<Nonce>;
};

/// 24 lower-case hexadecimal digits.
[[nodiscard]] auto to_string(const Nonce& nonce) -> std::string;

}  // namespace portolan
