// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <cstddef>
#include <span>

#include "device/nat64/packet_link.h"
#include "io/wakeup.h"

namespace portolan::gateway::test {

/// No packet ever comes.
class QuietLink final : public device::PacketLink {
 public:
  auto read(std::span<std::byte> /*buffer*/) -> std::size_t override { return 0; }
  auto write(std::span<const std::byte> /*packet*/) -> bool override { return true; }
  auto takes_udp_superpackets() const -> bool override { return false; }
  auto descriptor() const -> int override { return never_.descriptor(); }

 private:
  io::Wakeup never_;
};

}  // namespace portolan::gateway::test
