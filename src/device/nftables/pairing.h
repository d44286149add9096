// SPDX-License-Identifier: BSD-2-Clause
//
// Which external address the kernel chooses for an inside host: nftables' jhash, computed here too, so that
// explicit mappings get the address that the host's own traffic has (RFC 4787 REQ-2: paired pooling).
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/address.h"

namespace portolan::device {

/// What `jhash ip saddr mod count seed 0x0` makes of `inside`: 0 to count - 1. count > 0
[[nodiscard]] auto paired_address(Ipv4Address inside, std::uint32_t count) -> std::uint32_t;

}  // namespace portolan::device
