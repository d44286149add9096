// SPDX-License-Identifier: BSD-2-Clause
#include "io/plain/host_routes.h"

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <string>

namespace portolan::io::plain {
namespace {

constexpr std::size_t buffer_octets = 32768;

/// Calls visit(type, payload) for each attribute; ends before the first that runs past the end.
template <typename Visit>
void for_each_attribute(std::span<const std::byte> octets, Visit visit) {
  while (octets.size() >= sizeof(rtattr)) {
    rtattr header{};
    std::memcpy(&header, octets.data(), sizeof header);
    if (header.rta_len < sizeof header || header.rta_len > octets.size()) return;
    visit(header.rta_type & NLA_TYPE_MASK, octets.subspan(sizeof header, header.rta_len - sizeof header));
    octets = octets.subspan(std::min<std::size_t>(RTA_ALIGN(header.rta_len), octets.size()));
  }
}

auto read_address(std::span<const std::byte> octets) -> IpAddress {
  if (octets.size() == 4) {
    std::uint32_t value = 0;
    std::memcpy(&value, octets.data(), sizeof value);
    return IpAddress{Ipv4Address{ntohl(value)}};
  }
  Ipv6Address address;
  if (octets.size() == address.octets.size())
    std::memcpy(address.octets.data(), octets.data(), octets.size());
  return IpAddress{address};
}

auto read_number(std::span<const std::byte> octets) -> std::uint32_t {
  std::uint32_t value = 0;
  if (octets.size() == sizeof value) std::memcpy(&value, octets.data(), sizeof value);
  return value;
}

struct Candidate {
  IpAddress gateway;
  std::uint32_t interface_index = 0;
  std::uint32_t metric = 0;
};

void read_gateway(int type, std::span<const std::byte> octets, Candidate& hop) {
  if (type == RTA_GATEWAY) hop.gateway = read_address(octets);
  // An IPv4 route by way of an IPv6 router carries its address behind two octets of family.
  if (type == RTA_VIA && octets.size() > 2) hop.gateway = read_address(octets.subspan(2));
}

void read_hops(std::span<const std::byte> octets, std::vector<Candidate>& hops) {
  while (octets.size() >= sizeof(rtnexthop)) {
    rtnexthop header{};
    std::memcpy(&header, octets.data(), sizeof header);
    if (header.rtnh_len < sizeof header || header.rtnh_len > octets.size()) return;
    Candidate hop;
    hop.interface_index = static_cast<std::uint32_t>(header.rtnh_ifindex);
    for_each_attribute(
        octets.subspan(sizeof header, header.rtnh_len - sizeof header),
        [&hop](int type, std::span<const std::byte> inner) { read_gateway(type, inner, hop); });
    hops.push_back(hop);
    octets = octets.subspan(std::min<std::size_t>(RTNH_ALIGN(header.rtnh_len), octets.size()));
  }
}

/// Adds the gateways of a default route of the main table.
void read_route(std::span<const std::byte> octets, std::vector<Candidate>& candidates) {
  rtmsg header{};
  if (octets.size() < sizeof header) return;
  std::memcpy(&header, octets.data(), sizeof header);
  if (header.rtm_dst_len != 0 || header.rtm_type != RTN_UNICAST || (header.rtm_flags & RTM_F_CLONED) != 0)
    return;
  std::uint32_t table = header.rtm_table;
  std::uint32_t metric = 0;
  Candidate single;
  std::vector<Candidate> hops;
  for_each_attribute(octets.subspan(NLMSG_ALIGN(sizeof header)),
                     [&](int type, std::span<const std::byte> value) {
                       if (type == RTA_TABLE) table = read_number(value);
                       if (type == RTA_PRIORITY) metric = read_number(value);
                       if (type == RTA_OIF) single.interface_index = read_number(value);
                       if (type == RTA_MULTIPATH) read_hops(value, hops);
                       read_gateway(type, value, single);
                     });
  if (table != RT_TABLE_MAIN) return;
  hops.push_back(single);
  for (Candidate& hop : hops) {
    if (hop.gateway.is_unspecified()) continue;  // a point-to-point link has no router address
    hop.metric = metric;
    candidates.push_back(hop);
  }
}

auto open_socket(std::uint32_t groups, int flags) -> std::expected<FileDescriptor, SystemError> {
  FileDescriptor socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | flags, NETLINK_ROUTE));
  if (!socket) return std::unexpected(SystemError{.number = errno, .operation = "socket"});
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = groups;
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return std::unexpected(SystemError{.number = errno, .operation = "bind"});
  return socket;
}

/// Reads a dump's messages, which the kernel makes while they are read, until its end.
auto read_dump(int socket, std::vector<Candidate>& candidates) -> std::optional<SystemError> {
  std::vector<std::byte> buffer(buffer_octets);
  while (true) {
    const auto got = ::recv(socket, buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SystemError{.number = errno, .operation = "recv"};
    std::span<const std::byte> left(buffer.data(), static_cast<std::size_t>(got));
    while (left.size() >= sizeof(nlmsghdr)) {
      nlmsghdr header{};
      std::memcpy(&header, left.data(), sizeof header);
      if (header.nlmsg_len < sizeof header || header.nlmsg_len > left.size()) break;
      // A family the kernel was booted without has no routes.
      if (header.nlmsg_type == NLMSG_DONE || header.nlmsg_type == NLMSG_ERROR) return {};
      if (header.nlmsg_type == RTM_NEWROUTE)
        read_route(left.subspan(sizeof header, header.nlmsg_len - sizeof header), candidates);
      left = left.subspan(std::min<std::size_t>(NLMSG_ALIGN(header.nlmsg_len), left.size()));
    }
  }
}

auto list(unsigned char family, std::vector<Candidate>& candidates) -> std::optional<SystemError> {
  const auto socket = open_socket(0, 0);
  if (!socket) return socket.error();
  struct {
    nlmsghdr header;
    rtmsg body;
  } request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_GETROUTE;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.body.rtm_family = family;
  if (::send(socket->get(), &request, sizeof request, 0) < 0)
    return SystemError{.number = errno, .operation = "send"};
  return read_dump(socket->get(), candidates);
}

auto name_of(std::uint32_t interface_index) -> std::string {
  std::array<char, IF_NAMESIZE> name{};
  return ::if_indextoname(interface_index, name.data()) != nullptr ? name.data()
                                                                   : std::to_string(interface_index);
}

}  // namespace

auto default_routers() -> std::expected<std::vector<Router>, SystemError> {
  std::vector<Router> routers;
  for (const int family : {AF_INET6, AF_INET}) {
    std::vector<Candidate> candidates;
    if (const auto error = list(static_cast<unsigned char>(family), candidates))
      return std::unexpected(*error);
    std::ranges::stable_sort(candidates, {}, &Candidate::metric);
    for (const Candidate& candidate : candidates) {
      const bool is_known = std::ranges::any_of(routers, [&candidate](const Router& router) {
        return router.address == candidate.gateway && router.interface_index == candidate.interface_index;
      });
      if (!is_known)
        routers.push_back({.address = candidate.gateway,
                           .interface_index = candidate.interface_index,
                           .interface = name_of(candidate.interface_index)});
    }
  }
  return routers;
}

auto interface_index(const std::string& name) -> std::uint32_t { return ::if_nametoindex(name.c_str()); }

auto HostNews::open() -> std::expected<HostNews, SystemError> {
  auto socket = open_socket(
      RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE,
      SOCK_NONBLOCK);
  if (!socket) return std::unexpected(socket.error());
  HostNews news;
  news.socket_ = std::move(*socket);
  return news;
}

auto HostNews::take() -> bool {
  std::array<std::byte, 4096> buffer{};
  bool has_any = false;
  while (true) {
    const auto got = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_TRUNC);
    if (got < 0 && errno == EINTR) continue;
    // ENOBUFS: there was more than could be kept.
    if (got <= 0 && errno != ENOBUFS) return has_any;
    has_any = true;
  }
}

}  // namespace portolan::io::plain
