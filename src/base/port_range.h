// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <cstdint>

#include "base/address.h"

namespace portolan {

/// Ports from `first` to `last`, both included; all unless said otherwise.
struct PortRange {
  Port first{0};
  Port last{65535};

  auto operator==(const PortRange&) const -> bool = default;
  [[nodiscard]] auto contains(Port port) const -> bool { return first <= port && port <= last; }
  /// How many of `count` consecutive ports from `port` on are in it, from `port` on.
  [[nodiscard]] auto contained(Port port, std::uint32_t count) const -> std::uint32_t {
    if (!contains(port)) return 0;
    const std::uint32_t room = std::uint32_t{last.value} - port.value + 1U;
    return count < room ? count : room;
  }
};

}  // namespace portolan
