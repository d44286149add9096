// SPDX-License-Identifier: BSD-2-Clause
//
// ICMP errors: what each means in the other family (RFC 7915 s4.2, s5.2), and making new ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/address.h"
#include "nat/packet.h"

namespace portolan::nat {

/// First eight octets of an ICMP error, checksum apart.
struct IcmpHeader {
  std::uint8_t type = 0;
  std::uint8_t code = 0;
  std::uint32_t rest = 0;  ///< octets 4-7, host order: pointer, MTU, RFC 4884 length

  auto operator==(const IcmpHeader&) const -> bool = default;
};

/// What the MTU fields of translated errors depend on.
struct MtuContext {
  std::uint16_t ipv6_mtu = 1500;
  std::uint16_t ipv4_mtu = 1500;
  std::uint16_t quoted_length = 0;  ///< total length of the quoted IPv4 packet
};

/// The ICMPv6 error for an ICMPv4 one, without RFC 4884 length; nothing if it is to be dropped.
[[nodiscard]] auto error_to_ipv6(const IcmpHeader& header, const MtuContext& mtu)
    -> std::optional<IcmpHeader>;
/// The ICMPv4 error for an ICMPv6 one, likewise.
[[nodiscard]] auto error_to_ipv4(const IcmpHeader& header, const MtuContext& mtu)
    -> std::optional<IcmpHeader>;

/// Whether an ICMPv4 or ICMPv6 message of this type is an error.
[[nodiscard]] constexpr auto is_error_v4(std::uint8_t type) -> bool {
  return type == icmp::v4_unreachable || type == 4 || type == 5 || type == icmp::v4_time_exceeded ||
         type == icmp::v4_parameter_problem;
}
[[nodiscard]] constexpr auto is_error_v6(std::uint8_t type) -> bool { return type < 128; }

/// Octets of the quoted packet of an error message, and the extensions behind it (RFC 4884 s4).
struct Quotation {
  std::span<const std::uint8_t> packet;
  std::span<const std::uint8_t> extensions;
};
[[nodiscard]] auto quotation_v4(std::span<const std::uint8_t> message) -> Quotation;
[[nodiscard]] auto quotation_v6(std::span<const std::uint8_t> message) -> Quotation;

/// Whether errors of the type have the RFC 4884 length attribute.
[[nodiscard]] constexpr auto has_extensions_v4(std::uint8_t type) -> bool {
  return type == icmp::v4_unreachable || type == icmp::v4_time_exceeded || type == icmp::v4_parameter_problem;
}
[[nodiscard]] constexpr auto has_extensions_v6(std::uint8_t type) -> bool {
  return type == icmp::v6_unreachable || type == icmp::v6_time_exceeded;
}

/// Octets of the largest ICMPv4 error made here (RFC 1812 s4.3.2.3).
inline constexpr std::size_t icmpv4_error_max = 576;

/// Completes an ICMP message: its checksum, with ICMPv6's pseudo-header.
void set_icmpv4_checksum(std::span<std::uint8_t> message);
void set_icmpv6_checksum(std::span<std::uint8_t> message, const std::uint8_t* source,
                         const std::uint8_t* destination);

/// Errors made here have the DS field of what causes them (RFC 5508 s7.7).
///
/// Writes an ICMPv6 error that quotes `invoking` as far as 1280 octets allow (RFC 4443 s2.4 (c)).
/// Returns its size. out: at least 1280 octets.
[[nodiscard]] auto make_icmpv6_error(std::span<std::byte> out, const Ipv6Address& source,
                                     const Ipv6Address& destination, const IcmpHeader& header,
                                     std::span<const std::byte> invoking) -> std::size_t;
/// Writes an ICMPv4 error that quotes `invoking` as far as 576 octets allow (RFC 1812 s4.3.2.3).
[[nodiscard]] auto make_icmpv4_error(std::span<std::byte> out, Ipv4Address source, Ipv4Address destination,
                                     std::uint16_t identification, const IcmpHeader& header,
                                     std::span<const std::byte> invoking) -> std::size_t;

}  // namespace portolan::nat
