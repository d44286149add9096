// SPDX-License-Identifier: BSD-2-Clause
#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

#include "shim/shim.h"

namespace portolan::shim {
namespace {

/// Adds text as long as there is room. snprintf() is not for signal handlers.
class Line {
 public:
  explicit Line(char (&text)[report_octets_max]) : text_(text) {}
  void add(const char* word) {
    for (; *word != '\0' && length_ < report_octets_max; ++word) text_[length_++] = *word;
  }
  void add(uint64_t number) {
    char digits[21] = {};
    size_t at = sizeof digits - 1;
    do {
      digits[--at] = static_cast<char>('0' + number % 10);
      number /= 10;
    } while (number != 0);
    add(digits + at);
  }
  [[nodiscard]] auto length() const -> size_t { return length_; }

 private:
  char* text_;
  size_t length_ = 0;
};

auto option(int descriptor, int level, int name) -> int {
  int value = -1;
  socklen_t length = sizeof value;
  return getsockopt(descriptor, level, name, &value, &length) == 0 ? value : -1;
}

}  // namespace

auto describe_socket(int descriptor, decltype(&::getsockname) getsockname, char (&text)[report_octets_max])
    -> size_t {
  const int protocol = option(descriptor, SOL_SOCKET, SO_PROTOCOL);
  if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP) return 0;
  uint64_t cookie = 0;
  socklen_t cookie_length = sizeof cookie;
  if (getsockopt(descriptor, SOL_SOCKET, SO_COOKIE, &cookie, &cookie_length) != 0) return 0;
  sockaddr_in6 name{};
  socklen_t length = sizeof name;
  if (getsockname(descriptor, reinterpret_cast<sockaddr*>(&name), &length) != 0) return 0;
  char address[INET6_ADDRSTRLEN] = {};
  const char* family = nullptr;
  if (name.sin6_family == AF_INET) {
    const auto& ipv4 = *reinterpret_cast<const sockaddr_in*>(&name);
    if ((ntohl(ipv4.sin_addr.s_addr) >> 24U) == 127 || (ntohl(ipv4.sin_addr.s_addr) >> 28U) == 14) return 0;
    inet_ntop(AF_INET, &ipv4.sin_addr, address, sizeof address);
    family = "4";
  } else if (name.sin6_family == AF_INET6) {
    if (IN6_IS_ADDR_LOOPBACK(&name.sin6_addr) || IN6_IS_ADDR_LINKLOCAL(&name.sin6_addr) ||
        IN6_IS_ADDR_MULTICAST(&name.sin6_addr))
      return 0;
    inet_ntop(AF_INET6, &name.sin6_addr, address, sizeof address);
    const bool is_wildcard = IN6_IS_ADDR_UNSPECIFIED(&name.sin6_addr);
    family = is_wildcard && option(descriptor, IPPROTO_IPV6, IPV6_V6ONLY) == 0 ? "both" : "6";
  } else {
    return 0;
  }
  Line line(text);
  line.add("open ");
  line.add(cookie);
  line.add(protocol == IPPROTO_TCP ? " tcp " : " udp ");
  line.add(family);
  line.add(" ");
  line.add(address);
  line.add(" ");
  line.add(static_cast<uint64_t>(ntohs(name.sin6_port)));
  return line.length();
}

}  // namespace portolan::shim
