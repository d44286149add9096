// SPDX-License-Identifier: BSD-2-Clause
#include "io/route_list.h"

#include <arpa/inet.h>
#include <linux/rtnetlink.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "io/netlink_request.h"
#include "io/system.h"

namespace portolan::io {
namespace {

template <typename Visit>
void for_each_attribute(const nlattr* first, std::size_t octets, Visit visit) {
  const auto* attribute = first;
  auto left = static_cast<int>(octets);
  while (mnl_attr_ok(attribute, left)) {
    visit(static_cast<int>(mnl_attr_get_type(attribute)), attribute);
    left -= static_cast<int>(MNL_ALIGN(attribute->nla_len));
    attribute = mnl_attr_next(attribute);
  }
}

void read_gateway(int type, const nlattr* attribute, Hop& hop) {
  if (type == RTA_GATEWAY) hop.gateway = read_address(attribute);
  // An IPv4 route by way of an IPv6 router carries its address behind two octets of family.
  if (type == RTA_VIA && mnl_attr_get_payload_len(attribute) == 18) {
    Ipv6Address address;
    std::memcpy(address.octets.data(), static_cast<const std::byte*>(mnl_attr_get_payload(attribute)) + 2,
                16);
    hop.gateway = IpAddress{address};
  }
}

void read_multipath(const nlattr* attribute, std::vector<Hop>& hops) {
  const auto* octets = static_cast<const std::byte*>(mnl_attr_get_payload(attribute));
  std::size_t left = mnl_attr_get_payload_len(attribute);
  while (left >= sizeof(rtnexthop)) {
    rtnexthop header{};
    std::memcpy(&header, octets, sizeof header);
    if (header.rtnh_len < sizeof header || header.rtnh_len > left) return;
    Hop hop{.gateway = {}, .interface_index = static_cast<std::uint32_t>(header.rtnh_ifindex)};
    for_each_attribute(reinterpret_cast<const nlattr*>(octets + sizeof header),
                       header.rtnh_len - sizeof header,
                       [&hop](int type, const nlattr* inner) { read_gateway(type, inner, hop); });
    hops.push_back(hop);
    const std::size_t advanced = RTNH_ALIGN(header.rtnh_len);
    if (advanced > left) return;
    octets += advanced;
    left -= advanced;
  }
}

}  // namespace

auto open_route_socket() -> std::expected<RouteSocket, std::string> {
  RouteSocket socket(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
  if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0)
    return std::unexpected(errno_text("netlink", errno));
  return socket;
}

auto read_route(const nlmsghdr* message) -> std::optional<Route> {
  if (message->nlmsg_type != RTM_NEWROUTE) return {};
  rtmsg header{};
  std::memcpy(&header, mnl_nlmsg_get_payload(message), sizeof header);
  const Family family = header.rtm_family == AF_INET ? Family::ipv4 : Family::ipv6;
  Route route;
  route.type = header.rtm_type;
  route.flags = header.rtm_flags;
  route.table = header.rtm_table;
  IpAddress destination = IpAddress::unspecified(family);
  Hop single;
  const auto* first = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(message, sizeof header));
  static_assert(sizeof header % MNL_ALIGNTO == 0);
  const std::size_t octets = mnl_nlmsg_get_payload_len(message) - sizeof header;
  for_each_attribute(first, octets, [&](int type, const nlattr* attribute) {
    if (type == RTA_DST) destination = read_address(attribute);
    if (type == RTA_TABLE) route.table = mnl_attr_get_u32(attribute);
    if (type == RTA_PRIORITY) route.metric = mnl_attr_get_u32(attribute);
    if (type == RTA_OIF) single.interface_index = mnl_attr_get_u32(attribute);
    if (type == RTA_MULTIPATH) read_multipath(attribute, route.hops);
    read_gateway(type, attribute, single);
  });
  const unsigned length = header.rtm_dst_len + (family == Family::ipv4 ? 96U : 0U);
  if (length > 128) return {};
  route.destination = Prefix(destination, length);
  route.hops.push_back(single);
  return route;
}

auto list_routes(Family family, const std::function<bool(const Route&)>& visit)
    -> std::expected<void, std::string> {
  const auto opened = open_route_socket();
  if (!opened) return std::unexpected(opened.error());
  mnl_socket* const socket = opened->get();
  alignas(nlmsghdr) std::array<char, 32768> buffer{};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = RTM_GETROUTE;
  request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  const auto sequence = static_cast<unsigned>(std::time(nullptr));
  request->nlmsg_seq = sequence;
  rtmsg header{};
  header.rtm_family = family == Family::ipv4 ? AF_INET : AF_INET6;
  std::memcpy(mnl_nlmsg_put_extra_header(request, sizeof header), &header, sizeof header);
  if (mnl_socket_sendto(socket, request, request->nlmsg_len) < 0)
    return std::unexpected(errno_text("netlink", errno));
  using Visit = std::function<bool(const Route&)>;
  const auto each = [](const nlmsghdr* message, void* context) -> int {
    const auto route = read_route(message);
    return !route || (*static_cast<const Visit*>(context))(*route) ? MNL_CB_OK : MNL_CB_STOP;
  };
  while (true) {
    const auto got = mnl_socket_recvfrom(socket, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::unexpected(errno_text("netlink", errno));
    const int state = mnl_cb_run(buffer.data(), static_cast<std::size_t>(got), sequence,
                                 mnl_socket_get_portid(socket), each, const_cast<Visit*>(&visit));
    // A family the kernel was booted without has no routes.
    if (state < 0 && (errno == EAFNOSUPPORT || errno == EOPNOTSUPP)) return {};
    if (state < 0) return std::unexpected(errno_text("netlink", errno));
    if (state == MNL_CB_STOP) return {};
  }
}

}  // namespace portolan::io
