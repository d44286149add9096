// SPDX-License-Identifier: BSD-2-Clause
#include "io/socket_watch.h"

#include <linux/filter.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include <libmnl/libmnl.h>

#include "io/netlink_request.h"
#include "io/system.h"

namespace portolan::io {
namespace {

auto cookie_of(const nlmsghdr* message) -> std::uint64_t {
  if (mnl_nlmsg_get_payload_len(message) < sizeof(inet_diag_msg)) return 0;
  const auto header = header_of<inet_diag_msg>(message);
  return header.id.idiag_cookie[0] | std::uint64_t{header.id.idiag_cookie[1]} << 32U;
}

using MnlSocket = std::unique_ptr<mnl_socket, Closer>;

auto open_watch(std::initializer_list<int> groups) -> std::expected<MnlSocket, std::string> {
  MnlSocket socket(mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket) return std::unexpected(errno_text("netlink sock_diag", errno));
  if (mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0)
    return std::unexpected(errno_text("netlink sock_diag bind", errno));
  for (int group : groups)
    if (mnl_socket_setsockopt(socket.get(), NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0)
      return std::unexpected(errno_text("netlink sock_diag membership", errno));
  return socket;
}

/// Connections come and go by the thousand; only sockets without a remote port wake the program.
auto leave_connections_out(mnl_socket* socket) -> std::expected<void, std::string> {
  constexpr auto remote_port =
      NLMSG_HDRLEN + offsetof(inet_diag_msg, id) + offsetof(inet_diag_sockid, idiag_dport);
  std::array<sock_filter, 4> code{{
      BPF_STMT(BPF_LD | BPF_H | BPF_ABS, static_cast<std::uint32_t>(remote_port)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
      BPF_STMT(BPF_RET | BPF_K, 0),
  }};
  const sock_fprog program{.len = code.size(), .filter = code.data()};
  if (::setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0)
    return std::unexpected(errno_text("netlink sock_diag filter", errno));
  return {};
}

}  // namespace

struct SocketWatch::Sockets {
  MnlSocket tcp;
  MnlSocket udp;
};

SocketWatch::SocketWatch(std::unique_ptr<Sockets> sockets) : sockets_(std::move(sockets)) {}
SocketWatch::SocketWatch(SocketWatch&&) noexcept = default;
auto SocketWatch::operator=(SocketWatch&&) noexcept -> SocketWatch& = default;
SocketWatch::~SocketWatch() = default;

auto socket_cookie(int descriptor) -> std::uint64_t {
  std::uint64_t cookie = 0;
  socklen_t length = sizeof cookie;
  return ::getsockopt(descriptor, SOL_SOCKET, SO_COOKIE, &cookie, &length) == 0 ? cookie : 0;
}

auto SocketWatch::open() -> std::expected<SocketWatch, std::string> {
  auto tcp = open_watch({SKNLGRP_INET_TCP_DESTROY, SKNLGRP_INET6_TCP_DESTROY});
  if (!tcp) return std::unexpected(tcp.error());
  if (const auto filtered = leave_connections_out(tcp->get()); !filtered)
    return std::unexpected(filtered.error());
  auto udp = open_watch({SKNLGRP_INET_UDP_DESTROY, SKNLGRP_INET6_UDP_DESTROY});
  if (!udp) return std::unexpected(udp.error());
  return SocketWatch{std::make_unique<Sockets>(Sockets{.tcp = std::move(*tcp), .udp = std::move(*udp)})};
}

auto SocketWatch::descriptors() const -> std::vector<int> {
  return {mnl_socket_get_fd(sockets_->tcp.get()), mnl_socket_get_fd(sockets_->udp.get())};
}

// What is taken is gone. NOLINTNEXTLINE(readability-make-member-function-const)
auto SocketWatch::take() -> News {
  News news;
  alignas(nlmsghdr) std::array<std::byte, 32768> words;
  for (const int descriptor : descriptors()) {
    for (;;) {
      const auto got = ::recv(descriptor, words.data(), words.size(), 0);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && errno == ENOBUFS) {
        news.is_incomplete = true;
        continue;
      }
      if (got <= 0) break;
      int left = static_cast<int>(got);
      for (auto* message = reinterpret_cast<const nlmsghdr*>(words.data()); mnl_nlmsg_ok(message, left);
           message = mnl_nlmsg_next(message, &left))
        if (message->nlmsg_type == SOCK_DIAG_BY_FAMILY) news.ended.push_back(cookie_of(message));
    }
  }
  return news;
}

auto SocketWatch::open_sockets() -> std::expected<std::vector<std::uint64_t>, std::string> {
  NetlinkSocket socket;
  if (const auto opened = socket.open(NETLINK_SOCK_DIAG); !opened)
    return std::unexpected(to_string(opened.error()));
  std::vector<std::uint64_t> cookies;
  for (const auto family : {std::uint8_t{AF_INET}, std::uint8_t{AF_INET6}}) {
    for (const auto protocol : {std::uint8_t{IPPROTO_TCP}, std::uint8_t{IPPROTO_UDP}}) {
      inet_diag_req_v2 header{};
      header.sdiag_family = family;
      header.sdiag_protocol = protocol;
      header.idiag_states = protocol == IPPROTO_TCP ? 1U << TCP_LISTEN : UINT32_MAX;
      Request request{SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, header};
      auto listed = socket.list<std::uint64_t>(
          request, [](const nlmsghdr* message, auto& found) { found.push_back(cookie_of(message)); });
      if (!listed) return std::unexpected("sock_diag: " + to_string(listed.error()));
      cookies.insert(cookies.end(), listed->begin(), listed->end());
    }
  }
  return cookies;
}

}  // namespace portolan::io
