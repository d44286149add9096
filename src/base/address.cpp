// SPDX-License-Identifier: BSD-2-Clause
#include "base/address.h"

#include <arpa/inet.h>

#include <charconv>
#include <utility>

#include "base/check.h"

namespace portolan {
namespace {

template <typename Number>
auto parse_number(std::string_view text, Number maximum) -> std::optional<Number> {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value > maximum) return {};
  return value;
}

constexpr std::array<std::pair<Protocol, std::string_view>, 5> protocol_names{{
    {Protocol::icmp, "icmp"},
    {Protocol::tcp, "tcp"},
    {Protocol::udp, "udp"},
    {Protocol::icmpv6, "icmpv6"},
    {Protocol::sctp, "sctp"},
}};

}  // namespace

auto to_string(Family family) -> std::string_view { return family == Family::ipv4 ? "IPv4" : "IPv6"; }

auto Ipv4Address::parse(std::string_view text) -> std::optional<Ipv4Address> {
  in_addr raw{};
  if (inet_pton(AF_INET, std::string(text).c_str(), &raw) != 1) return {};
  return Ipv4Address{ntohl(raw.s_addr)};
}

auto Ipv6Address::parse(std::string_view text) -> std::optional<Ipv6Address> {
  Ipv6Address address;
  if (inet_pton(AF_INET6, std::string(text).c_str(), address.octets.data()) != 1) return {};
  return address;
}

auto IpAddress::parse(std::string_view text) -> std::optional<IpAddress> {
  // inet_pton stops at the first NUL.
  if (text.find('\0') != std::string_view::npos) return {};
  if (const auto v4 = Ipv4Address::parse(text)) return IpAddress{*v4};
  if (const auto v6 = Ipv6Address::parse(text)) return IpAddress{*v6};
  return {};
}

auto to_string(Protocol protocol) -> std::string {
  for (const auto& [known, name] : protocol_names)
    if (known == protocol) return std::string(name);
  return std::to_string(std::to_underlying(protocol));
}

auto parse_protocol(std::string_view text) -> std::optional<Protocol> {
  for (const auto& [known, name] : protocol_names)
    if (name == text) return known;
  if (const auto number = parse_number<unsigned>(text, 255)) return static_cast<Protocol>(*number);
  return {};
}

Prefix::Prefix(const IpAddress& address, unsigned length) : length_(static_cast<std::uint8_t>(length)) {
  PORTOLAN_CHECK(length <= 128);
  address_ = IpAddress{masked(address.bits(), length)};
}

auto Prefix::parse(std::string_view text) -> std::optional<Prefix> {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return {};
  const auto address = IpAddress::parse(text.substr(0, slash));
  if (!address) return {};
  const unsigned family_bits = address->is_ipv4() ? 32 : 128;
  const auto length = parse_number<unsigned>(text.substr(slash + 1), family_bits);
  if (!length) return {};
  const Prefix prefix{*address, 128 - family_bits + *length};
  if (prefix.address() != *address) return {};
  return prefix;
}

auto Prefix::contains(const IpAddress& address) const -> bool {
  return Prefix{address, length_}.address_ == address_;
}

auto to_string(Ipv4Address address) -> std::string {
  return fmt::format("{}.{}.{}.{}", address.value >> 24U, address.value >> 16U & 0xffU,
                     address.value >> 8U & 0xffU, address.value & 0xffU);
}

auto to_string(const Ipv6Address& address) -> std::string {
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(AF_INET6, address.octets.data(), text.data(), text.size());
  return text.data();
}

auto to_string(const IpAddress& address) -> std::string {
  return address.is_ipv4() ? to_string(address.ipv4()) : to_string(address.bits());
}

auto to_string(const Endpoint& endpoint) -> std::string {
  return endpoint.address.is_ipv4()
             ? fmt::format("{}:{}", to_string(endpoint.address), endpoint.port.value)
             : fmt::format("[{}]:{}", to_string(endpoint.address), endpoint.port.value);
}

auto to_string(const Prefix& prefix) -> std::string {
  const bool is_ipv4 = prefix.address().is_ipv4() && prefix.length() >= 96;
  return fmt::format("{}/{}", to_string(prefix.address()), prefix.length() - (is_ipv4 ? 96 : 0));
}

}  // namespace portolan
