// SPDX-License-Identifier: BSD-2-Clause
//
// Bare recvmmsg/sendmmsg with packet info, for the load generator and for the echo that servers are
// compared with. Deliberately not io::UdpSocket: the reference must not depend on what it measures.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstring>

#include "base/check.h"

namespace portolan::bench {

/// As many datagrams as io::UdpSocket moves in one call.
constexpr std::size_t batch_max = 64;
/// As much as the kernel is asked to queue: what portoland asks for.
constexpr int socket_buffer_octets = 16 << 20;

/// Room for datagrams of up to 128 octets with both addresses of each, and what the system calls want.
struct UdpBatch {
  static constexpr std::size_t payload_octets = 128;

  std::array<std::array<std::byte, payload_octets>, batch_max> payloads{};
  std::array<sockaddr_in6, batch_max> peers{};
  struct alignas(cmsghdr) Control {
    std::array<std::byte, CMSG_SPACE(sizeof(in6_pktinfo))> octets{};
  };
  std::array<Control, batch_max> controls{};
  std::array<iovec, batch_max> pieces{};
  std::array<mmsghdr, batch_max> messages{};

  /// Takes at least one datagram if `waits`, at most batch_max; how many.
  auto receive(int socket, bool waits) -> std::size_t {
    for (std::size_t i = 0; i < batch_max; ++i) {
      prepare(i, payload_octets);
      messages[i].msg_hdr.msg_controllen = sizeof controls[i].octets;
    }
    const int flags = waits ? MSG_WAITFORONE : MSG_DONTWAIT;
    const int count = ::recvmmsg(socket, messages.data(), batch_max, flags | MSG_TRUNC, nullptr);
    return count < 0 ? 0 : static_cast<std::size_t>(count);
  }

  /// Where datagram `i` came to.
  [[nodiscard]] auto local_of(std::size_t i) -> in6_pktinfo {
    in6_pktinfo info{};
    if (const cmsghdr* header = CMSG_FIRSTHDR(&messages[i].msg_hdr);
        header != nullptr && header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_PKTINFO)
      std::memcpy(&info, CMSG_DATA(header), sizeof info);
    return info;
  }

  /// Makes datagram `i` of `octets` to peers[i] leave from `local`.
  void address(std::size_t i, std::size_t octets, const in6_pktinfo& local) {
    prepare(i, octets);
    messages[i].msg_hdr.msg_controllen = sizeof controls[i].octets;
    cmsghdr* header = CMSG_FIRSTHDR(&messages[i].msg_hdr);
    header->cmsg_level = IPPROTO_IPV6;
    header->cmsg_type = IPV6_PKTINFO;
    header->cmsg_len = CMSG_LEN(sizeof local);
    std::memcpy(CMSG_DATA(header), &local, sizeof local);
  }

  /// Sends the first `count`; how many the kernel took.
  auto send(int socket, std::size_t count) -> std::size_t {
    std::size_t sent = 0;
    while (sent < count) {
      const int now = ::sendmmsg(socket, messages.data() + sent, static_cast<unsigned>(count - sent), 0);
      if (now <= 0) break;
      sent += static_cast<std::size_t>(now);
    }
    return sent;
  }

 private:
  void prepare(std::size_t i, std::size_t octets) {
    pieces[i] = {.iov_base = payloads[i].data(), .iov_len = octets};
    msghdr& header = messages[i].msg_hdr;
    header = {};
    header.msg_name = &peers[i];
    header.msg_namelen = sizeof peers[i];
    header.msg_iov = &pieces[i];
    header.msg_iovlen = 1;
    header.msg_control = controls[i].octets.data();
  }
};

/// A UDP socket with the options that portoland's has, bound to `port` of all addresses. Aborts if the
/// kernel refuses it.
inline auto open_udp(in_port_t port) -> int {
  const int socket = ::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);
  PORTOLAN_CHECK(socket >= 0);
  const auto set = [socket](int level, int option, int value) {
    PORTOLAN_CHECK(::setsockopt(socket, level, option, &value, sizeof value) == 0);
  };
  set(IPPROTO_IPV6, IPV6_V6ONLY, 0);
  set(IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
  set(SOL_SOCKET, SO_RCVBUFFORCE, socket_buffer_octets);
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(port);
  PORTOLAN_CHECK(::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  return socket;
}

}  // namespace portolan::bench
