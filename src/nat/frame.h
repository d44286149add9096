// SPDX-License-Identifier: BSD-2-Clause
//
// A packet on its way through the translator, and what becomes of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "nat/counters.h"
#include "nat/packet.h"

namespace portolan::nat {

/// A packet in a borrowed buffer, translated in place: it starts at `offset`, which moves.
struct Frame {
  /// Octets that must be free before the packet: an IPv4 header grows by 20, in an ICMP error twice.
  static constexpr std::size_t headroom_min = 64;

  std::span<std::byte> buffer;
  std::size_t offset = headroom_min;
  std::size_t size = 0;
  Offload offload{};

  [[nodiscard]] auto packet() const -> std::span<std::byte> { return buffer.subspan(offset, size); }
};

enum class Action : std::uint8_t {
  forward,
  drop,
  keep,   ///< a fragment: what it is part of goes on when the rest has come
  leave,  ///< to an address that the host shares, and none of the translator's: it is the host's
};

struct Verdict {
  Action action = Action::drop;
  DropReason reason = DropReason::none;

  auto operator==(const Verdict&) const -> bool = default;
};

}  // namespace portolan::nat
