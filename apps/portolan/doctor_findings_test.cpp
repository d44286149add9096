// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/doctor_findings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "portolan/doctor_report.h"

namespace portolan::doctor {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using wire::ResultCode;

auto address(std::string_view text) -> IpAddress { return IpAddress::parse(text).value(); }
auto prefix(std::string_view text) -> Prefix { return Prefix::parse(text).value(); }

auto ipv6_host() -> HostSeen {
  return {.addresses = {address("2001:db8:112::2")}, .routers = {"fe80::1%eth0"}, .remarks = {}};
}
auto dual_host() -> HostSeen {
  return {.addresses = {address("2001:db8:112::2"), address("192.0.2.2")},
          .routers = {"fe80::1%eth0"},
          .remarks = {}};
}

auto server() -> ServerSeen {
  ServerSeen seen;
  seen.name = "fe80::1%eth0";
  seen.origin = discovery::Origin::default_router;
  seen.client_address = address("2001:db8:112::2");
  return seen;
}
auto answering() -> ServerSeen {
  ServerSeen seen = server();
  seen.announced = client::Announced{.handle = {},
                                     .result = ResultCode::success,
                                     .epoch_time_s = 7200,
                                     .round_trip = Nanoseconds{1'260'000}};
  seen.mapping.emplace();
  seen.mapping->internal = {address("2001:db8:112::2"), Port{40001}};
  seen.mapping->external = {address("192.0.2.14"), Port{6000}};
  return seen;
}
auto refusing(ResultCode result) -> ServerSeen {
  ServerSeen seen = answering();
  seen.mapping.reset();
  seen.refused =
      client::Refused{.handle = {}, .result = result, .lifetime = Seconds{1800}, .epoch_time_s = 0};
  return seen;
}

auto examined(const std::vector<ServerSeen>& servers, const HostSeen& host = ipv6_host(),
              const Nat64Seen& nat64 = {}) -> Findings {
  return findings_of(servers, host, nat64, Seconds{4});
}
auto ids(const Findings& findings) -> std::vector<std::string> {
  std::vector<std::string> all;
  for (const Finding& finding : findings)
    all.push_back(std::string(finding.id) + (finding.state == State::problem ? "!" : ""));
  return all;
}

TEST(Findings, of_hosts) {
  EXPECT_THAT(ids(findings_of(ipv6_host())), ElementsAre("ipv6-only"));
  EXPECT_THAT(ids(findings_of(dual_host())), ElementsAre("dual-stack"));
  HostSeen host = dual_host();
  host.addresses.erase(host.addresses.begin());
  host.remarks = {"a lease that can't be read"};
  EXPECT_THAT(ids(findings_of(host)), ElementsAre("ipv4-only", "remark"));
  EXPECT_THAT(ids(findings_of(HostSeen{})), ElementsAre("no-address!", "no-router!"));
}

TEST(Findings, of_routers_each_is_there_or_not) {
  HostSeen host = ipv6_host();
  EXPECT_THAT(ids(router_findings(host)), ElementsAre("router"));
  host.silent_routers = host.routers;
  EXPECT_THAT(ids(router_findings(host)), ElementsAre("silent-router!"));
  EXPECT_THAT(router_findings(host)[0].text, HasSubstr("the router fe80::1%eth0 does not answer"));
  host.routers.emplace_back("fe80::2%eth0");
  EXPECT_THAT(ids(router_findings(host)), ElementsAre("silent-router", "router"));
  EXPECT_EQ(router_findings(host)[1].text, "the way out is by fe80::2%eth0");
  EXPECT_THAT(ids(router_findings(HostSeen{})), ElementsAre()) << "that is told with the host";
}

TEST(Findings, a_nat64_is_needed_where_there_is_no_ipv4) {
  EXPECT_THAT(ids(findings_of(Nat64Seen{}, ipv6_host())), ElementsAre("no-dns64!"));
  EXPECT_THAT(ids(findings_of(Nat64Seen{}, dual_host())), ElementsAre("no-dns64"));
  Nat64Seen seen;
  seen.resolver_error = "it is silent";
  EXPECT_THAT(ids(findings_of(seen, ipv6_host())), ElementsAre("no-resolver!"));
  EXPECT_THAT(ids(findings_of(seen, dual_host())), ElementsAre("no-resolver"));
  seen = {};
  seen.of_resolver = {prefix("2001:db8:64::/96")};
  seen.of_routers = {prefix("2001:db8:64::/96")};
  EXPECT_THAT(ids(findings_of(seen, ipv6_host())), ElementsAre("pref64", "dns64"));
}

TEST(Findings, an_answering_server_is_told_with_what_it_can) {
  ServerSeen seen = answering();
  seen.options = {{"FILTER", true}, {"PORT_SET", false}, {"PREFER_FAILURE", std::nullopt}};
  const Findings findings = examined({seen});
  ASSERT_THAT(ids(findings), ElementsAre("server", "external-address"));
  EXPECT_EQ(
      findings[0].text,
      "the PCP server at fe80::1%eth0 (default router) answers after 1.3 ms in version 2; its state began "
      "2 h ago; it knows FILTER, but not PORT_SET");
  EXPECT_THAT(findings[1].text, HasSubstr("tcp port 40001 of 2001:db8:112::2 was 192.0.2.14:6000"));
}

TEST(Findings, how_long_ago_a_servers_state_began_is_told_in_fitting_units) {
  const auto text = [](std::uint32_t epoch_time_s) {
    ServerSeen seen = answering();
    seen.announced->epoch_time_s = epoch_time_s;
    return examined({seen}).at(0).text;
  };
  EXPECT_THAT(text(119), HasSubstr("began 119 s ago"));
  EXPECT_THAT(text(120), HasSubstr("began 2 min ago"));
  EXPECT_THAT(text(7199), HasSubstr("began 119 min ago"));
  EXPECT_THAT(text(7200), HasSubstr("began 2 h ago"));
  EXPECT_THAT(text(172'799), HasSubstr("began 47 h ago"));
  EXPECT_THAT(text(172'800), HasSubstr("began 2 days ago"));
}

TEST(Findings, silence_of_all_is_a_problem_and_of_some_is_not) {
  ServerSeen closed = server();
  closed.is_closed = true;
  ServerSeen unreachable = server();
  unreachable.error = "no route";
  EXPECT_THAT(ids(examined({})), ElementsAre("no-server!"));
  const Findings findings = examined({server(), closed, unreachable});
  ASSERT_THAT(ids(findings), ElementsAre("no-server!"));
  EXPECT_THAT(findings[0].text, HasSubstr("within 4 s: fe80::1%eth0 (default router); fe80::1%eth0 (default "
                                          "router): nothing listens there; fe80::1%eth0 (default router): no "
                                          "route"));
  EXPECT_THAT(ids(examined({answering(), closed})),
              ElementsAre("server", "external-address", "silent-server"));
  ServerSeen named = answering();
  named.origin = discovery::Origin::dhcp;
  EXPECT_THAT(ids(examined({named, closed})), ElementsAre("server", "external-address", "silent-server"));
  closed.origin = discovery::Origin::dhcp;
  EXPECT_THAT(ids(examined({answering(), closed})),
              ElementsAre("server", "external-address", "silent-server!"));
}

TEST(Findings, a_nat_on_the_path_is_named) {
  ServerSeen seen = answering();
  seen.mapping.reset();
  seen.announced->result = ResultCode::address_mismatch;
  const Findings findings = examined({seen});
  ASSERT_THAT(ids(findings), ElementsAre("nat-on-path!"));
  EXPECT_THAT(findings[0].text,
              HasSubstr("there is a NAT between this host and the PCP server at fe80::1%eth0"));
  EXPECT_THAT(findings[0].text, HasSubstr("another address than 2001:db8:112::2"));
  EXPECT_THAT(ids(examined({refusing(ResultCode::address_mismatch)})), ElementsAre("nat-on-path!"));
}

TEST(Findings, where_a_nat_may_be_is_told_as_far_as_it_is_known) {
  HostSeen host;
  host.routers = {"fe80::1%eth0"};
  ServerSeen seen = refusing(ResultCode::address_mismatch);
  const auto remedy = [&] { return findings_of({seen}, host, {}, Seconds{4}).at(0).remedy; };
  seen.origin = discovery::Origin::default_router;
  EXPECT_THAT(remedy(), HasSubstr("this NAT is before the router"));
  seen.origin = discovery::Origin::told;
  EXPECT_THAT(remedy(), HasSubstr("the way there leads by fe80::1%eth0, which does this NAT, or else"));
  host.routers.clear();
  EXPECT_THAT(remedy(), HasSubstr("on the link or on this host itself"));
}

TEST(Findings, another_nat_behind_the_server_is_seen_by_its_address) {
  for (const std::string_view text :
       {"10.0.0.1", "172.16.0.1", "172.31.255.254", "192.168.1.1", "100.64.0.1", "100.127.255.254"}) {
    ServerSeen seen = answering();
    seen.mapping->external.address = address(text);
    EXPECT_THAT(ids(examined({seen})), ElementsAre("server", "private-external!")) << text;
  }
  for (const std::string_view text : {"172.15.255.254", "172.32.0.1", "100.63.255.254", "100.128.0.1"}) {
    ServerSeen seen = answering();
    seen.mapping->external.address = address(text);
    EXPECT_THAT(ids(examined({seen})), ElementsAre("server", "external-address")) << text;
  }
}

TEST(Findings, each_refusal_says_what_to_do) {
  for (int code = 1; code < 30; ++code) {
    const ResultCode result{static_cast<std::uint8_t>(code)};
    if (result == ResultCode::address_mismatch) continue;
    const Findings findings = examined({refusing(result)});
    ASSERT_THAT(ids(findings), ElementsAre("server", "mapping-refused!"));
    EXPECT_THAT(findings[1].text, HasSubstr(wire::to_string(result)));
    EXPECT_NE(findings[1].remedy, "");
  }
  const auto remedy = [](ResultCode result) { return examined({refusing(result)}).at(1).remedy; };
  EXPECT_THAT(remedy(ResultCode::not_authorized), HasSubstr("policy"));
  EXPECT_THAT(remedy(ResultCode::user_ex_quota), HasSubstr("quota"));
  EXPECT_THAT(remedy(ResultCode::no_resources), HasSubstr("more external addresses or ports"));
  EXPECT_THAT(remedy(ResultCode::network_failure), HasSubstr("uplink"));
  EXPECT_THAT(remedy(ResultCode::unsupp_opcode), HasSubstr("turn MAP on"));
  EXPECT_EQ(remedy(ResultCode::excessive_remote_peers), "try again in 30 min");
}

TEST(Findings, other_protocols_are_named) {
  ServerSeen old = server();
  old.other_version = 0;
  EXPECT_THAT(examined({old})[0].text, HasSubstr("NAT-PMP"));
  old.other_version = 1;
  EXPECT_THAT(ids(examined({old})), ElementsAre("version!"));
  ServerSeen nat_pmp = answering();
  nat_pmp.speaks_nat_pmp = true;
  EXPECT_THAT(examined({nat_pmp})[0].text, HasSubstr("answers in NAT-PMP"));
}

TEST(Findings, prefixes_of_server_and_names_have_to_agree) {
  ServerSeen seen = answering();
  seen.nat64_prefixes = {{.prefix = prefix("2001:db8:64::/96"), .ipv4_prefixes = {}}};
  EXPECT_THAT(ids(examined({seen})), ElementsAre("server", "external-address", "prefix-unused"));
  EXPECT_THAT(ids(examined({seen}, dual_host())), ElementsAre("server", "external-address"));
  Nat64Seen nat64;
  nat64.of_resolver = {prefix("2001:db8:64::/96")};
  EXPECT_THAT(ids(examined({seen}, ipv6_host(), nat64)), ElementsAre("server", "external-address"));
  nat64.of_resolver = {prefix("2001:db8:65::/96")};
  EXPECT_THAT(ids(examined({seen}, ipv6_host(), nat64)),
              ElementsAre("server", "external-address", "prefix-mismatch!"));
}

TEST(Findings, of_connections_from_outside) {
  InboundSeen inbound;
  EXPECT_THAT(ids(findings_of(inbound)), ElementsAre("inbound-not-tried"));
  inbound.helper = "viewer:7000";
  EXPECT_THAT(ids(findings_of(inbound)), ElementsAre("inbound-not-tried"));
  inbound.mapping = answering().mapping;
  EXPECT_THAT(ids(findings_of(inbound)), ElementsAre("helper!"));
  inbound.seen_from = address("198.51.100.7");
  EXPECT_THAT(ids(findings_of(inbound)), ElementsAre("inbound-elsewhere!"));
  inbound.seen_from = address("192.0.2.14");
  inbound.error = "Connection refused";
  EXPECT_THAT(findings_of(inbound)[0].text,
              "no connection arrives: viewer:7000 could not reach 192.0.2.14:6000: Connection refused");
  inbound.has_arrived = true;
  EXPECT_THAT(ids(findings_of(inbound)), ElementsAre("inbound"));
}

TEST(DoctorReport, a_finding_has_a_line_and_its_remedy_another) {
  EXPECT_EQ(text_of({.state = State::problem, .id = "x", .text = "it is broken", .remedy = "mend it"}),
            "PROBLEM  it is broken\n         what to do: mend it\n");
  EXPECT_EQ(text_of({.state = State::good, .id = "x", .text = "it works", .remedy = ""}),
            "good     it works\n");
}

TEST(DoctorReport, json_has_all_of_it) {
  ServerSeen seen = answering();
  seen.options = {{"FILTER", true}, {"PORT_SET", std::nullopt}};
  const auto json = nlohmann::json::parse(json_of(examined({seen, server()}), {seen, server()}));
  EXPECT_EQ(json["healthy"], true);
  EXPECT_EQ(json["findings"][2]["id"], "silent-server");
  EXPECT_EQ(json["findings"][2]["remedy"], nullptr);
  EXPECT_EQ(json["servers"][0]["options"], nlohmann::json::parse(R"({"FILTER":true,"PORT_SET":null})"));
  EXPECT_EQ(json["servers"][0]["external-address"], "192.0.2.14");
  EXPECT_EQ(json["servers"][1]["version"], nullptr);
  EXPECT_EQ(nlohmann::json::parse(json_of(examined({}), {}))["healthy"], false);
}

}  // namespace
}  // namespace portolan::doctor
