// SPDX-License-Identifier: BSD-2-Clause
//
// IPv4 addresses inside IPv6 addresses (RFC 6052 s2.2), for the six prefix lengths. Freestanding.
//
//   PL   octets 0            4     5  6  7  8  9  10 11 12 13 14 15
//   32   prefix              v4(32)         u  suffix
//   40   prefix                    v4(24)   u  (8)  suffix
//   48   prefix                       v4(16)u  (16)    suffix
//   56   prefix                          (8)u  (24)       suffix
//   64   prefix                             u  v4(32)        suffix
//   96   prefix                                            v4(32)
#pragma once

#include <stdint.h>

namespace portolan::nat {

/// A translation prefix; octets behind its length are zero.
struct Embedding {
  uint8_t prefix[16];
  uint8_t length;  ///< 32, 40, 48, 56, 64 or 96 bits
};

inline constexpr auto is_embedding_length(unsigned length) -> bool {
  return length == 32 || length == 40 || length == 48 || length == 56 || length == 64 || length == 96;
}

/// Writes the IPv6 form of `v4` (network order) to `v6`; octet 8 and the suffix are zero.
inline void embed(const Embedding& embedding, const uint8_t v4[4], uint8_t v6[16]) {
  __builtin_memcpy(v6, embedding.prefix, 16);
  if (embedding.length == 96) {
    __builtin_memcpy(v6 + 12, v4, 4);
    return;
  }
  uint32_t at = embedding.length / 8U;
  for (uint32_t i = 0; i < 4; ++i, ++at) {
    if (at == 8) ++at;  // the u octet stays zero
    v6[at & 15U] = v4[i];
  }
}

/// Whether `v6` lies in the prefix.
inline auto is_embedded(const Embedding& embedding, const uint8_t v6[16]) -> bool {
  if (embedding.length == 96) return __builtin_memcmp(v6, embedding.prefix, 12) == 0;
  const uint32_t octets = embedding.length / 8U;
  for (uint32_t i = 0; i < 8; ++i)
    if (i < octets && v6[i] != embedding.prefix[i]) return false;
  return true;
}

/// Reads the IPv4 address (network order) out of `v6`, which lies in the prefix; octet 8 and the
/// suffix are ignored.
inline void extract(const Embedding& embedding, const uint8_t v6[16], uint8_t v4[4]) {
  if (embedding.length == 96) {
    __builtin_memcpy(v4, v6 + 12, 4);
    return;
  }
  uint32_t at = embedding.length / 8U;
  for (uint32_t i = 0; i < 4; ++i, ++at) {
    if (at == 8) ++at;
    v4[i] = v6[at & 15U];
  }
}

/// Whether `v4` (network order) is outside the blocks RFC 6052 s3.1 bans from 64:ff9b::/96: private,
/// shared, link-local, documentation, benchmarking, multicast and reserved addresses.
inline auto is_global_ipv4(const uint8_t v4[4]) -> bool {
  const uint32_t a = v4[0];
  const uint32_t b = v4[1];
  const uint32_t c = v4[2];
  if (a == 0 || a == 10 || a == 127 || a >= 224) return false;
  if (a == 100 && (b & 0xc0U) == 64) return false;
  if (a == 169 && b == 254) return false;
  if (a == 172 && (b & 0xf0U) == 16) return false;
  if (a == 192 && b == 168) return false;
  if (a == 192 && b == 0 && (c == 0 || c == 2)) return false;
  if (a == 198 && (b & 0xfeU) == 18) return false;
  if (a == 198 && b == 51 && c == 100) return false;
  return a != 203 || b != 0 || c != 113;
}

/// Whether `v4` can be neither source nor destination of a translated packet: 0/8, 127/8, multicast,
/// reserved, broadcast (RFC 7915 s4.1).
inline auto is_illegal_ipv4(const uint8_t v4[4]) -> bool {
  return v4[0] == 0 || v4[0] == 127 || v4[0] >= 224;
}

}  // namespace portolan::nat
