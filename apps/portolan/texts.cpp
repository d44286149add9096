// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/texts.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

#include <fmt/format.h>

namespace portolan {
namespace {

template <typename Number>
auto parse_whole(std::string_view text, int base) -> std::optional<Number> {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc{} || end != text.data() + text.size()) return {};
  return number;
}

}  // namespace

auto parse_remote_filter(std::string_view text) -> std::optional<RemoteFilter> {
  const std::size_t comma = std::min(text.find(','), text.size());
  const std::string remote(text.substr(0, comma));
  RemoteFilter filter;
  if (const auto prefix = Prefix::parse(remote))
    filter.remote_peers = *prefix;
  else if (const auto address = IpAddress::parse(remote))
    filter.remote_peers = Prefix(*address, 128);
  else
    return {};
  if (comma == text.size()) return filter;
  const auto port = parse_whole<std::uint16_t>(text.substr(comma + 1), 10);
  if (!port) return {};
  filter.remote_port = Port{*port};
  return filter;
}

auto text_of(const RemoteFilter& filter) -> std::string {
  std::string text = fmt::format("{}", filter.remote_peers);
  if (filter.remote_port.value != 0) text += fmt::format(",{}", filter.remote_port);
  return text;
}

auto parse_octets(std::string_view text) -> std::optional<std::vector<std::byte>> {
  if (text.size() % 2 != 0) return {};
  std::vector<std::byte> octets;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const auto octet = parse_whole<std::uint8_t>(text.substr(i, 2), 16);
    if (!octet) return {};
    octets.push_back(std::byte{*octet});
  }
  return octets;
}

}  // namespace portolan
