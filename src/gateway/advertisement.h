// SPDX-License-Identifier: BSD-2-Clause
//
// Router advertisements that tell hosts of a NAT64 (PREF64): what is in one, and its octets. The checksum is
// the kernel's to make.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/address.h"
#include "base/time.h"
#include "nat/config.h"

namespace portolan::gateway {

/// No PREF64 holds for longer.
inline constexpr Seconds pref64_lifetime_max{65528};
inline constexpr std::size_t advertised_prefixes_max = 16;
inline constexpr std::size_t advertised_servers_max = 8;
/// A message with as much as there may be of everything; any link carries it whole.
inline constexpr std::size_t advertisement_octets_max =
    16 + 8 + 8 + 32 * advertised_prefixes_max + 16 * nat::prefixes_max + 8 + 16 * advertised_servers_max;
static_assert(advertisement_octets_max <= 1280 - 40);

/// A prefix that hosts make addresses of (RFC 4861 s4.6.2).
struct AdvertisedPrefix {
  Prefix prefix;
  Seconds valid{};
  Seconds preferred{};
  auto operator==(const AdvertisedPrefix&) const -> bool = default;
};

/// Of the fields that are not here, Reachable Time and Retrans Timer are 0: unspecified.
struct Advertisement {
  std::uint8_t hop_limit = 0;
  bool is_managed = false;
  bool has_other_config = false;
  /// 0: the sender is nobody's default router.
  Seconds router_lifetime{};
  std::optional<std::array<std::uint8_t, 6>> link_address = {};
  /// 0: none.
  std::uint32_t mtu = 0;
  std::vector<AdvertisedPrefix> prefixes = {};
  std::vector<Prefix> nat64_prefixes = {};
  /// 0: they are withdrawn.
  Seconds nat64_lifetime{};
  std::vector<IpAddress> dns_servers = {};
  Seconds dns_lifetime{};
};

/// Spec  RFC 8781 s4.1: units of 8 seconds, rounded up; only 0 becomes 0
[[nodiscard]] auto scaled_lifetime(Seconds lifetime) -> std::uint16_t;

/// Spec  RFC 4861 s4.2, s4.6; RFC 8781 s4; RFC 8106 s5.1
/// In    lists within the limits above; prefixes of NAT64 of lengths that RFC 6052 s2.2 knows
/// Out   the ICMPv6 message with a checksum of 0
[[nodiscard]] auto encode(const Advertisement& advertisement) -> std::vector<std::byte>;

/// Whether a router has to answer `message`. The kernel has checked the checksum.
/// Spec  RFC 4861 s6.1.1
[[nodiscard]] auto is_solicitation(std::span<const std::byte> message, const IpAddress& source, int hop_limit)
    -> bool;

/// The NAT64 prefixes that another router says hosts may use.
/// Spec  RFC 4861 s6.1.2; RFC 8781 s4
/// Out   nullopt if `message` is no valid advertisement, or does not tell of any NAT64; ordered
[[nodiscard]] auto nat64_prefixes_of(std::span<const std::byte> message, const IpAddress& source,
                                     int hop_limit) -> std::optional<std::vector<Prefix>>;

}  // namespace portolan::gateway
