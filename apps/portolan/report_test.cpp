// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/report.h"

#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace portolan {
namespace {

using testing::HasSubstr;
using wire::ResultCode;

auto asked() -> Asked {
  Asked asked;
  asked.command.wish.protocol = Protocol::tcp;
  asked.command.wish.internal_port = Port{8080};
  asked.client_address = *IpAddress::parse("2001:db8:112::2");
  asked.internal = {asked.client_address, Port{8080}};
  asked.server = "2001:db8:112::1";
  asked.nonce = *Nonce::parse("00112233445566778899aabb");
  return asked;
}

auto mapping() -> client::Mapping {
  return {.protocol = Protocol::tcp,
          .internal = asked().internal,
          .external = {*IpAddress::parse("192.0.2.14"), Port{40000}},
          .nonce = asked().nonce,
          .lifetime = Seconds{7200},
          .expires = {},
          .epoch_time_s = 77};
}

TEST(Report, a_grant_in_one_line) {
  EXPECT_EQ(granted_text(asked(), mapping()),
            "tcp port 8080 of 2001:db8:112::2 is reachable at 192.0.2.14:40000 for 2 h (PCP server "
            "2001:db8:112::1)");
  Asked other = asked();
  other.command.wish.suggested_external_port = Port{8080};
  EXPECT_THAT(granted_text(other, mapping()), HasSubstr("; port 8080 was not to be had)"));
}

TEST(Report, wildcards_have_words) {
  Asked wildcard = asked();
  wildcard.command.wish.internal_port = Port{0};
  EXPECT_EQ(subject_text(wildcard), "all of tcp to 2001:db8:112::2");
  wildcard.command.wish.protocol = Protocol::all;
  EXPECT_EQ(subject_text(wildcard), "all traffic to 2001:db8:112::2");
}

TEST(Report, the_remedy_is_a_command_that_works) {
  EXPECT_EQ(
      remedy_text(asked(), mapping()),
      "renew it with: portolan map tcp 8080 --nonce 00112233445566778899aabb; delete it with the same and "
      "--delete");
  Asked other = asked();
  other.command.common.server = "gateway.example";
  other.command.common.server_port = Port{15351};
  other.command.common.internal_address = IpAddress::parse("2001:db8::7");
  client::Mapping other_mapping = mapping();
  other_mapping.external.address = *IpAddress::parse("2001:db8:112::2");
  EXPECT_THAT(
      remedy_text(other, other_mapping),
      HasSubstr("portolan map tcp 8080 --external-address :: --server gateway.example --server-port 15351 "
                "--internal-address 2001:db8::7 --nonce 00112233445566778899aabb;"));
}

TEST(Report, json_of_a_grant_has_the_promised_keys_in_order) {
  EXPECT_EQ(
      granted_json(asked(), mapping()),
      R"({"result":"SUCCESS","protocol":"tcp","internal-address":"2001:db8:112::2","internal-port":8080,)"
      R"("external-address":"192.0.2.14","external-port":40000,"lifetime":7200,"epoch":77,)"
      R"("server":"2001:db8:112::1","nonce":"00112233445566778899aabb",)"
      R"("remote-peer-address":null,"remote-peer-port":null,"port-count":1,"filtered":false,)"
      R"("description":null,"nat64-prefixes":null})");
  EXPECT_THAT(event_json(asked(), "renewed", mapping()), testing::EndsWith(R"(,"event":"renewed"})"));
}

TEST(Report, json_of_a_refusal_has_the_word_of_the_rfc) {
  const client::Refused refused{
      .handle = {}, .result = ResultCode::user_ex_quota, .lifetime = Seconds{30}, .epoch_time_s = 78};
  EXPECT_THAT(refused_json(asked(), refused),
              testing::StartsWith(R"({"result":"USER_EX_QUOTA","protocol":"tcp",)"));
  EXPECT_THAT(refused_json(asked(), refused), HasSubstr(R"("external-port":null,"lifetime":30,"epoch":78,)"));
}

TEST(Report, json_of_other_ends) {
  EXPECT_THAT(failed_json(asked(), "nobody \"there\""), HasSubstr(R"("error":"nobody \"there\"")"));
  EXPECT_THAT(failed_json(asked(), "x"), testing::StartsWith(R"({"result":null,)"));
  EXPECT_THAT(deleted_json(asked(), {.handle = {}, .remaining = Seconds{29}, .epoch_time_s = 5}),
              HasSubstr(R"("external-address":null,"external-port":null,"lifetime":29,"epoch":5,)"));
  EXPECT_EQ(announced_json("192.0.2.1", {.handle = {},
                                         .result = ResultCode::success,
                                         .epoch_time_s = 9,
                                         .round_trip = Nanoseconds{1'234'567}}),
            R"({"result":"SUCCESS","server":"192.0.2.1","epoch":9,"round-trip-ms":1.234})");
  EXPECT_EQ(announce_failed_json("192.0.2.1", "x"),
            R"({"result":null,"server":"192.0.2.1","epoch":null,"round-trip-ms":null,"error":"x"})");
}

struct Remedy {
  ResultCode result;
  std::string_view text;
};

TEST(Report, every_refusal_says_what_to_do) {
  const std::vector<Remedy> remedies = {
      {ResultCode::unsupp_version, "update"},
      {ResultCode::not_authorized, "different nonce"},
      {ResultCode::malformed_request, "--verbose"},
      {ResultCode::unsupp_opcode, "disabled"},
      {ResultCode::unsupp_option, "option"},
      {ResultCode::malformed_option, "--verbose"},
      {ResultCode::network_failure, "try again in 30 min"},
      {ResultCode::no_resources, "try again in 30 min"},
      {ResultCode::unsupp_protocol, "does not map protocol tcp"},
      {ResultCode::user_ex_quota, "delete one"},
      {ResultCode::cannot_provide_external, "leave out --external-port"},
      {ResultCode::address_mismatch, "there is a NAT between you and the PCP server at 2001:db8:112::1"},
      {ResultCode::excessive_remote_peers, "give fewer --filter"},
      {ResultCode::authentication_required, "authentication"},
      {ResultCode{200}, "result code 200: try again"},
  };
  for (const auto& [result, text] : remedies) {
    const client::Refused refused{
        .handle = {}, .result = result, .lifetime = Seconds{1800}, .epoch_time_s = 0};
    EXPECT_THAT(refused_text(asked(), refused), HasSubstr(wire::to_string(result)));
    EXPECT_THAT(refused_text(asked(), refused), HasSubstr(std::string(text)));
  }
}

TEST(Report, remedies_know_what_was_asked) {
  client::Refused refused{
      .handle = {}, .result = ResultCode::unsupp_option, .lifetime = Seconds{1800}, .epoch_time_s = 0};
  Asked other = asked();
  other.command.wish.prefer_failure = true;
  other.command.wish.third_party = IpAddress::parse("2001:db8:112::3");
  EXPECT_THAT(refused_text(other, refused), HasSubstr("leave out --prefer-failure, --third-party"));
  refused.result = ResultCode::cannot_provide_external;
  EXPECT_THAT(refused_text(other, refused), HasSubstr("leave out --prefer-failure"));
  refused.result = ResultCode::unsupp_opcode;
  EXPECT_THAT(refused_text(other, refused), HasSubstr("MAP is disabled"));
  refused.result = ResultCode::unsupp_protocol;
  other.command.wish.internal_port = Port{0};
  EXPECT_THAT(refused_text(other, refused), HasSubstr("name a port"));
  refused.result = ResultCode::not_authorized;
  other.command.is_deletion = true;
  EXPECT_THAT(refused_text(other, refused), HasSubstr("its maker printed"));
}

auto peering() -> Asked {
  Asked peering = asked();
  peering.command.wish.remote_peer = {.address = *IpAddress::parse("2001:db8:64::c633:6407"),
                                      .port = Port{5060}};
  return peering;
}

TEST(Report, a_peer_is_told_from_where_it_is_reached) {
  EXPECT_EQ(
      granted_text(peering(), mapping()),
      "tcp port 8080 of 2001:db8:112::2 reaches [2001:db8:64::c633:6407]:5060 from 192.0.2.14:40000 for "
      "2 h (PCP server 2001:db8:112::1)");
  EXPECT_EQ(remedy_text(peering(), mapping()),
            "renew it with: portolan peer tcp 8080 2001:db8:64::c633:6407 5060 --nonce "
            "00112233445566778899aabb; it ends with its lifetime");
  EXPECT_THAT(deleted_text(peering(), {.handle = {}, .remaining = Seconds{90}, .epoch_time_s = 0}),
              HasSubstr("renewed no more, and ends in 90 s"));
  EXPECT_THAT(granted_json(peering(), mapping()),
              HasSubstr(R"("remote-peer-address":"2001:db8:64::c633:6407","remote-peer-port":5060,)"));
}

TEST(Report, what_is_not_as_asked_for_is_said) {
  Asked other = asked();
  other.command.wish.port_count = 4;
  other.command.wish.filters = {{.remote_peers = *Prefix::parse("2001:db8::/32"), .remote_port = Port{}}};
  other.command.wish.description = "camera";
  other.command.wish.wants_nat64_prefix = true;
  client::Mapping granted = mapping();
  granted.port_count = 2;
  EXPECT_EQ(
      granted_text(other, granted),
      "tcp ports 8080 to 8083 of 2001:db8:112::2 are reachable at 192.0.2.14:40000 to 40001 for 2 h (PCP "
      "server 2001:db8:112::1; 2 of 4 ports were to be had; it confirmed no filter, so everyone may "
      "send; it keeps no description; it told no NAT64 prefix)");
  EXPECT_THAT(remedy_text(other, granted), HasSubstr("--port-set 2 "));
  granted.port_count = 4;
  granted.is_filtered = true;
  granted.description = "camera";
  other.nat64_prefixes = {
      {.prefix = *Prefix::parse("2001:db8:64::/96"), .ipv4_prefixes = {*Prefix::parse("203.0.113.0/24")}}};
  EXPECT_THAT(granted_text(other, granted), testing::EndsWith("(PCP server 2001:db8:112::1; NAT64 prefix "
                                                              "2001:db8:64::/96 for 203.0.113.0/24)"));
  EXPECT_THAT(granted_json(other, granted),
              HasSubstr(R"("port-count":4,"filtered":true,"description":"camera","nat64-prefixes":)"
                        R"([{"prefix":"2001:db8:64::/96","ipv4-prefixes":["203.0.113.0/24"]}])"));
  other.command.wish.port_count = UINT16_MAX;
  EXPECT_EQ(subject_text(other), "tcp ports from 8080 on of 2001:db8:112::2");
}

TEST(Report, addresses_are_of_the_family_that_the_host_sees) {
  EXPECT_EQ(objection_text(asked()), std::nullopt);
  EXPECT_EQ(objection_text(peering()), std::nullopt);
  Asked foreign = peering();
  foreign.command.wish.remote_peer->address = *IpAddress::parse("198.51.100.7");
  EXPECT_THAT(objection_text(foreign).value(), HasSubstr("PEER_ADDRESS 198.51.100.7 is not an address"));
  foreign = asked();
  foreign.command.wish.filters = {{.remote_peers = *Prefix::parse("198.51.100.0/24"), .remote_port = Port{}}};
  EXPECT_THAT(objection_text(foreign).value(), HasSubstr("--filter 198.51.100.0/24"));
}

TEST(Report, spans_are_rounded_for_people) {
  const std::vector<std::pair<std::uint32_t, std::string_view>> spans = {
      {0, "0 s"},    {119, "119 s"},       {120, "2 min"},          {7199, "119 min"},
      {7200, "2 h"}, {9000, "2 h 30 min"}, {172799, "47 h 59 min"}, {172800, "2 days"},
  };
  for (const auto& [epoch_time_s, text] : spans) {
    EXPECT_THAT(announced_text("x", {.handle = {},
                                     .result = ResultCode::success,
                                     .epoch_time_s = epoch_time_s,
                                     .round_trip = Nanoseconds{0}}),
                HasSubstr("began " + std::string(text) + " ago"));
  }
}

TEST(Report, other_protocols_are_named) {
  EXPECT_THAT(version_text("192.0.2.1", {.version = 0, .lifetime = Seconds{30}}), HasSubstr("NAT-PMP"));
  EXPECT_THAT(version_text("192.0.2.1", {.version = 3, .lifetime = Seconds{30}}), HasSubstr("version 3"));
}

}  // namespace
}  // namespace portolan
