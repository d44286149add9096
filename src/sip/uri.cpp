// SPDX-License-Identifier: BSD-2-Clause
#include "sip/uri.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

#include <fmt/format.h>

namespace portolan::sip {
namespace {

constexpr std::string_view digits = "0123456789";
constexpr std::string_view host_characters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.";
constexpr std::size_t host_octets_max = 253;

/// Not what only looks like an address: no top label is a number.
auto is_host_name(std::string_view text) -> bool {
  const std::string_view top = text.substr(text.rfind('.') + 1);
  return !text.empty() && text.size() <= host_octets_max && text.front() != '.' && text.front() != '-' &&
         text.find_first_not_of(host_characters) == std::string_view::npos &&
         top.find_first_not_of(digits) != std::string_view::npos;
}

auto parse_port(std::string_view text) -> std::optional<Port> {
  std::uint16_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number == 0) return {};
  return Port{number};
}

}  // namespace

auto parse_host_port(std::string_view text) -> std::expected<HostPort, std::string> {
  const bool is_bracketed = text.starts_with('[');
  if (!is_bracketed && std::ranges::count(text, ':') > 1)
    return std::unexpected(
        fmt::format("'{}' has more than one ':': an IPv6 address goes into brackets, like [2001:db8::13] or "
                    "[2001:db8::13]:5060",
                    text));
  const std::size_t end = is_bracketed ? text.find(']') : std::min(text.find(':'), text.size());
  const std::string_view host = is_bracketed ? text.substr(1, end - 1) : text.substr(0, end);
  const auto address = IpAddress::parse(host);
  const bool is_good = is_bracketed ? end != std::string_view::npos && address && !address->is_ipv4()
                                    : address.has_value() || is_host_name(host);
  if (!is_good)
    return std::unexpected(
        fmt::format("'{}' is neither name nor address of a host: give one like mysip.example, 192.0.2.13 or "
                    "[2001:db8::13]",
                    text));
  HostPort place{.host = std::string(host)};
  const std::string_view rest = text.substr(is_bracketed ? end + 1 : end);
  if (rest.empty()) return place;
  place.port = rest.starts_with(':') ? parse_port(rest.substr(1)) : std::nullopt;
  if (!place.port)
    return std::unexpected(
        fmt::format("'{}' has no port behind its host: give a number from 1 to 65535, like {}:5060", text,
                    text.substr(0, text.size() - rest.size())));
  return place;
}

auto parse_uri(std::string_view text) -> std::expected<HostPort, std::string> {
  if (text.starts_with("sips:"))
    return std::unexpected(fmt::format(
        "'{}' asks for TLS, which this phone does not have: give a URI that begins with sip:", text));
  const bool is_text = std::ranges::all_of(
      text, [](char each) { return each > ' ' && each < '\x7f' && each != '<' && each != '>'; });
  std::string_view place = text.starts_with("sip:") ? text.substr(4) : std::string_view();
  if (const std::size_t at = place.find('@'); at != std::string_view::npos) place.remove_prefix(at + 1);
  place = place.substr(0, place.find_first_of(";?"));
  if (!is_text || place.empty())
    return std::unexpected(fmt::format("'{}' is no SIP URI: give one like sip:13@mysip.example", text));
  auto parsed = parse_host_port(place);
  if (!parsed) return std::unexpected(fmt::format("'{}' is no SIP URI: {}", text, parsed.error()));
  return parsed;
}

auto uri_of(const Endpoint& endpoint) -> std::string { return fmt::format("sip:{}", to_string(endpoint)); }

}  // namespace portolan::sip
