// SPDX-License-Identifier: BSD-2-Clause
#include "io/routes.h"

#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <memory>
#include <optional>

#include <libmnl/libmnl.h>

#include "io/system.h"

namespace portolan::io {
namespace {

constexpr unsigned loopback_index = 1;  // LOOPBACK_IFINDEX of the kernel

struct Candidate {
  Router router;
  std::uint32_t metric = 0;
};

struct Closer {
  void operator()(mnl_socket* socket) const { static_cast<void>(mnl_socket_close(socket)); }
};
using RouteSocket = std::unique_ptr<mnl_socket, Closer>;

auto open_socket() -> std::expected<RouteSocket, std::string> {
  RouteSocket socket(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
  if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0)
    return std::unexpected(errno_text("netlink", errno));
  return socket;
}

auto read_address(const nlattr* attribute) -> IpAddress {
  const void* payload = mnl_attr_get_payload(attribute);
  if (mnl_attr_get_payload_len(attribute) == 4) {
    std::uint32_t value = 0;
    std::memcpy(&value, payload, 4);
    return IpAddress{Ipv4Address{ntohl(value)}};
  }
  Ipv6Address address;
  if (mnl_attr_get_payload_len(attribute) == 16) std::memcpy(address.octets.data(), payload, 16);
  return IpAddress{address};
}

/// One way of a route.
struct Hop {
  IpAddress gateway;
  std::uint32_t interface_index = 0;
};

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

struct Route {
  rtmsg header{};
  std::uint32_t table = 0;
  std::uint32_t metric = 0;
  std::vector<Hop> hops;
};

auto read_route(const nlmsghdr* message) -> std::optional<Route> {
  if (message->nlmsg_type != RTM_NEWROUTE) return {};
  Route route;
  std::memcpy(&route.header, mnl_nlmsg_get_payload(message), sizeof route.header);
  route.table = route.header.rtm_table;
  Hop single;
  const auto* first = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(message, sizeof route.header));
  static_assert(sizeof route.header % MNL_ALIGNTO == 0);
  const std::size_t octets = mnl_nlmsg_get_payload_len(message) - sizeof route.header;
  for_each_attribute(first, octets, [&](int type, const nlattr* attribute) {
    if (type == RTA_TABLE) route.table = mnl_attr_get_u32(attribute);
    if (type == RTA_PRIORITY) route.metric = mnl_attr_get_u32(attribute);
    if (type == RTA_OIF) single.interface_index = mnl_attr_get_u32(attribute);
    if (type == RTA_MULTIPATH) read_multipath(attribute, route.hops);
    read_gateway(type, attribute, single);
  });
  route.hops.push_back(single);
  return route;
}

void add_default_routers(const nlmsghdr* message, std::vector<Candidate>& candidates) {
  const auto route = read_route(message);
  if (!route || route->header.rtm_dst_len != 0 || route->header.rtm_type != RTN_UNICAST ||
      (route->header.rtm_flags & RTM_F_CLONED) != 0 || route->table != RT_TABLE_MAIN)
    return;
  for (const Hop& hop : route->hops) {
    if (hop.gateway.is_unspecified()) continue;  // a point-to-point link has no router address
    Candidate candidate{.router = {}, .metric = route->metric};
    std::array<char, IF_NAMESIZE> name{};
    candidate.router = {.address = hop.gateway,
                        .interface_index = hop.interface_index,
                        .interface = ::if_indextoname(hop.interface_index, name.data()) != nullptr
                                         ? name.data()
                                         : std::to_string(hop.interface_index)};
    candidates.push_back(std::move(candidate));
  }
}

/// Appends the default routes of one address family.
auto dump(int family, std::vector<Candidate>& candidates) -> std::expected<void, std::string> {
  const auto opened = open_socket();
  if (!opened) return std::unexpected(opened.error());
  mnl_socket* const socket = opened->get();
  alignas(nlmsghdr) std::array<char, 32768> buffer{};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = RTM_GETROUTE;
  request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  const auto sequence = static_cast<unsigned>(std::time(nullptr));
  request->nlmsg_seq = sequence;
  rtmsg route{};
  route.rtm_family = static_cast<std::uint8_t>(family);
  std::memcpy(mnl_nlmsg_put_extra_header(request, sizeof route), &route, sizeof route);
  if (mnl_socket_sendto(socket, request, request->nlmsg_len) < 0)
    return std::unexpected(errno_text("netlink", errno));
  const auto visit = [](const nlmsghdr* message, void* context) -> int {
    add_default_routers(message, *static_cast<std::vector<Candidate>*>(context));
    return MNL_CB_OK;
  };
  while (true) {
    const auto got = mnl_socket_recvfrom(socket, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::unexpected(errno_text("netlink", errno));
    const int state = mnl_cb_run(buffer.data(), static_cast<std::size_t>(got), sequence,
                                 mnl_socket_get_portid(socket), visit, &candidates);
    // A family the kernel was booted without has no routes.
    if (state < 0 && (errno == EAFNOSUPPORT || errno == EOPNOTSUPP)) return {};
    if (state < 0) return std::unexpected(errno_text("netlink", errno));
    if (state == MNL_CB_STOP) return {};
  }
}

}  // namespace

auto default_routers() -> std::expected<std::vector<Router>, std::string> {
  std::vector<Router> routers;
  for (const int family : {AF_INET6, AF_INET}) {
    std::vector<Candidate> candidates;
    if (const auto dumped = dump(family, candidates); !dumped) return std::unexpected(dumped.error());
    std::ranges::stable_sort(candidates, {}, &Candidate::metric);
    for (Candidate& candidate : candidates) {
      const bool is_known = std::ranges::any_of(routers, [&candidate](const Router& router) {
        return router.address == candidate.router.address &&
               router.interface_index == candidate.router.interface_index;
      });
      if (!is_known) routers.push_back(std::move(candidate.router));
    }
  }
  return routers;
}

struct ReturnPaths::Socket {
  RouteSocket netlink;
  std::uint32_t sequence = 0;

  /// Whether a route to `address` leads to the interface; nothing if the kernel can't be asked.
  [[nodiscard]] auto leads_to(const IpAddress& address, unsigned interface_index) -> std::optional<bool>;
};

auto ReturnPaths::Socket::leads_to(const IpAddress& address, unsigned interface_index)
    -> std::optional<bool> {
  alignas(nlmsghdr) std::array<char, 4096> buffer{};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = RTM_GETROUTE;
  request->nlmsg_flags = NLM_F_REQUEST;
  request->nlmsg_seq = ++sequence;
  const std::size_t skipped = address.is_ipv4() ? 12 : 0;
  const auto& octets = address.bits().octets;
  rtmsg route{};
  route.rtm_family = address.is_ipv4() ? AF_INET : AF_INET6;
  route.rtm_dst_len = static_cast<std::uint8_t>((octets.size() - skipped) * 8);
  // The route itself, with all its ways, not the one that a packet would take.
  route.rtm_flags = RTM_F_FIB_MATCH;
  std::memcpy(mnl_nlmsg_put_extra_header(request, sizeof route), &route, sizeof route);
  mnl_attr_put(request, RTA_DST, octets.size() - skipped, octets.data() + skipped);
  if (mnl_socket_sendto(netlink.get(), request, request->nlmsg_len) < 0) return {};
  bool leads = false;
  const auto visit = [](const nlmsghdr* message, void* context) -> int {
    const auto& [wanted, result] = *static_cast<std::pair<unsigned, bool*>*>(context);
    const auto found = read_route(message);
    if (!found) return MNL_CB_STOP;
    if (found->header.rtm_type == RTN_UNICAST)
      *result = std::ranges::any_of(found->hops,
                                    [wanted](const Hop& hop) { return hop.interface_index == wanted; });
    // The host's own packets to itself, whatever interface has the address.
    else if (found->header.rtm_type == RTN_LOCAL)
      *result = wanted == loopback_index;
    return MNL_CB_STOP;
  };
  std::pair<unsigned, bool*> context{interface_index, &leads};
  while (true) {
    const auto got = mnl_socket_recvfrom(netlink.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return {};
    const int state = mnl_cb_run(buffer.data(), static_cast<std::size_t>(got), sequence,
                                 mnl_socket_get_portid(netlink.get()), visit, &context);
    if (state >= 0) return leads;
    // An answer to an earlier question.
    if (errno == EPROTO || errno == ESRCH) continue;
    const bool is_unreachable = errno == ENETUNREACH || errno == EHOSTUNREACH || errno == EACCES ||
                                errno == EINVAL || errno == EAFNOSUPPORT;
    return is_unreachable ? std::optional(false) : std::nullopt;
  }
}

ReturnPaths::ReturnPaths(std::unique_ptr<Socket> socket, HashKey key)
    : socket_(std::move(socket)), key_(key), answers_(answers_max) {}
ReturnPaths::ReturnPaths(ReturnPaths&&) noexcept = default;
auto ReturnPaths::operator=(ReturnPaths&&) noexcept -> ReturnPaths& = default;
ReturnPaths::~ReturnPaths() = default;

auto ReturnPaths::open(Random& random) -> std::expected<ReturnPaths, std::string> {
  auto netlink = open_socket();
  if (!netlink) return std::unexpected(netlink.error());
  return ReturnPaths(std::make_unique<Socket>(std::move(*netlink), 0U), HashKey::generate(random));
}

auto ReturnPaths::leads_back(TimePoint now, const IpAddress& source, unsigned interface_index) -> bool {
  if (source.is_link_local()) return true;
  const auto [first, second] = source.bits().words();
  Answer& answer = answers_[keyed_hash(key_, {first, second, interface_index}) % answers_max];
  if (answer.until > now && answer.source == source && answer.interface_index == interface_index)
    return answer.leads_back;
  const auto leads_back = socket_->leads_to(source, interface_index);
  if (!leads_back) return true;
  answer = {.source = source,
            .interface_index = interface_index,
            .leads_back = *leads_back,
            .until = now + remembered};
  return *leads_back;
}

}  // namespace portolan::io
