// SPDX-License-Identifier: BSD-2-Clause
#include "io/return_paths.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "io/route_list.h"

namespace portolan::io {
namespace {

constexpr std::uint32_t loopback_index = 1;  // LOOPBACK_IFINDEX of the kernel

auto leads_by(const Route& route, std::uint32_t interface_index) -> bool {
  // The host's own packets to itself, whatever interface has the address.
  if (route.type == RTN_LOCAL) return interface_index == loopback_index;
  return route.type == RTN_UNICAST && std::ranges::any_of(route.hops, [&](const Hop& hop) {
           return hop.interface_index == interface_index;
         });
}

/// Of prefixes that the operator chose: nobody else can make them collide.
struct PrefixHash {
  auto operator()(const Prefix& prefix) const -> std::size_t {
    const auto [first, second] = prefix.address().bits().words();
    return (first * 0x9e3779b97f4a7c15ULL) ^ second;
  }
};

}  // namespace

/// Routes as they were at one time. Of those with the longest prefix the lowest metric counts.
class ReturnPaths::Snapshot {
 public:
  /// Reads them all, or none if there are more than routes_max or they can't be read.
  void refresh() {
    by_length_.clear();
    std::size_t count = 0;
    for (const Family family : {Family::ipv6, Family::ipv4}) {
      const auto listed = list_routes(family, [&](const Route& route) {
        add(route);
        return ++count <= routes_max;
      });
      if (!listed || count > routes_max) return by_length_.clear();
    }
    std::ranges::sort(by_length_, std::greater<>{}, &OfLength::length);
  }
  [[nodiscard]] auto leads_to(const IpAddress& address, std::uint32_t interface_index) const -> bool {
    for (const OfLength& routes : by_length_) {
      const auto found = routes.by_prefix.find(Prefix(address, routes.length));
      if (found != routes.by_prefix.end()) return leads_by(found->second, interface_index);
    }
    return false;
  }

 private:
  struct OfLength {
    unsigned length = 0;
    boost::unordered_flat_map<Prefix, Route, PrefixHash> by_prefix;
  };

  void add(const Route& route) {
    // What packets from elsewhere are routed by unless there are rules about them.
    const bool is_in_use = route.table == RT_TABLE_LOCAL || route.table == RT_TABLE_MAIN;
    const bool is_host_route = route.type != RTN_BROADCAST && route.type != RTN_ANYCAST &&
                               route.type != RTN_MULTICAST && (route.flags & RTM_F_CLONED) == 0;
    if (!is_in_use || !is_host_route) return;
    const unsigned length = route.destination.length();
    auto same = std::ranges::find(by_length_, length, &OfLength::length);
    if (same == by_length_.end())
      same = by_length_.insert(by_length_.end(), {.length = length, .by_prefix = {}});
    const auto [present, is_new] = same->by_prefix.try_emplace(route.destination, route);
    if (is_new) return;
    if (route.metric < present->second.metric)
      present->second = route;
    else if (route.metric == present->second.metric)
      present->second.hops.insert(present->second.hops.end(), route.hops.begin(), route.hops.end());
  }

  std::vector<OfLength> by_length_;  // longest first
};

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
    *result = leads_by(*found, wanted);
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
    : socket_(std::move(socket)), snapshot_(std::make_unique<Snapshot>()), key_(key), answers_(answers_max) {}
ReturnPaths::ReturnPaths(ReturnPaths&&) noexcept = default;
auto ReturnPaths::operator=(ReturnPaths&&) noexcept -> ReturnPaths& = default;
ReturnPaths::~ReturnPaths() = default;

auto ReturnPaths::open(Random& random) -> std::expected<ReturnPaths, std::string> {
  auto netlink = open_route_socket();
  if (!netlink) return std::unexpected(netlink.error());
  return ReturnPaths(std::make_unique<Socket>(std::move(*netlink), 0U), HashKey::generate(random));
}

auto ReturnPaths::leads_back(TimePoint now, const IpAddress& source, unsigned interface_index) -> bool {
  if (source.is_link_local()) return true;
  if (now >= refresh_) {
    snapshot_->refresh();
    refresh_ = now + remembered;
  }
  return snapshot_->leads_to(source, interface_index) || ask(now, source, interface_index);
}

auto ReturnPaths::ask(TimePoint now, const IpAddress& source, unsigned interface_index) -> bool {
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
