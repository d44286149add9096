// SPDX-License-Identifier: BSD-2-Clause
//
// Internet checksum arithmetic (RFC 1071) and its incremental form (RFC 1624). Freestanding.
//
// Sums are taken over 16-bit words as they stand in memory: RFC 1071 shows that the result,
// stored the same way, is right on machines of either byte order.
#pragma once

#include <stdint.h>

#include "nat/packet.h"

namespace portolan::nat {

/// Folds carries back in until 16 bits are left: the ones' complement sum.
inline auto fold(uint64_t sum) -> uint16_t {
  sum = (sum & 0xffffffffU) + (sum >> 32U);
  sum = (sum & 0xffffU) + (sum >> 16U);
  sum = (sum & 0xffffU) + (sum >> 16U);
  sum = (sum & 0xffffU) + (sum >> 16U);
  return static_cast<uint16_t>(sum);
}

/// Unfolded sum of `size` octets; an odd last octet is padded with a zero.
inline auto sum_octets(const uint8_t* octets, uint32_t size) -> uint64_t {
  uint64_t sum = 0;
  for (; size >= 4; size -= 4, octets += 4) sum += load_raw32(octets);
  if (size >= 2) {
    sum += load_raw16(octets);
    octets += 2;
    size -= 2;
  }
  if (size == 1) {
    const uint8_t last[2] = {*octets, 0};
    sum += load_raw16(last);
  }
  return sum;
}

/// Ones' complement a - b.
inline auto difference(uint16_t a, uint16_t b) -> uint16_t {
  return fold(static_cast<uint64_t>(a) + static_cast<uint16_t>(~b));
}

/// Ones' complement a + b.
inline auto sum_of(uint16_t a, uint16_t b) -> uint16_t { return fold(static_cast<uint64_t>(a) + b); }

/// Checksum field after the octets it covers changed by `delta` = sum(new) - sum(old), RFC 1624 s3.
inline auto adjust_checksum(uint16_t checksum, uint16_t delta) -> uint16_t {
  return static_cast<uint16_t>(~fold(static_cast<uint64_t>(static_cast<uint16_t>(~checksum)) + delta));
}

/// Field of a packet that needs_csum: an uncomplemented partial sum.
inline auto adjust_partial(uint16_t partial, uint16_t delta) -> uint16_t {
  return fold(static_cast<uint64_t>(partial) + delta);
}

/// Sum of the part of a pseudo-header that is no address: protocol and length are in both families'
/// forms at places of the same weight (RFC 9293 s3.1, RFC 8200 s8.1).
inline auto sum_protocol_and_length(uint8_t protocol, uint32_t length) -> uint64_t {
  uint8_t octets[8];
  store32(octets, length);
  store32(octets + 4, protocol);
  return sum_octets(octets, sizeof octets);
}

/// Checksum of an IPv4 header whose checksum field is zero.
inline auto ipv4_header_checksum(const uint8_t* header, uint32_t size) -> uint16_t {
  return static_cast<uint16_t>(~fold(sum_octets(header, size)));
}

}  // namespace portolan::nat
