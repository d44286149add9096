// SPDX-License-Identifier: BSD-2-Clause
#include "io/router_socket.h"

#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include <fmt/format.h>

namespace portolan::io {
namespace {

constexpr in6_addr all_hosts{{{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}}};
constexpr in6_addr all_routers{{{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}}};
constexpr int hop_limit_of_neighbours = 255;

template <typename Value>
auto set_option(int descriptor, int level, int name, const Value& value) -> bool {
  return ::setsockopt(descriptor, level, name, &value, sizeof value) == 0;
}

struct alignas(cmsghdr) Control {
  std::array<std::byte, CMSG_SPACE(sizeof(in6_pktinfo)) + CMSG_SPACE(sizeof(int))> octets{};
};

}  // namespace

auto RouterSocket::open() -> std::expected<RouterSocket, std::string> {
  FileDescriptor descriptor{::socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_ICMPV6)};
  if (!descriptor) {
    auto text = errno_text("ICMPv6 socket", errno);
    if (errno == EPERM || errno == EACCES) text += ": router advertisements need CAP_NET_RAW, or to be root";
    return std::unexpected(std::move(text));
  }
  const int socket = descriptor.get();
  icmp6_filter filter{};
  ICMP6_FILTER_SETBLOCKALL(&filter);
  ICMP6_FILTER_SETPASS(ND_ROUTER_SOLICIT, &filter);
  ICMP6_FILTER_SETPASS(ND_ROUTER_ADVERT, &filter);
  constexpr int on = 1;
  constexpr int off = 0;
  if (!set_option(socket, IPPROTO_ICMPV6, ICMP6_FILTER, filter) ||
      !set_option(socket, IPPROTO_IPV6, IPV6_RECVPKTINFO, on) ||
      !set_option(socket, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, on) ||
      !set_option(socket, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, hop_limit_of_neighbours) ||
      // This host is no host of its own.
      !set_option(socket, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, off) ||
      !set_option(socket, IPPROTO_IPV6, IPV6_FREEBIND, on))
    return std::unexpected(errno_text("ICMPv6 socket: setsockopt", errno));
  return RouterSocket(std::move(descriptor));
}

auto RouterSocket::join(unsigned interface_index) const -> std::expected<void, std::string> {
  ipv6_mreq request{};
  request.ipv6mr_multiaddr = all_routers;
  request.ipv6mr_interface = interface_index;
  if (set_option(descriptor_.get(), IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, request) || errno == EADDRINUSE)
    return {};
  return std::unexpected(
      errno_text(fmt::format("joining all routers on interface {}", interface_index), errno));
}

auto RouterSocket::receive() -> std::expected<std::optional<Received>, SystemError> {
  sockaddr_in6 from{};
  iovec piece{.iov_base = buffer_.data(), .iov_len = buffer_.size()};
  Control control;
  msghdr header{};
  header.msg_name = &from;
  header.msg_namelen = sizeof from;
  header.msg_iov = &piece;
  header.msg_iovlen = 1;
  header.msg_control = control.octets.data();
  header.msg_controllen = control.octets.size();
  ssize_t got = -1;
  do {
    got = ::recvmsg(descriptor_.get(), &header, 0);
  } while (got < 0 && errno == EINTR);
  if (got < 0) {
    if (errno == EAGAIN) return std::nullopt;
    return std::unexpected(SystemError{errno, "recvmsg"});
  }
  Received received{.message = std::span(buffer_).first(static_cast<std::size_t>(got))};
  Ipv6Address source;
  std::memcpy(source.octets.data(), &from.sin6_addr, sizeof from.sin6_addr);
  received.source = IpAddress{source};
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != IPPROTO_IPV6) continue;
    if (part->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(part), sizeof info);
      received.interface_index = info.ipi6_ifindex;
    } else if (part->cmsg_type == IPV6_HOPLIMIT) {
      std::memcpy(&received.hop_limit, CMSG_DATA(part), sizeof received.hop_limit);
    }
  }
  return received;
}

auto RouterSocket::advertise(unsigned interface_index, const IpAddress& source,
                             std::span<const std::byte> message) const -> std::expected<void, SystemError> {
  sockaddr_in6 to{};
  to.sin6_family = AF_INET6;
  to.sin6_addr = all_hosts;
  to.sin6_scope_id = interface_index;
  // sendmsg() only reads the message; iovec has no const form.
  iovec piece{.iov_base = const_cast<std::byte*>(message.data()), .iov_len = message.size()};
  Control control;
  msghdr header{};
  header.msg_name = &to;
  header.msg_namelen = sizeof to;
  header.msg_iov = &piece;
  header.msg_iovlen = 1;
  header.msg_control = control.octets.data();
  header.msg_controllen = CMSG_SPACE(sizeof(in6_pktinfo));
  cmsghdr* const part = CMSG_FIRSTHDR(&header);
  in6_pktinfo info{};
  info.ipi6_ifindex = interface_index;
  std::memcpy(&info.ipi6_addr, source.bits().octets.data(), sizeof info.ipi6_addr);
  part->cmsg_level = IPPROTO_IPV6;
  part->cmsg_type = IPV6_PKTINFO;
  part->cmsg_len = CMSG_LEN(sizeof info);
  std::memcpy(CMSG_DATA(part), &info, sizeof info);
  while (::sendmsg(descriptor_.get(), &header, MSG_NOSIGNAL) < 0)
    if (errno != EINTR) return std::unexpected(SystemError{errno, "sendmsg"});
  return {};
}

}  // namespace portolan::io
