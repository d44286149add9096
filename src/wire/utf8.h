// SPDX-License-Identifier: BSD-2-Clause
//
// UTF-8 one character at a time (RFC 3629 s3, s4).
#pragma once

#include <cstddef>
#include <span>

namespace portolan::wire {

struct Character {
  char32_t code_point = 0;
  std::size_t octets = 0;  // 0: not well-formed UTF-8
};

/// The first character of `text`, which is not empty.
[[nodiscard]] auto first_character(std::span<const std::byte> text) -> Character;

}  // namespace portolan::wire
