// SPDX-License-Identifier: BSD-2-Clause
#include "io/routes.h"

#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <array>

#include "io/route_list.h"

namespace portolan::io {
namespace {

struct Candidate {
  Router router;
  std::uint32_t metric = 0;
};

void add_routers(const Route& route, std::vector<Candidate>& candidates) {
  const unsigned default_length = route.destination.address().is_ipv4() ? 96 : 0;
  if (route.destination.length() != default_length || route.type != RTN_UNICAST ||
      (route.flags & RTM_F_CLONED) != 0 || route.table != RT_TABLE_MAIN)
    return;
  for (const Hop& hop : route.hops) {
    if (hop.gateway.is_unspecified()) continue;  // a point-to-point link has no router address
    std::array<char, IF_NAMESIZE> name{};
    const bool has_name = ::if_indextoname(hop.interface_index, name.data()) != nullptr;
    candidates.push_back(
        {.router = {.address = hop.gateway,
                    .interface_index = hop.interface_index,
                    .interface = has_name ? name.data() : std::to_string(hop.interface_index)},
         .metric = route.metric});
  }
}

}  // namespace

auto default_routers() -> std::expected<std::vector<Router>, std::string> {
  std::vector<Router> routers;
  for (const Family family : {Family::ipv6, Family::ipv4}) {
    std::vector<Candidate> candidates;
    const auto listed = list_routes(family, [&](const Route& route) {
      add_routers(route, candidates);
      return true;
    });
    if (!listed) return std::unexpected(listed.error());
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

}  // namespace portolan::io
