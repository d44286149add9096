// SPDX-License-Identifier: BSD-2-Clause
//
// Pieces of lines: words, what stands between separators, numbers.
#pragma once

#include <algorithm>
#include <cctype>
#include <charconv>
#include <concepts>
#include <cstddef>
#include <optional>
#include <string_view>
#include <system_error>

namespace portolan::sip {

/// All of `text` is a number, or it is none.
template <std::unsigned_integral Number>
auto number_of(std::string_view text) -> std::optional<Number> {
  Number value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return {};
  return value;
}

/// Takes what stands before `separator`, or all there is.
inline auto take_until(std::string_view& text, char separator) -> std::string_view {
  const std::size_t place = text.find(separator);
  const std::string_view taken = text.substr(0, place);
  text = place == std::string_view::npos ? std::string_view{} : text.substr(place + 1);
  return taken;
}

/// The next word between spaces; empty at the end.
inline auto take_word(std::string_view& text) -> std::string_view {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  return take_until(text, ' ');
}

/// Whatever the case of their letters.
inline auto is_same_word(std::string_view left, std::string_view right) -> bool {
  return std::ranges::equal(left, right, [](char one, char other) {
    return std::tolower(static_cast<unsigned char>(one)) == std::tolower(static_cast<unsigned char>(other));
  });
}

}  // namespace portolan::sip
