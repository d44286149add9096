// SPDX-License-Identifier: BSD-2-Clause
#include "io/routes.h"

#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

#include "io/rtnetlink.h"

namespace portolan::io {
namespace {

using rtnetlink::Octets;

struct Candidate {
  IpAddress gateway;
  std::uint32_t interface_index = 0;
  std::uint32_t metric = 0;
};

void read_gateway(int type, Octets octets, Candidate& hop) {
  if (type == RTA_GATEWAY) hop.gateway = rtnetlink::read_address(octets);
  // An IPv4 route by way of an IPv6 router carries its address behind two octets of family.
  if (type == RTA_VIA && octets.size() > 2) hop.gateway = rtnetlink::read_address(octets.subspan(2));
}

void read_hops(Octets octets, std::vector<Candidate>& hops) {
  while (octets.size() >= sizeof(rtnexthop)) {
    rtnexthop header{};
    std::memcpy(&header, octets.data(), sizeof header);
    if (header.rtnh_len < sizeof header || header.rtnh_len > octets.size()) return;
    Candidate hop;
    hop.interface_index = static_cast<std::uint32_t>(header.rtnh_ifindex);
    rtnetlink::for_each_attribute(octets.subspan(sizeof header, header.rtnh_len - sizeof header),
                                  [&hop](int type, Octets inner) { read_gateway(type, inner, hop); });
    hops.push_back(hop);
    octets = octets.subspan(std::min<std::size_t>(RTNH_ALIGN(header.rtnh_len), octets.size()));
  }
}

/// Adds the gateways of a default route of the main table.
void read_route(Octets octets, std::vector<Candidate>& candidates) {
  const auto header = rtnetlink::take_header<rtmsg>(octets);
  if (!header || header->rtm_dst_len != 0 || header->rtm_type != RTN_UNICAST ||
      (header->rtm_flags & RTM_F_CLONED) != 0)
    return;
  std::uint32_t table = header->rtm_table;
  std::uint32_t metric = 0;
  Candidate single;
  std::vector<Candidate> hops;
  rtnetlink::for_each_attribute(octets, [&](int type, Octets value) {
    if (type == RTA_TABLE) table = rtnetlink::read_number(value);
    if (type == RTA_PRIORITY) metric = rtnetlink::read_number(value);
    if (type == RTA_OIF) single.interface_index = rtnetlink::read_number(value);
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

auto name_of(std::uint32_t interface_index) -> std::string {
  std::array<char, IF_NAMESIZE> name{};
  return ::if_indextoname(interface_index, name.data()) != nullptr ? name.data()
                                                                   : std::to_string(interface_index);
}

}  // namespace

auto default_routers() -> std::expected<std::vector<Router>, std::string> {
  std::vector<Router> routers;
  for (const int family : {AF_INET6, AF_INET}) {
    std::vector<Candidate> candidates;
    const auto listed = rtnetlink::list(RTM_GETROUTE, family, [&](std::uint16_t type, Octets octets) {
      if (type == RTM_NEWROUTE) read_route(octets, candidates);
    });
    if (!listed) return std::unexpected("routes: " + to_string(listed.error()));
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

}  // namespace portolan::io
