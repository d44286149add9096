// SPDX-License-Identifier: BSD-2-Clause
#include "io/resolve.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "io/system.h"

namespace portolan::io {
namespace {

auto to_scoped_address(const addrinfo& info) -> ScopedAddress {
  if (info.ai_family == AF_INET) {
    sockaddr_in address{};
    std::memcpy(&address, info.ai_addr, sizeof address);
    return {.address = IpAddress{Ipv4Address{ntohl(address.sin_addr.s_addr)}},
            .interface_index = 0,
            .interface = {}};
  }
  sockaddr_in6 address{};
  std::memcpy(&address, info.ai_addr, sizeof address);
  Ipv6Address octets;
  std::memcpy(octets.octets.data(), &address.sin6_addr, octets.octets.size());
  ScopedAddress scoped{.address = IpAddress{octets}, .interface_index = 0, .interface = {}};
  if (IN6_IS_ADDR_LINKLOCAL(&address.sin6_addr)) {
    scoped.interface_index = address.sin6_scope_id;
    std::array<char, IF_NAMESIZE> name{};
    if (::if_indextoname(scoped.interface_index, name.data()) != nullptr) scoped.interface = name.data();
  }
  return scoped;
}

auto look_up(const std::string& host, int flags) -> std::expected<std::vector<ScopedAddress>, std::string> {
  addrinfo hints{};
  hints.ai_flags = flags;
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* results = nullptr;
  const int status = ::getaddrinfo(host.c_str(), nullptr, &hints, &results);
  if (status != 0) {
    const std::string cause = status == EAI_SYSTEM  ? errno_text("getaddrinfo", errno)
                              : status == EAI_AGAIN ? "no name server gives an answer"
                                                    : ::gai_strerror(status);
    return std::unexpected(fmt::format("{}: {}", host, cause));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(results, ::freeaddrinfo);
  std::vector<ScopedAddress> addresses;
  for (const addrinfo* info = results; info != nullptr; info = info->ai_next)
    if (info->ai_family == AF_INET || info->ai_family == AF_INET6)
      addresses.push_back(to_scoped_address(*info));
  if (addresses.empty()) return std::unexpected(fmt::format("{}: the name has no address", host));
  return addresses;
}

}  // namespace

auto resolve(const std::string& host) -> std::expected<std::vector<ScopedAddress>, std::string> {
  return look_up(host, 0);
}

auto resolve_address(const std::string& host) -> std::optional<std::vector<ScopedAddress>> {
  auto addresses = look_up(host, AI_NUMERICHOST);
  return addresses ? std::optional(std::move(*addresses)) : std::nullopt;
}

}  // namespace portolan::io
