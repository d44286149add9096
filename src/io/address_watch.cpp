// SPDX-License-Identifier: BSD-2-Clause
#include "io/address_watch.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <utility>

#include <libmnl/libmnl.h>

#include "io/netlink_request.h"
#include "io/system.h"

namespace portolan::io {

struct AddressWatch::Socket {
  std::unique_ptr<mnl_socket, Closer> socket;
};

AddressWatch::AddressWatch(std::unique_ptr<Socket> socket) : socket_(std::move(socket)) {}
AddressWatch::AddressWatch(AddressWatch&&) noexcept = default;
auto AddressWatch::operator=(AddressWatch&&) noexcept -> AddressWatch& = default;
AddressWatch::~AddressWatch() = default;

auto AddressWatch::open(Family family) -> std::expected<AddressWatch, std::string> {
  auto socket = std::make_unique<Socket>();
  socket->socket.reset(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket->socket) return std::unexpected(errno_text("netlink socket", errno));
  const unsigned addresses = family == Family::ipv4 ? RTMGRP_IPV4_IFADDR : RTMGRP_IPV6_IFADDR;
  if (mnl_socket_bind(socket->socket.get(), RTMGRP_LINK | addresses, MNL_SOCKET_AUTOPID) < 0)
    return std::unexpected(errno_text("netlink bind", errno));
  return AddressWatch{std::move(socket)};
}

auto AddressWatch::descriptor() const -> int { return mnl_socket_get_fd(socket_->socket.get()); }

auto AddressWatch::take() const -> bool {
  bool is_any = false;
  std::array<std::byte, 32768> words;
  for (;;) {
    const auto got = ::recv(descriptor(), words.data(), words.size(), 0);
    // ENOBUFS: words were lost, which is word too.
    if (got < 0 && errno != ENOBUFS && errno != EINTR) return is_any;
    is_any = is_any || got >= 0 || errno == ENOBUFS;
  }
}

}  // namespace portolan::io
