// SPDX-License-Identifier: BSD-2-Clause
#include "wire/utf8.h"

#include <cstdint>

namespace portolan::wire {
namespace {

auto octet_at(std::span<const std::byte> text, std::size_t index) -> std::uint32_t {
  return std::to_integer<std::uint32_t>(text[index]);
}

}  // namespace

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

}  // namespace portolan::wire
