// SPDX-License-Identifier: BSD-2-Clause
#include "io/network_watch.h"

#include <net/if.h>
#include <sys/socket.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "io/rtnetlink.h"

namespace portolan::io {
namespace {

constexpr std::size_t buffer_octets = 32768;

/// Options follow a header that says how many octets they have.
void take_options(rtnetlink::Octets octets, std::vector<AdvertisedOptions>& advertised) {
  const auto header = rtnetlink::take_header<nduseroptmsg>(octets);
  if (!header || advertised.size() >= NetworkWatch::advertised_max) return;
  const std::size_t length = header->nduseropt_opts_len;
  if (header->nduseropt_family != AF_INET6 || length > octets.size()) return;
  const rtnetlink::Octets options = octets.first(length);
  advertised.push_back({.interface_index = static_cast<std::uint32_t>(header->nduseropt_ifindex),
                        .octets = {options.begin(), options.end()}});
}

auto is_running(const ifinfomsg& link) -> bool {
  return (link.ifi_flags & IFF_UP) != 0 && (link.ifi_flags & IFF_RUNNING) != 0;
}

/// The interface that is no longer what it was, if the word is of that.
auto left_by(std::uint16_t type, rtnetlink::Octets octets) -> std::optional<std::uint32_t> {
  if (type == RTM_NEWLINK || type == RTM_DELLINK) {
    const auto link = rtnetlink::take_header<ifinfomsg>(octets);
    if (!link || (type == RTM_NEWLINK && is_running(*link))) return {};
    return static_cast<std::uint32_t>(link->ifi_index);
  }
  if (type != RTM_DELROUTE) return {};
  const auto route = rtnetlink::take_header<rtmsg>(octets);
  if (!route || route->rtm_family != AF_INET6 || route->rtm_dst_len != 0) return {};
  std::optional<std::uint32_t> interface_index;
  rtnetlink::for_each_attribute(octets, [&interface_index](int attribute, rtnetlink::Octets value) {
    if (attribute == RTA_OIF) interface_index = rtnetlink::read_number(value);
  });
  return interface_index;
}

void take_change(std::uint16_t type, rtnetlink::Octets octets, NetworkNews& news) {
  news.has_changed = true;
  const auto left = left_by(type, octets);
  if (!left) return;
  news.left.push_back(*left);
  std::erase_if(news.advertised,
                [&left](const AdvertisedOptions& options) { return options.interface_index == *left; });
}

}  // namespace

NetworkWatch::NetworkWatch(FileDescriptor socket) : socket_(std::move(socket)) {}

auto NetworkWatch::open(Advertisements advertisements) -> std::expected<NetworkWatch, std::string> {
  auto socket = rtnetlink::open(
      RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE,
      SOCK_NONBLOCK);
  if (!socket) return std::unexpected("netlink: " + to_string(socket.error()));
  if (advertisements == Advertisements::ignored) return NetworkWatch{std::move(*socket)};
  const int group = RTNLGRP_ND_USEROPT;
  if (::setsockopt(socket->get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0)
    return std::unexpected("netlink: " + to_string(SystemError{.number = errno, .operation = "setsockopt"}));
  return NetworkWatch{std::move(*socket)};
}

// What is taken is gone. NOLINTNEXTLINE(readability-make-member-function-const)
auto NetworkWatch::take() -> NetworkNews {
  NetworkNews news;
  std::vector<std::byte> words(buffer_octets);
  for (;;) {
    const auto got = ::recv(descriptor(), words.data(), words.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    // ENOBUFS: words were lost, which is word too.
    if (got < 0 && errno == ENOBUFS) {
      news.has_changed = true;
      continue;
    }
    if (got <= 0) return news;
    rtnetlink::for_each_message({words.data(), static_cast<std::size_t>(got)},
                                [&news](std::uint16_t type, rtnetlink::Octets payload) {
                                  if (type == RTM_NEWNDUSEROPT)
                                    take_options(payload, news.advertised);
                                  else
                                    take_change(type, payload, news);
                                });
  }
}

}  // namespace portolan::io
