// SPDX-License-Identifier: BSD-2-Clause
//
// For tests: messages as hexadecimal text whose pieces carry their field names as comments.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"

namespace portolan::wire {

/// Octets of hexadecimal digits; spaces are skipped.
inline auto octets(std::string_view hex) -> std::vector<std::byte> {
  constexpr std::string_view digits = "0123456789abcdef";
  std::vector<std::byte> result;
  unsigned value = 0;
  bool has_half = false;
  for (const char character : hex) {
    if (character == ' ') continue;
    const auto digit = digits.find(character);
    PORTOLAN_CHECK(digit != std::string_view::npos);
    value = value << 4U | static_cast<unsigned>(digit);
    if (has_half) {
      result.push_back(static_cast<std::byte>(value));
      value = 0;
    }
    has_half = !has_half;
  }
  PORTOLAN_CHECK(!has_half);
  return result;
}

/// Hexadecimal digits of `data`, so that a failed comparison is readable.
inline auto hex(std::span<const std::byte> data) -> std::string {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string result;
  for (const std::byte octet : data) {
    result.push_back(digits[std::to_integer<std::size_t>(octet >> 4)]);
    result.push_back(digits[std::to_integer<std::size_t>(octet & std::byte{15})]);
  }
  return result;
}

/// `message` cut or filled with zeros to `size` octets.
inline auto resized(std::vector<std::byte> message, std::size_t size) -> std::vector<std::byte> {
  message.resize(size);
  return message;
}

inline auto operator+(std::vector<std::byte> left, const std::vector<std::byte>& right)
    -> std::vector<std::byte> {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

}  // namespace portolan::wire
