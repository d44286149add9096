// SPDX-License-Identifier: BSD-2-Clause
//
// Hosts of this host's links, as far as the kernel has looked for them (RFC 4861, and ARP).
#pragma once

#include <cstdint>
#include <expected>
#include <vector>

#include "base/address.h"
#include "io/system.h"

namespace portolan::io {

struct Neighbour {
  IpAddress address;
  std::uint32_t interface_index = 0;
  auto operator==(const Neighbour&) const -> bool = default;
};

/// Those that do not answer the kernel, or have not yet: nothing that is sent to them leaves this host.
/// Errors  of the system call
[[nodiscard]] auto silent_neighbours() -> std::expected<std::vector<Neighbour>, SystemError>;

}  // namespace portolan::io
