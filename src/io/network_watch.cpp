// SPDX-License-Identifier: BSD-2-Clause
#include "io/network_watch.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include <libmnl/libmnl.h>

#include "io/netlink_request.h"
#include "io/system.h"

namespace portolan::io {
namespace {

/// Options follow a header that says how many octets they have.
void take_options(const nlmsghdr* message, std::vector<AdvertisedOptions>& advertised) {
  const std::size_t payload = mnl_nlmsg_get_payload_len(message);
  if (payload < sizeof(nduseroptmsg) || advertised.size() >= NetworkWatch::advertised_max) return;
  const auto header = header_of<nduseroptmsg>(message);
  const std::size_t length = header.nduseropt_opts_len;
  if (header.nduseropt_family != AF_INET6 || length > payload - sizeof header) return;
  const auto* first = static_cast<const std::byte*>(mnl_nlmsg_get_payload(message)) + sizeof header;
  advertised.push_back({.interface_index = static_cast<std::uint32_t>(header.nduseropt_ifindex),
                        .octets = {first, first + length}});
}

}  // namespace

struct NetworkWatch::Socket {
  std::unique_ptr<mnl_socket, Closer> socket;
};

NetworkWatch::NetworkWatch(std::unique_ptr<Socket> socket) : socket_(std::move(socket)) {}
NetworkWatch::NetworkWatch(NetworkWatch&&) noexcept = default;
auto NetworkWatch::operator=(NetworkWatch&&) noexcept -> NetworkWatch& = default;
NetworkWatch::~NetworkWatch() = default;

auto NetworkWatch::open() -> std::expected<NetworkWatch, std::string> {
  auto socket = std::make_unique<Socket>();
  socket->socket.reset(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket->socket) return std::unexpected(errno_text("netlink socket", errno));
  constexpr unsigned groups =
      RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
  if (mnl_socket_bind(socket->socket.get(), groups, MNL_SOCKET_AUTOPID) < 0)
    return std::unexpected(errno_text("netlink bind", errno));
  int group = RTNLGRP_ND_USEROPT;
  if (mnl_socket_setsockopt(socket->socket.get(), NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0)
    return std::unexpected(errno_text("netlink membership", errno));
  return NetworkWatch{std::move(socket)};
}

auto NetworkWatch::descriptor() const -> int { return mnl_socket_get_fd(socket_->socket.get()); }

auto NetworkWatch::take() -> NetworkNews {
  NetworkNews news;
  alignas(nlmsghdr) std::array<std::byte, 32768> words;
  for (;;) {
    const auto got = ::recv(descriptor(), words.data(), words.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    // ENOBUFS: words were lost, which is word too.
    if (got < 0 && errno == ENOBUFS) {
      news.has_changed = true;
      continue;
    }
    if (got <= 0) return news;
    int left = static_cast<int>(got);
    for (auto* message = reinterpret_cast<const nlmsghdr*>(words.data()); mnl_nlmsg_ok(message, left);
         message = mnl_nlmsg_next(message, &left)) {
      if (message->nlmsg_type == RTM_NEWNDUSEROPT)
        take_options(message, news.advertised);
      else
        news.has_changed = true;
    }
  }
}

}  // namespace portolan::io
