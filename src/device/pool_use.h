// SPDX-License-Identifier: BSD-2-Clause
//
// How much of its external ports a device has left.
#pragma once

#include <cstdint>

#include "base/address.h"

namespace portolan::device {

/// External ports of one protocol at all addresses of a device.
struct PoolUse {
  Protocol protocol = Protocol::udp;
  std::uint64_t ports = 0;  ///< that the device gives to hosts
  std::uint64_t taken = 0;  ///< of these: nobody else may have them now

  auto operator==(const PoolUse&) const -> bool = default;
};

}  // namespace portolan::device
