// SPDX-License-Identifier: BSD-2-Clause
//
// Identifications of IPv4 packets made here (RFC 7857 s10, RFC 6864 s5.3.1): counters by source,
// destination and protocol, as many as there is room for, begun where nobody can foresee.
#pragma once

#include <cstdint>

#include "base/hash.h"
#include "base/lazy_array.h"
#include "base/random.h"

namespace portolan::nat {

/// Packets from one address to another with one protocol share a counter, so that identifications repeat
/// only after 65536 of them, unless other flows fall on the same counter. Each flow begins at a place of its
/// own (RFC 7739 s5.3 does the same for IPv6): who sees one flow's does not know another's.
///
/// Packets that are never fragmented need no identification (RFC 6864 s4.1) and would use those of others
/// up: they have counters of their own. They count all the same, because receivers that merge segments want
/// them in order.
class Identifications {
 public:
  static constexpr std::uint32_t counters_count = 1U << 14U;  // and as many for what is never fragmented

  explicit Identifications(Random& random)
      : key_(HashKey::generate(random)), counters_(std::size_t{2} * counters_count) {}

  /// What names the counter of a flow and where it begins; addresses as they stand in packets.
  [[nodiscard]] auto flow_of(std::uint32_t source, std::uint32_t destination, std::uint8_t protocol) const
      -> std::uint32_t {
    return static_cast<std::uint32_t>(
        keyed_hash(key_, {std::uint64_t{source} << 32U | destination, protocol}));
  }

  /// The first of `count` identifications in order. Cost O(1).
  [[nodiscard]] auto take(std::uint32_t flow, bool dont_fragment, std::uint32_t count) -> std::uint16_t {
    std::uint16_t& counter =
        counters_[flow / (UINT32_MAX / counters_count + 1) * 2 + (dont_fragment ? 1 : 0)];
    const auto first = static_cast<std::uint16_t>(counter + flow);
    counter = static_cast<std::uint16_t>(counter + count);
    return first;
  }

 private:
  HashKey key_;
  LazyArray<std::uint16_t> counters_;
};

}  // namespace portolan::nat
