// SPDX-License-Identifier: BSD-2-Clause
#include "device/nftables/pairing.h"

#include <bit>

namespace portolan::device {

auto paired_address(Ipv4Address inside, std::uint32_t count) -> std::uint32_t {
  // Jenkins' hash "lookup3" of four octets, as Linux computes it: the octets are read as they lie in the
  // packet, little-endian. The remainder is taken by multiplication.
  std::uint32_t a = 0xdeadbeefU + 4U;
  std::uint32_t b = a;
  std::uint32_t c = a;
  a += __builtin_bswap32(inside.value);
  c ^= b;
  c -= std::rotl(b, 14);
  a ^= c;
  a -= std::rotl(c, 11);
  b ^= a;
  b -= std::rotl(a, 25);
  c ^= b;
  c -= std::rotl(b, 16);
  a ^= c;
  a -= std::rotl(c, 4);
  b ^= a;
  b -= std::rotl(a, 14);
  c ^= b;
  c -= std::rotl(b, 24);
  return static_cast<std::uint32_t>(std::uint64_t{c} * count >> 32U);
}

}  // namespace portolan::device
