// SPDX-License-Identifier: BSD-2-Clause
//
// IPv4, IPv6 and "either" addresses, prefixes, ports and endpoints as value types. IpAddress is the
// 128-bit form PCP uses on the wire: an IPv4 address is its IPv4-mapped IPv6 address (RFC 6887 s5).
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace portolan {

enum class Family : std::uint8_t { ipv4, ipv6 };

/// "IPv4" or "IPv6".
[[nodiscard]] auto to_string(Family family) -> std::string_view;

/// IPv4 address; `value` in host order.
struct Ipv4Address {
  std::uint32_t value = 0;

  auto operator<=>(const Ipv4Address&) const = default;

  /// Parses dotted quad text; nothing but four decimal numbers is accepted.
  [[nodiscard]] static auto parse(std::string_view text) -> std::optional<Ipv4Address>;
};

/// IPv6 address; octets in network order.
struct Ipv6Address {
  std::array<std::uint8_t, 16> octets{};

  auto operator<=>(const Ipv6Address&) const = default;
  // Every table compares addresses: two words instead of a call of memcmp().
  constexpr auto operator==(const Ipv6Address& other) const -> bool { return words() == other.words(); }

  /// The two halves; byte order is the machine's.
  [[nodiscard]] constexpr auto words() const -> std::array<std::uint64_t, 2> {
    return std::bit_cast<std::array<std::uint64_t, 2>>(octets);
  }

  /// Parses RFC 4291 s2.2 text, without zone.
  [[nodiscard]] static auto parse(std::string_view text) -> std::optional<Ipv6Address>;
};

/// `address` without the bits behind `length` (0-128).
[[nodiscard]] constexpr auto masked(const Ipv6Address& address, unsigned length) -> Ipv6Address {
  auto words = address.words();
  for (unsigned i = 0; i < words.size(); ++i) {
    const unsigned before = 64 * i;
    const unsigned bits = length <= before ? 0 : std::min(length - before, 64U);
    const std::uint64_t mask = bits == 0 ? 0 : ~std::uint64_t{0} << (64 - bits);
    words[i] &= std::endian::native == std::endian::little ? std::byteswap(mask) : mask;
  }
  return {std::bit_cast<std::array<std::uint8_t, 16>>(words)};
}

/// An address of either family in 128 bits, IPv4 as ::ffff:a.b.c.d (RFC 6887 s5).
class IpAddress {
 public:
  /// The IPv6 unspecified address.
  constexpr IpAddress() = default;
  constexpr explicit IpAddress(const Ipv6Address& address) : bits_(address) {}
  constexpr explicit IpAddress(Ipv4Address address) {
    bits_.octets[10] = bits_.octets[11] = 0xff;
    for (std::size_t i = 0; i < 4; ++i)
      bits_.octets[12 + i] = static_cast<std::uint8_t>(address.value >> (24 - 8 * i));
  }

  auto operator<=>(const IpAddress&) const = default;

  /// All-zeros of `family`: "no preference" in PCP (RFC 6887 s5).
  [[nodiscard]] static constexpr auto unspecified(Family family) -> IpAddress {
    return family == Family::ipv4 ? IpAddress{Ipv4Address{}} : IpAddress{};
  }
  /// Parses either family's text.
  [[nodiscard]] static auto parse(std::string_view text) -> std::optional<IpAddress>;

  /// All first 96 bits are compared with ::ffff:0:0/96.
  [[nodiscard]] constexpr auto is_ipv4() const -> bool {
    constexpr Ipv6Address mapped{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}};
    constexpr Ipv6Address mask{{0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}};
    const auto words = bits_.words();
    return words[0] == 0 && (words[1] & mask.words()[1]) == mapped.words()[1];
  }
  [[nodiscard]] constexpr auto family() const -> Family { return is_ipv4() ? Family::ipv4 : Family::ipv6; }
  [[nodiscard]] constexpr auto is_unspecified() const -> bool { return *this == unspecified(family()); }
  /// IPv6 addresses of fe80::/10, which mean something on one link only.
  [[nodiscard]] constexpr auto is_link_local() const -> bool {
    return bits_.octets[0] == 0xfe && (bits_.octets[1] & 0xc0U) == 0x80U;
  }
  /// Meaningful only if is_ipv4().
  [[nodiscard]] constexpr auto ipv4() const -> Ipv4Address {
    std::uint32_t value = 0;
    for (std::size_t i = 12; i < 16; ++i) value = value << 8U | bits_.octets[i];
    return Ipv4Address{value};
  }
  /// The 128 bits as they stand on the wire.
  [[nodiscard]] constexpr auto bits() const -> const Ipv6Address& { return bits_; }

 private:
  Ipv6Address bits_{};
};

/// Transport port, host order.
struct Port {
  std::uint16_t value = 0;
  auto operator<=>(const Port&) const = default;
};

/// IANA protocol number; any octet is a legal value.
enum class Protocol : std::uint8_t { all = 0, icmp = 1, tcp = 6, udp = 17, icmpv6 = 58, sctp = 132 };

/// Lower-case name ("tcp") or the number as text.
[[nodiscard]] auto to_string(Protocol protocol) -> std::string;
/// Parses a name known to to_string() or a number 0-255.
[[nodiscard]] auto parse_protocol(std::string_view text) -> std::optional<Protocol>;

struct Endpoint {
  IpAddress address;
  Port port;
  auto operator<=>(const Endpoint&) const = default;
};

/// Address prefix; bits behind `length` are zero. length counts bits of the 128-bit form, so that an
/// IPv4 /24 has length 120.
class Prefix {
 public:
  constexpr Prefix() = default;
  /// Clears the bits of `address` behind `length` (0-128).
  Prefix(const IpAddress& address, unsigned length);

  auto operator<=>(const Prefix&) const = default;

  /// Parses "2001:db8::/32" or "192.0.2.0/24"; set bits behind the length are an error.
  [[nodiscard]] static auto parse(std::string_view text) -> std::optional<Prefix>;

  [[nodiscard]] auto address() const -> const IpAddress& { return address_; }
  /// Bits of the 128-bit form.
  [[nodiscard]] auto length() const -> unsigned { return length_; }
  [[nodiscard]] auto contains(const IpAddress& address) const -> bool;

 private:
  IpAddress address_;
  std::uint8_t length_ = 0;
};

[[nodiscard]] auto to_string(Ipv4Address address) -> std::string;
/// RFC 5952 text.
[[nodiscard]] auto to_string(const Ipv6Address& address) -> std::string;
/// Dotted quad for IPv4, RFC 5952 for IPv6.
[[nodiscard]] auto to_string(const IpAddress& address) -> std::string;
/// "192.0.2.1:80" or "[2001:db8::1]:80".
[[nodiscard]] auto to_string(const Endpoint& endpoint) -> std::string;
/// Length in bits of the prefix's own family.
[[nodiscard]] auto to_string(const Prefix& prefix) -> std::string;

}  // namespace portolan

namespace portolan::detail {
/// fmt support for types that have a to_string().
template <typename T>
struct StringFormatter : fmt::formatter<std::string> {
  template <typename Context>
  auto format(const T& value, Context& context) const {
    return fmt::formatter<std::string>::format(std::string(to_string(value)), context);
  }
};
}  // namespace portolan::detail

template <>
struct fmt::formatter<portolan::Family> : portolan::detail::StringFormatter<portolan::Family> {};
template <>
struct fmt::formatter<portolan::Protocol> : portolan::detail::StringFormatter<portolan::Protocol> {};
template <>
struct fmt::formatter<portolan::Ipv4Address> : portolan::detail::StringFormatter<portolan::Ipv4Address> {};
template <>
struct fmt::formatter<portolan::Ipv6Address> : portolan::detail::StringFormatter<portolan::Ipv6Address> {};
template <>
struct fmt::formatter<portolan::IpAddress> : portolan::detail::StringFormatter<portolan::IpAddress> {};
template <>
struct fmt::formatter<portolan::Endpoint> : portolan::detail::StringFormatter<portolan::Endpoint> {};
template <>
struct fmt::formatter<portolan::Prefix> : portolan::detail::StringFormatter<portolan::Prefix> {};
template <>
struct fmt::formatter<portolan::Port> : fmt::formatter<std::uint16_t> {
  template <typename Context>
  auto format(portolan::Port port, Context& context) const {
    return fmt::formatter<std::uint16_t>::format(port.value, context);
  }
};
