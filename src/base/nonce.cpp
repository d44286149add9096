// SPDX-License-Identifier: BSD-2-Clause
#include "base/nonce.h"

#include <charconv>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace portolan {

auto Nonce::parse(std::string_view hex) -> std::optional<Nonce> {
  Nonce nonce;
  if (hex.size() != 2 * nonce.octets.size()) return {};
  for (std::size_t i = 0; i < nonce.octets.size(); ++i) {
    const auto digits = hex.substr(2 * i, 2);
    std::uint8_t octet = 0;
    const auto [end, error] = std::from_chars(digits.begin(), digits.end(), octet, 16);
    if (error != std::errc{} || end != digits.end()) return {};
    nonce.octets[i] = std::byte{octet};
  }
  return nonce;
}

auto to_string(const Nonce& nonce) -> std::string {
  std::string text;
  for (const std::byte octet : nonce.octets)
    fmt::format_to(std::back_inserter(text), "{:02x}", std::to_integer<unsigned>(octet));
  return text;
}

}  // namespace portolan
