// SPDX-License-Identifier: BSD-2-Clause
//
// Between the addresses that a program for IPv4 sees and those that its socket has.
#pragma once

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

namespace portolan::shim {

/// A NAT64 prefix (RFC 6052 s2.2); length 0: none is known.
struct Prefix64 {
  in6_addr address = {};
  unsigned length = 0;
};

/// Stands for a peer that has no IPv4 address (RFC 7600). In network order.
inline constexpr uint32_t no_address = __builtin_bswap32(0xc0000008);

/// Reads "ADDRESS/LENGTH" with a length of RFC 6052. Length 0 if it is anything else.
[[nodiscard]] auto parse_prefix64(const char* text) -> Prefix64;

/// As a program for IPv4 sees it: the address that is mapped or embedded, 0.0.0.0 for ::, 127.0.0.1 for ::1,
/// else no_address.
[[nodiscard]] auto to_ipv4(const in6_addr& address, const Prefix64& prefix) -> in_addr;

/// Where packets to an IPv4 address go: over the NAT64 if there is one, on this host as a mapped address.
[[nodiscard]] auto to_ipv6(const in_addr& address, const Prefix64& prefix) -> in6_addr;

}  // namespace portolan::shim
