// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/arguments.h"

#include <algorithm>
#include <charconv>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "portolan/texts.h"

namespace portolan::arguments {

void refuse(const std::string& argument, const std::string& text, std::string_view remedy) {
  throw CLI::ValidationError(argument, fmt::format("'{}' {}", text, remedy));
}

auto parse_number(const std::string& argument, const std::string& text, std::uint32_t minimum,
                  std::uint32_t maximum, std::string_view remedy) -> std::uint32_t {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < minimum || value > maximum)
    refuse(argument, text, remedy);
  return value;
}

auto parse_port(const std::string& argument, const std::string& text, std::string_view remedy) -> Port {
  return Port{static_cast<std::uint16_t>(parse_number(argument, text, 0, UINT16_MAX, remedy))};
}

auto parse_address(const std::string& argument, const std::string& text) -> IpAddress {
  const auto address = IpAddress::parse(text);
  if (!address) refuse(argument, text, "is no IP address: give one such as 192.0.2.14 or 2001:db8::1");
  return *address;
}

auto parse_filter(const std::string& argument, const std::string& text) -> RemoteFilter {
  if (const auto filter = parse_remote_filter(text)) return *filter;
  const std::size_t comma = text.find(',');
  if (comma != std::string::npos && parse_remote_filter(text.substr(0, comma)))
    refuse(argument, text.substr(comma + 1), "is no port: give 1 to 65535, or 0 for all ports");
  refuse(argument, text, "is no filter: give 192.0.2.0/24 or 2001:db8::7, with a port 2001:db8::7,5060");
}

auto parse_hex(const std::string& argument, std::string_view text) -> std::vector<std::byte> {
  std::string digits;
  std::ranges::copy_if(text, std::back_inserter(digits),
                       [](char character) { return character != ' ' && character != ':'; });
  std::vector<std::byte> octets;
  for (std::size_t i = 0; i < digits.size(); i += 2) {
    std::uint8_t octet = 0;
    const char* const start = digits.data() + i;
    const auto [end, error] =
        std::from_chars(start, start + std::min<std::size_t>(2, digits.size() - i), octet, 16);
    if (error != std::errc{} || end != start + 2)
      refuse(argument, digits.substr(i, 2), "is no octet: give two hexadecimal digits for each");
    octets.push_back(std::byte{octet});
  }
  return octets;
}

}  // namespace portolan::arguments
