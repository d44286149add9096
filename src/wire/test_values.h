// SPDX-License-Identifier: BSD-2-Clause
//
// For property tests: random values, to be called inside a property.
#pragma once

#include <rapidcheck.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/address.h"
#include "base/nonce.h"

namespace portolan::wire {

/// `count` random octets.
inline auto any_octets(std::size_t count) -> rc::Gen<std::vector<std::uint8_t>> {
  return rc::gen::container<std::vector<std::uint8_t>>(count, rc::gen::arbitrary<std::uint8_t>());
}

inline auto any_address() -> IpAddress {
  Ipv6Address address;
  std::ranges::copy(*any_octets(16), address.octets.begin());
  if (*rc::gen::arbitrary<bool>()) return IpAddress{address};
  return IpAddress{Ipv4Address{*rc::gen::arbitrary<std::uint32_t>()}};
}

inline auto any_nonce() -> Nonce {
  Nonce nonce;
  std::ranges::transform(*any_octets(12), nonce.octets.begin(),
                         [](std::uint8_t octet) { return std::byte{octet}; });
  return nonce;
}

inline auto any_port() -> Port { return Port{*rc::gen::arbitrary<std::uint16_t>()}; }

inline auto any_protocol() -> Protocol { return static_cast<Protocol>(*rc::gen::arbitrary<std::uint8_t>()); }

inline auto any_number() -> std::uint32_t { return *rc::gen::arbitrary<std::uint32_t>(); }

/// Fewer than `end` random octets.
inline auto any_bytes(std::size_t end) -> std::vector<std::byte> {
  std::vector<std::byte> bytes(*rc::gen::inRange<std::size_t>(0, end));
  std::ranges::transform(*any_octets(bytes.size()), bytes.begin(),
                         [](std::uint8_t octet) { return std::byte{octet}; });
  return bytes;
}

}  // namespace portolan::wire
