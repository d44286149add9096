// SPDX-License-Identifier: BSD-2-Clause
//
// Internal and external endpoints of mappings of several ports: the i-th after a first one.
#pragma once

#include <cstdint>

#include "base/address.h"
#include "base/mapping_key.h"

namespace portolan::device {

[[nodiscard]] inline auto with_port(MappingKey key, Port port) -> MappingKey {
  key.internal_port = port;
  return key;
}
[[nodiscard]] inline auto ith(Port first, std::uint32_t i) -> Port {
  return Port{static_cast<std::uint16_t>(first.value + i)};
}
[[nodiscard]] inline auto ith(const MappingKey& first, std::uint32_t i) -> MappingKey {
  return with_port(first, ith(first.internal_port, i));
}
[[nodiscard]] inline auto ith(const Endpoint& first, std::uint32_t i) -> Endpoint {
  return {first.address, ith(first.port, i)};
}

/// Whether `present` is what is suggested; all-zeros and 0 suggest nothing.
[[nodiscard]] inline auto agrees(const IpAddress& address, Port port, const Endpoint& present) -> bool {
  return (address.is_unspecified() || address == present.address) &&
         (port == Port{0} || port == present.port);
}

}  // namespace portolan::device
