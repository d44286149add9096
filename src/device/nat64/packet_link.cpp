// SPDX-License-Identifier: BSD-2-Clause
#include "device/nat64/packet_link.h"

#include <spdlog/spdlog.h>

namespace portolan::device {

auto TunLink::read(std::span<std::byte> buffer) -> std::size_t {
  const auto octets = tun_.read(buffer);
  if (octets) return *octets;
  is_gone_ = true;
  spdlog::error("TUN {}: {}: was the interface deleted? Nothing is translated until the next start",
                tun_.name(), to_string(octets.error()));
  return 0;
}

}  // namespace portolan::device
