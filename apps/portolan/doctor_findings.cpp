// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/doctor_findings.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "wire/protocol.h"

namespace portolan::doctor {
namespace {

using wire::ResultCode;

template <typename Values>
auto list_text(const Values& values) -> std::string {
  std::vector<std::string> texts;
  texts.reserve(values.size());
  for (const auto& value : values) texts.push_back(fmt::format("{}", value));
  return fmt::format("{}", fmt::join(texts, ", "));
}

/// Addresses that mean nothing on the Internet: RFC 1918, RFC 6598, and fc00::/7.
auto is_private(const IpAddress& address) -> bool {
  static const std::array ranges{*Prefix::parse("10.0.0.0/8"), *Prefix::parse("172.16.0.0/12"),
                                 *Prefix::parse("192.168.0.0/16"), *Prefix::parse("100.64.0.0/10"),
                                 *Prefix::parse("fc00::/7")};
  return std::ranges::any_of(ranges, [&](const Prefix& range) { return range.contains(address); });
}

/// "fe80::1%eth0 (default router)".
auto title(const ServerSeen& server) -> std::string {
  return fmt::format("{} ({})", server.name, to_string(server.origin));
}

auto age_text(Seconds age) -> std::string {
  if (age < Seconds{120}) return fmt::format("{} s", age.count());
  if (age < std::chrono::hours{2}) return fmt::format("{} min", age.count() / 60);
  if (age < std::chrono::hours{48}) return fmt::format("{} h", age.count() / 3600);
  return fmt::format("{} days", age.count() / 86400);
}

auto options_text(const std::vector<OptionSeen>& options) -> std::string {
  std::vector<std::string_view> known;
  std::vector<std::string_view> unknown;
  for (const OptionSeen& option : options)
    if (option.is_known) (*option.is_known ? known : unknown).push_back(option.name);
  std::string text;
  if (!known.empty()) text += fmt::format("; it knows {}", fmt::join(known, ", "));
  if (!unknown.empty())
    text += fmt::format("{} not {}", known.empty() ? "; it does" : ", but", fmt::join(unknown, ", "));
  return text;
}

/// Which device does it nobody tells. The way to a server beyond the link leads by the routers.
auto nat_remedy(const ServerSeen& server, const HostSeen& host) -> std::string {
  const bool is_on_link = server.origin == discovery::Origin::default_router || host.routers.empty();
  return fmt::format(
      "{}: have it speak PCP or NAT-PMP, or move this host to its other side",
      is_on_link ? "this NAT is before the router, on the link or on this host itself"
                 : fmt::format("the way there leads by {}, which does this NAT, or else a device behind it",
                               list_text(host.routers)));
}

auto of_answering(const ServerSeen& server, const HostSeen& host) -> Finding {
  if (server.is_behind_nat())
    return {
        State::problem, "nat-on-path",
        fmt::format("there is a NAT between this host and the PCP server at {}, which saw another address "
                    "than {}: mappings that it makes would lead nowhere",
                    title(server), server.client_address),
        nat_remedy(server, host)};
  if (server.other_version)
    return {State::problem, "version",
            fmt::format("the server at {} does not speak PCP version 2, but {}", title(server),
                        *server.other_version == 0 ? "NAT-PMP, which serves IPv4 alone"
                                                   : fmt::format("version {}", *server.other_version)),
            "update it; from an IPv4 address NAT-PMP does"};
  std::string text = fmt::format("the PCP server at {} answers", title(server));
  if (server.speaks_nat_pmp) {
    text = fmt::format("the server at {} answers in NAT-PMP, the predecessor of PCP", title(server));
  } else if (server.announced) {
    text += fmt::format(" after {:.1f} ms in version 2; its state began {} ago",
                        std::chrono::duration<double, std::milli>(server.announced->round_trip).count(),
                        age_text(Seconds{server.announced->epoch_time_s}));
  }
  return {State::good, "server", text + options_text(server.options), ""};
}

/// Why it does not answer, as far as that is known.
auto silence_text(const ServerSeen& server) -> std::string {
  if (server.error) return fmt::format("{}: {}", title(server), *server.error);
  return server.is_closed ? fmt::format("{}: nothing listens there", title(server)) : title(server);
}

auto of_mapping(const ServerSeen& server) -> Finding {
  const client::Mapping& mapping = *server.mapping;
  if (is_private(mapping.external.address) && mapping.external.address != mapping.internal.address)
    return {
        State::problem, "private-external",
        fmt::format("{} gives external address {}, which is not one of the Internet: there is another NAT "
                    "behind that server",
                    server.name, mapping.external.address),
        "ask the operator for an address of the Internet, or have that NAT speak PCP too"};
  return {State::good, "external-address",
          fmt::format("mappings work: tcp port {} of {} was {} from outside for the time of this test",
                      mapping.internal.port, mapping.internal.address, mapping.external),
          ""};
}

auto of_refusal(const ServerSeen& server) -> Finding {
  std::string remedy = fmt::format("try again in {}", age_text(server.refused->lifetime));
  switch (server.refused->result) {
    case ResultCode::not_authorized:
      remedy = "ask its operator to let this host have mappings (portoland: policy of the user or prefix)";
      break;
    case ResultCode::user_ex_quota:
      remedy = "this host has as many mappings as it may have: end some, or ask for a larger quota";
      break;
    case ResultCode::no_resources:
      remedy = "it has no ports or memory left: give it more external addresses or ports";
      break;
    case ResultCode::network_failure: remedy = "it has no external address now: look at its uplink"; break;
    case ResultCode::unsupp_opcode: remedy = "turn MAP on there"; break;
    default: break;
  }
  return {State::problem, "mapping-refused",
          fmt::format("the PCP server at {} made no mapping: {}", server.name,
                      wire::to_string(server.refused->result)),
          std::move(remedy)};
}

/// Prefix of the server's NAT64 against what programs of this host use.
auto of_prefixes(const ServerSeen& server, const HostSeen& host, const Nat64Seen& nat64)
    -> std::optional<Finding> {
  if (server.nat64_prefixes.empty()) return {};
  std::vector<Prefix> told;
  told.reserve(server.nat64_prefixes.size());
  for (const client::Nat64Prefix& known : server.nat64_prefixes) told.push_back(known.prefix);
  std::vector<Prefix> used = nat64.of_resolver;
  used.insert(used.end(), nat64.of_routers.begin(), nat64.of_routers.end());
  if (used.empty() && !host.is_ipv6_only()) return {};
  if (used.empty())
    return Finding{State::note, "prefix-unused",
                   fmt::format("the NAT64 of {} has the prefix {}, which this host does not know otherwise",
                               server.name, list_text(told)),
                   "a DNS64 with that prefix would do"};
  const bool is_same = std::ranges::any_of(
      used, [&](const Prefix& prefix) { return std::ranges::find(told, prefix) != told.end(); });
  if (is_same) return {};
  return Finding{
      State::problem, "prefix-mismatch",
      fmt::format("the NAT64 of {} has the prefix {}, but names are resolved to {}: connections go "
                  "by another NAT64 than mappings are made at",
                  server.name, list_text(told), list_text(used)),
      "give DNS64, router advertisements and PCP server the same prefix"};
}

void add_silence(const std::vector<ServerSeen>& servers, Seconds timeout, Findings& findings) {
  const bool has_answer = std::ranges::any_of(servers, &ServerSeen::answers);
  std::vector<std::string> silent;
  for (const ServerSeen& server : servers)
    if (!server.answers()) silent.push_back(silence_text(server));
  if (silent.empty()) return;
  if (!has_answer) {
    findings.push_back(
        {State::problem, "no-server",
         fmt::format("no PCP server answered within {} s: {}", timeout.count(), fmt::join(silent, "; ")),
         "start portoland on the router, or turn on PCP there; if it is another host, name it by DHCP (RFC "
         "7291) or with --server; firewalls have to let UDP port 5351 through"});
    return;
  }
  const bool is_named = std::ranges::any_of(servers, [](const ServerSeen& server) {
    return !server.answers() && server.origin == discovery::Origin::dhcp;
  });
  findings.push_back({is_named ? State::problem : State::note, "silent-server",
                      fmt::format("no answer from {}", fmt::join(silent, "; ")),
                      is_named ? "DHCP names a server that is not there: mend its option 158 or 86" : ""});
}

}  // namespace

auto to_string(State state) -> std::string_view {
  switch (state) {
    case State::good: return "good";
    case State::note: return "note";
    case State::problem: return "problem";
  }
  std::unreachable();
}

auto HostSeen::has(Family family) const -> bool {
  return std::ranges::any_of(addresses, [&](const IpAddress& address) { return address.family() == family; });
}

auto ServerSeen::is_behind_nat() const -> bool {
  return (announced && announced->result == ResultCode::address_mismatch) ||
         (refused && refused->result == ResultCode::address_mismatch);
}

auto findings_of(const HostSeen& host) -> Findings {
  Findings findings;
  if (host.addresses.empty()) {
    findings.push_back({State::problem, "no-address",
                        "this host has no address that anybody beyond its link could reach",
                        "connect it to a network and wait for an address; ip address shows those it has"});
  } else if (host.is_ipv6_only()) {
    findings.push_back({State::good, "ipv6-only",
                        fmt::format("this host has IPv6 alone: {}", list_text(host.addresses)), ""});
  } else {
    findings.push_back(
        {State::good, host.has(Family::ipv6) ? "dual-stack" : "ipv4-only",
         fmt::format("this host has {}: {}", host.has(Family::ipv6) ? "IPv6 and IPv4" : "IPv4 alone",
                     list_text(host.addresses)),
         ""});
  }
  if (host.routers.empty())
    findings.push_back(
        {State::problem, "no-router", "no router leads out of this network",
         "wait for its advertisement or DHCP, or add a default route; ip -6 route shows them"});
  for (const std::string& remark : host.remarks) findings.push_back({State::note, "remark", remark, ""});
  return findings;
}

auto router_findings(const HostSeen& host) -> Findings {
  std::vector<std::string> there = host.routers;
  std::erase_if(there, [&host](const std::string& router) {
    return std::ranges::find(host.silent_routers, router) != host.silent_routers.end();
  });
  Findings findings;
  for (const std::string& router : host.silent_routers)
    findings.push_back(
        {there.empty() ? State::problem : State::note, "silent-router",
         fmt::format("the router {} does not answer on its link: what goes by it is lost", router),
         "look whether it is on, and in this network: ip neighbour shows whom this host finds, "
         "ip -6 route and ip route where its default routes lead"});
  if (!there.empty())
    findings.push_back({State::good, "router", fmt::format("the way out is by {}", list_text(there)), ""});
  return findings;
}

auto findings_of(const Nat64Seen& nat64, const HostSeen& host) -> Findings {
  Findings findings;
  if (!nat64.of_routers.empty())
    findings.push_back({State::good, "pref64",
                        fmt::format("a router advertises the NAT64 prefix {}", list_text(nat64.of_routers)),
                        ""});
  if (!nat64.of_resolver.empty()) {
    findings.push_back(
        {State::good, "dns64",
         fmt::format("the resolver makes IPv6 addresses of IPv4 ones (DNS64) with the NAT64 prefix {}",
                     list_text(nat64.of_resolver)),
         ""});
    return findings;
  }
  const State state = host.is_ipv6_only() ? State::problem : State::note;
  if (nat64.resolver_error) {
    findings.push_back({state, "no-resolver", fmt::format("no resolver answers: {}", *nat64.resolver_error),
                        "look at the servers in /etc/resolv.conf, and whether they are reachable"});
  } else if (host.is_ipv6_only()) {
    findings.push_back({state, "no-dns64",
                        "the resolver makes no IPv6 addresses of IPv4 ones: programs on this host reach no "
                        "IPv4 host by its name",
                        "use a DNS server that does DNS64, such as unbound with dns64 in its module-config"});
  } else {
    findings.push_back({state, "no-dns64", "no NAT64 prefix is known here; a host with IPv4 needs none", ""});
  }
  return findings;
}

auto findings_of(const std::vector<ServerSeen>& servers, const HostSeen& host, const Nat64Seen& nat64,
                 Seconds timeout) -> Findings {
  Findings findings;
  if (servers.empty())
    return {{State::problem, "no-server", "there is no PCP server to ask",
             "connect this host to a network with a router, or name the server with --server"}};
  for (const ServerSeen& server : servers) {
    if (!server.answers()) continue;
    findings.push_back(of_answering(server, host));
    if (findings.back().state == State::problem) continue;
    if (server.mapping)
      findings.push_back(of_mapping(server));
    else if (server.refused)
      findings.push_back(of_refusal(server));
    if (auto finding = of_prefixes(server, host, nat64)) findings.push_back(std::move(*finding));
  }
  add_silence(servers, timeout, findings);
  return findings;
}

auto findings_of(const InboundSeen& inbound) -> Findings {
  if (inbound.helper.empty())
    return {{State::note, "inbound-not-tried",
             "whether a connection from outside really arrives was not tried",
             "run portolan doctor --listen-helper PORT on a host outside, and here portolan doctor "
             "--probe-from HOST:PORT"}};
  if (!inbound.mapping)
    return {{State::note, "inbound-not-tried", "no connection from outside was tried, for want of a mapping",
             ""}};
  const client::Mapping& mapping = *inbound.mapping;
  if (inbound.has_arrived)
    return {{State::good, "inbound",
             fmt::format("a connection from {} arrived through {}", inbound.helper, mapping.external), ""}};
  if (inbound.seen_from && *inbound.seen_from != mapping.external.address)
    return {{State::problem, "inbound-elsewhere",
             fmt::format("connections of this host leave from {}, but the mapping is at {}",
                         *inbound.seen_from, mapping.external.address),
             "another NAT than the PCP server's has the way out: have one of them do both"}};
  if (!inbound.seen_from)
    return {{State::problem, "helper",
             fmt::format("the helper at {} is of no help: {}", inbound.helper,
                         inbound.error.value_or("it does not answer")),
             "start portolan doctor --listen-helper PORT there, and let that port through firewalls"}};
  return {
      {State::problem, "inbound",
       fmt::format("no connection arrives: {} could not reach {}{}", inbound.helper, mapping.external,
                   inbound.error ? ": " + *inbound.error : ""),
       fmt::format("let TCP port {} in through this host's firewall, and port {} through those before the "
                   "PCP server",
                   mapping.internal.port, mapping.external.port)}};
}

}  // namespace portolan::doctor
