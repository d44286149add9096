// SPDX-License-Identifier: BSD-2-Clause
//
// UTF-8 validation (RFC 3629 s3, s4) one character at a time, for showing foreign strings.
#include "wire/escape.h"

#include <cstdint>
#include <iterator>

#include <fmt/format.h>

namespace portolan::wire {
namespace {

struct Character {
  char32_t code_point = 0;
  std::size_t octets = 0;  // 0: not well-formed UTF-8
};

auto octet_at(std::span<const std::byte> text, std::size_t index) -> std::uint32_t {
  return std::to_integer<std::uint32_t>(text[index]);
}

/// The first character of `text`, which is not empty.
auto first_character(std::span<const std::byte> text) -> Character {
  const std::uint32_t lead = octet_at(text, 0);
  if (lead < 0x80) return {.code_point = lead, .octets = 1};
  const std::size_t octets = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < octets) return {};
  std::uint32_t code_point = lead & (0x7fU >> octets);
  for (std::size_t i = 1; i < octets; ++i) {
    if ((octet_at(text, i) & 0xc0U) != 0x80) return {};
    code_point = code_point << 6U | (octet_at(text, i) & 0x3fU);
  }
  // Overlong forms, surrogates and what lies behind Unicode are no characters.
  const std::uint32_t smallest = octets == 2 ? 0x80 : octets == 3 ? 0x800 : 0x10000;
  if (code_point < smallest || code_point > 0x10ffff || (code_point >= 0xd800 && code_point <= 0xdfff))
    return {};
  return {.code_point = code_point, .octets = octets};
}

/// Whether showing the character changes nothing but adding one glyph.
auto is_plain(char32_t character) -> bool {
  if (character < 0x20 || character == '"' || character == '\\') return false;
  if (character >= 0x7f && character <= 0x9f) return false;      // DEL and C1 controls
  if (character >= 0x200b && character <= 0x200f) return false;  // zero width, direction marks
  if (character >= 0x2028 && character <= 0x202e) return false;  // line breaks, embeddings
  if (character >= 0x2060 && character <= 0x206f) return false;  // invisible operators, isolates
  return character != 0xad && character != 0x61c && character != 0xfeff && character < 0xe0000;
}

}  // namespace

auto escape(std::span<const std::byte> octets) -> std::string {
  std::string shown;
  while (!octets.empty()) {
    const Character character = first_character(octets);
    const bool is_shown = character.octets != 0 && is_plain(character.code_point);
    const std::size_t taken = is_shown ? character.octets : 1;
    for (std::size_t i = 0; i < taken; ++i) {
      if (is_shown)
        shown.push_back(static_cast<char>(octet_at(octets, i)));
      else
        fmt::format_to(std::back_inserter(shown), "\\x{:02x}", octet_at(octets, i));
    }
    octets = octets.subspan(taken);
  }
  return shown;
}

}  // namespace portolan::wire
