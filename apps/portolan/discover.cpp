// SPDX-License-Identifier: BSD-2-Clause
//
// `portolan discover`: which PCP servers this host would ask, from which address, and the network's NAT64
// prefix. It sends nothing but a query for ipv4only.arpa.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "discovery/host/look.h"
#include "discovery/nat64_prefix.h"
#include "io/resolve.h"
#include "io/system.h"
#include "portolan/commands.h"
#include "portolan/nat64_look.h"

namespace portolan {
namespace {

using discovery::Nat64Prefixes;
using discovery::PrefixSource;
using discovery::Server;
using discovery::Way;
using Json = nlohmann::ordered_json;

struct Found {
  std::vector<std::pair<Server, std::vector<Way>>> servers;
  std::vector<Nat64Prefixes::Entry> prefixes;
  std::vector<std::string> remarks;
  TimePoint at;
};

void ask_resolver(Nat64Prefixes& prefixes, std::vector<std::string>& remarks) {
  const auto records = io::resolve_ipv6_records(std::string(discovery::ipv4only_name));
  if (!records) {
    remarks.push_back(records.error());
    return;
  }
  for (const Prefix& prefix : discovery::prefixes_of_answers(records->addresses))
    prefixes.learn(io::monotonic_now(), PrefixSource::dns, 0,
                   {.prefix = prefix, .lifetime = std::max(records->time_to_live, Seconds{1})});
}

auto lifetime_s(const std::optional<TimePoint>& until, TimePoint now) -> std::optional<std::int64_t> {
  if (!until) return {};
  return std::max(Seconds{0}, std::chrono::round<Seconds>(*until - now)).count();
}

auto lifetime_json(const std::optional<TimePoint>& until, TimePoint now) -> Json {
  const auto left = lifetime_s(until, now);
  return left ? Json(*left) : Json(nullptr);
}

auto json_of(const Found& found) -> Json {
  Json json{{"servers", Json::array()}, {"nat64-prefixes", Json::array()}, {"remarks", found.remarks}};
  for (const auto& [server, ways] : found.servers) {
    Json paths = Json::array();
    for (const Way& way : ways)
      paths.push_back({{"server", way.server_text()},
                       {"client-address", to_string(way.plan.source)},
                       {"temporary", way.plan.is_temporary},
                       {"preferred-lifetime", lifetime_json(way.plan.preferred_until, found.at)},
                       {"valid-lifetime", lifetime_json(way.plan.valid_until, found.at)}});
    json["servers"].push_back(
        {{"origin", std::string(to_string(server.origin))},
         {"interface", server.interface.name.empty() ? Json(nullptr) : Json(server.interface.name)},
         {"paths", std::move(paths)}});
  }
  for (const auto& entry : found.prefixes)
    json["nat64-prefixes"].push_back({{"prefix", to_string(entry.prefix)},
                                      {"source", std::string(to_string(entry.source))},
                                      {"lifetime", lifetime_json(entry.until, found.at)}});
  return json;
}

auto life_text(const discovery::AddressPlan& plan, TimePoint now) -> std::string {
  std::string text = plan.is_temporary ? ", a temporary address" : "";
  if (const auto left = lifetime_s(plan.valid_until, now))
    text += fmt::format(", which lives for {} s", *left);
  return text;
}

auto text_of(const Found& found) -> std::string {
  std::string text;
  for (const auto& [server, ways] : found.servers) {
    for (std::size_t i = 0; i < ways.size(); ++i)
      text +=
          fmt::format("{} {} ({}), from {}{}\n", i == 0 ? "PCP server" : "  else    ", ways[i].server_text(),
                      ways[i].server == discovery::anycast_ipv4 || ways[i].server == discovery::anycast_ipv6
                          ? to_string(discovery::Origin::anycast)
                          : to_string(server.origin),
                      ways[i].plan.source, life_text(ways[i].plan, found.at));
  }
  for (const auto& entry : found.prefixes)
    text += fmt::format("NAT64 prefix {} ({}), for {} s\n", entry.prefix, to_string(entry.source),
                        *lifetime_s(entry.until, found.at));
  if (found.prefixes.empty()) text += "no NAT64 prefix is known here\n";
  return text;
}

}  // namespace

auto run_discover(const DiscoverCommand& command) -> int {
  Found found;
  Nat64Prefixes prefixes;
  if (command.wait > Seconds{0}) hear_advertisements(command.wait, prefixes, found.remarks);
  ask_resolver(prefixes, found.remarks);
  auto view = discovery::look_around();
  if (!view) {
    if (command.is_json) fmt::print("{}\n", Json{{"error", view.error()}}.dump());
    fmt::print(stderr, "portolan: {}\n", view.error());
    return exit_no_answer;
  }
  found.at = io::monotonic_now();
  prefixes.advance(found.at);
  found.prefixes = prefixes.in_use();
  found.remarks.insert(found.remarks.end(), view->remarks.begin(), view->remarks.end());
  view->findings.uses_anycast = command.uses_anycast;
  for (Server& server : discovery::choose_servers(view->findings)) {
    auto ways = discovery::ways_to(server, *view, found.remarks);
    if (!ways.empty()) found.servers.emplace_back(std::move(server), std::move(ways));
  }
  if (command.is_json) {
    fmt::print("{}\n", json_of(found).dump(-1, ' ', false, Json::error_handler_t::replace));
  } else {
    fmt::print("{}", text_of(found));
    for (const std::string& remark : found.remarks) fmt::print(stderr, "portolan: {}\n", remark);
  }
  if (!found.servers.empty()) return exit_success;
  fmt::print(
      stderr,
      "portolan: there is no PCP server to ask: connect this host to a network that has a default router\n");
  return exit_no_answer;
}

}  // namespace portolan
