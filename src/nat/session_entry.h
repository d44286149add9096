// SPDX-License-Identifier: BSD-2-Clause
//
// One direction of one session, as the translator looks it up: everything needed to rewrite a packet
// is in this one cache line. Each session has two entries. Freestanding.
#pragma once

#include <stdint.h>

#include "nat/flat_table.h"
#include "nat/packet.h"

namespace portolan::nat {

/// The family of the packets that an entry or a counter is about.
enum class Direction : uint8_t { from_ipv6 = 0, from_ipv4 = 1 };

/// Key of packets from the inside: (X',x),(Z,z). All numbers as they stand in the packet; an echo
/// has its identifier as inside_port and 0 as remote_port.
struct InsideKey {
  uint8_t inside[16];
  uint32_t remote;
  uint16_t inside_port;
  uint16_t remote_port;
  uint8_t protocol;
};

/// Key of packets from the outside: (T,t),(Z,z).
struct OutsideKey {
  uint32_t external;
  uint32_t remote;
  uint16_t external_port;
  uint16_t remote_port;
  uint8_t protocol;
};

/// (X',x),(Y',y) <--> (T,t),(Z,z) of RFC 6146 s3.2, with Y' = prefix + Z and y = z.
struct alignas(64) SessionEntry {
  uint32_t sequence;       ///< odd while the entry changes
  uint32_t session;        ///< number of the session, 0 in an empty slot
  uint32_t hash;           ///< of this direction's key
  uint32_t last;           ///< tick of the last packet that counts as activity
  uint8_t inside[16];      ///< X'
  uint32_t remote;         ///< Z
  uint32_t external;       ///< T
  uint16_t inside_port;    ///< x
  uint16_t external_port;  ///< t
  uint16_t remote_port;    ///< z
  uint16_t flow_delta;     ///< what rewriting adds to a complete checksum: addresses and port
  uint16_t address_delta;  ///< the same, addresses only: for partial checksums
  uint8_t protocol;
  Direction direction;
  uint8_t steady;  ///< packets without SYN, FIN and RST change nothing but `last`
  uint8_t prefix;  ///< number of the translation prefix that the host inside knows Z by
  uint8_t reserved[2];
  uint32_t identification_flow;  ///< direction from_ipv6: where IPv4 identifications come from

  [[nodiscard]] auto is_empty() const -> bool { return session == 0; }
  [[nodiscard]] auto matches(const InsideKey& key) const -> bool {
    return direction == Direction::from_ipv6 && protocol == key.protocol && remote == key.remote &&
           inside_port == key.inside_port && remote_port == key.remote_port &&
           __builtin_memcmp(inside, key.inside, 16) == 0;
  }
  [[nodiscard]] auto matches(const OutsideKey& key) const -> bool {
    return direction == Direction::from_ipv4 && protocol == key.protocol && remote == key.remote &&
           external == key.external && external_port == key.external_port && remote_port == key.remote_port;
  }
};
static_assert(sizeof(SessionEntry) == 64);

inline auto hash_key(const TableSecret& secret, const InsideKey& key) -> uint32_t {
  uint32_t words[8];
  __builtin_memcpy(words, key.inside, 16);
  words[4] = key.remote;
  words[5] = static_cast<uint32_t>(key.inside_port) << 16U | key.remote_port;
  words[6] = key.protocol;
  words[7] = 0;
  return hash_words(secret, words, 8);
}

inline auto hash_key(const TableSecret& secret, const OutsideKey& key) -> uint32_t {
  const uint32_t words[4] = {key.external, key.remote,
                             static_cast<uint32_t>(key.external_port) << 16U | key.remote_port,
                             static_cast<uint32_t>(key.protocol) | 0x100U};
  return hash_words(secret, words, 4);
}

}  // namespace portolan::nat
