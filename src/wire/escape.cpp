// SPDX-License-Identifier: BSD-2-Clause
//
// Which characters are shown as they are.
#include "wire/escape.h"

#include <cstdint>
#include <iterator>

#include <fmt/format.h>

#include "wire/utf8.h"

namespace portolan::wire {
namespace {

auto octet_at(std::span<const std::byte> text, std::size_t index) -> std::uint32_t {
  return std::to_integer<std::uint32_t>(text[index]);
}

/// Whether showing the character changes nothing but adding one glyph.
auto is_plain(char32_t character) -> bool {
  if (character < 0x20) return false;
  if (character >= 0x7f && character <= 0x9f) return false;      // DEL and C1 controls
  if (character >= 0x200b && character <= 0x200f) return false;  // zero width, direction marks
  if (character >= 0x2028 && character <= 0x202e) return false;  // line breaks, embeddings
  if (character >= 0x2060 && character <= 0x206f) return false;  // invisible operators, isolates
  return character != 0xad && character != 0x61c && character != 0xfeff && character < 0xe0000;
}

/// `quoting`: characters that are escaped too.
auto escape_but(std::span<const std::byte> octets, std::u32string_view quoting) -> std::string {
  std::string shown;
  while (!octets.empty()) {
    const Character character = first_character(octets);
    const bool is_shown = character.octets != 0 && is_plain(character.code_point) &&
                          quoting.find(character.code_point) == std::u32string_view::npos;
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

}  // namespace

auto escape(std::span<const std::byte> octets) -> std::string { return escape_but(octets, U"\"\\"); }

auto printable(std::string_view text) -> std::string {
  return escape_but(std::as_bytes(std::span(text.data(), text.size())), U"");
}

}  // namespace portolan::wire
