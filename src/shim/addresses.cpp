// SPDX-License-Identifier: BSD-2-Clause
#include "shim/addresses.h"

#include <arpa/inet.h>
#include <string.h>

namespace portolan::shim {
namespace {

/// Octets of the IPv4 address stand behind the prefix, octet 8 left out.
void for_each_place(unsigned length, auto visit) {
  unsigned place = length / 8;
  for (unsigned i = 0; i < 4; ++i, ++place) {
    if (place == 8) ++place;
    visit(i, place);
  }
}

}  // namespace

auto parse_prefix64(const char* text) -> Prefix64 {
  char address[INET6_ADDRSTRLEN] = {};
  const char* const slash = text == nullptr ? nullptr : strchr(text, '/');
  if (slash == nullptr || slash - text >= INET6_ADDRSTRLEN) return {};
  memcpy(address, text, static_cast<size_t>(slash - text));
  Prefix64 prefix;
  if (inet_pton(AF_INET6, address, &prefix.address) != 1) return {};
  unsigned length = 0;
  for (const char* digit = slash + 1; *digit != '\0'; ++digit) {
    if (*digit < '0' || *digit > '9' || length > 96) return {};
    length = length * 10 + static_cast<unsigned>(*digit - '0');
  }
  if (length < 32 || length > 96 || length % 8 != 0 || (length > 64 && length < 96)) return {};
  prefix.length = length;
  return prefix;
}

auto to_ipv4(const in6_addr& address, const Prefix64& prefix) -> in_addr {
  in_addr result{};
  auto* const octets = reinterpret_cast<unsigned char*>(&result);
  if (IN6_IS_ADDR_V4MAPPED(&address)) {
    memcpy(octets, address.s6_addr + 12, 4);
  } else if (IN6_IS_ADDR_LOOPBACK(&address)) {
    result.s_addr = htonl(INADDR_LOOPBACK);
  } else if (prefix.length != 0 && memcmp(&address, &prefix.address, prefix.length / 8) == 0) {
    for_each_place(prefix.length, [&](unsigned i, unsigned place) { octets[i] = address.s6_addr[place]; });
  } else if (!IN6_IS_ADDR_UNSPECIFIED(&address)) {
    result.s_addr = no_address;
  }
  return result;
}

auto to_ipv6(const in_addr& address, const Prefix64& prefix) -> in6_addr {
  const auto* const octets = reinterpret_cast<const unsigned char*>(&address);
  in6_addr result{};
  if (address.s_addr == INADDR_ANY) return result;
  if (prefix.length == 0 || octets[0] == 127) {
    result.s6_addr[10] = result.s6_addr[11] = 0xff;
    memcpy(result.s6_addr + 12, octets, 4);
    return result;
  }
  memcpy(&result, &prefix.address, prefix.length / 8);
  for_each_place(prefix.length, [&](unsigned i, unsigned place) { result.s6_addr[place] = octets[i]; });
  return result;
}

}  // namespace portolan::shim
