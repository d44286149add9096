// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/agent_state.h"

#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "portolan/agent_config.h"

namespace portolan {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr TimePoint now{Seconds{1000}};
constexpr Nanoseconds wall_now = Seconds{1'700'000'000};

auto example() -> StoredMapping {
  StoredMapping mapping;
  mapping.wish.protocol = Protocol::tcp;
  mapping.wish.internal_port = Port{8080};
  mapping.wish.suggested_external_port = Port{80};
  mapping.wish.description = "the \"web\"\n";
  mapping.is_asked = true;
  client::Held held;
  held.server = "fe80::1%eth0";
  held.mapping.protocol = Protocol::tcp;
  held.mapping.internal = {.address = *IpAddress::parse("2001:db8::77"), .port = Port{8080}};
  held.mapping.external = {.address = *IpAddress::parse("192.0.2.14"), .port = Port{40123}};
  held.mapping.nonce = *Nonce::parse("00112233445566778899aabb");
  held.mapping.lifetime = Seconds{7200};
  held.mapping.expires = now + Seconds{3000};
  mapping.held.push_back(held);
  mapping.nonces = {{"fe80::1%eth0", held.mapping.nonce},
                    {"2001:db8::9", *Nonce::parse("ffeeddccbbaa998877665544")}};
  return mapping;
}

TEST(AgentState, what_is_remembered_is_the_same_after_a_reboot) {
  const auto text = encode_state({example()}, now, wall_now);
  // 500 s later by the wall, on a clock that has begun anew.
  const TimePoint later{Seconds{20}};
  const auto state = parse_state(text, later, wall_now + Seconds{500});
  ASSERT_TRUE(state) << state.error();
  ASSERT_THAT(*state, SizeIs(1));
  EXPECT_EQ(state->at(0).wish, example().wish);
  EXPECT_TRUE(state->at(0).is_asked);
  ASSERT_THAT(state->at(0).held, SizeIs(1));
  auto expected = example().held[0].mapping;
  expected.expires = later + Seconds{2500};
  EXPECT_EQ(state->at(0).held[0].mapping, expected);
  EXPECT_EQ(state->at(0).held[0].server, "fe80::1%eth0");
  EXPECT_EQ(state->at(0).nonces, example().nonces) << "also of a server that did not answer in time";
}

TEST(AgentState, a_wall_clock_that_was_set_back_makes_no_mapping_immortal) {
  const auto text = encode_state({example()}, now, wall_now);
  const auto state = parse_state(text, now, Seconds{0});
  ASSERT_TRUE(state);
  EXPECT_EQ(state->at(0).held[0].mapping.expires, now + std::chrono::hours{24});
}

TEST(AgentState, files_that_make_no_sense_are_refused_with_the_reason) {
  const auto why = [](std::string_view text) {
    const auto state = parse_state(text, now, wall_now);
    return state ? "it is accepted" : state.error();
  };
  EXPECT_EQ(why(""), "this is no JSON as expected");
  EXPECT_EQ(why("[]"), "it is of another version");
  EXPECT_EQ(why(R"({"version":2,"mappings":[]})"), "it is of another version");
  EXPECT_THAT(why(R"({"version":1})"), HasSubstr("\"mappings\" is no list"));
  EXPECT_THAT(why(R"({"version":1,"mappings":[{"protocol":"tcp","internal-port":70000,"external":"ipv4"}]})"),
              HasSubstr("\"internal-port\" is not from 0 to 65535"));
  EXPECT_THAT(why(R"({"version":1,"mappings":[{"protocol":"tcp","internal-port":18446744073709551615}]})"),
              HasSubstr("\"internal-port\" is not from 0 to 65535"));
  const auto with = [&](std::string_view rest) {
    return why(fmt::format(
        R"({{"version":1,"mappings":[{{"protocol":"tcp","internal-port":80,"external":"ipv4",{}}}]}})",
        rest));
  };
  EXPECT_THAT(with(R"("asked":3)"), HasSubstr("no JSON as expected"));
  EXPECT_THAT(with(R"("nonces":{"a":"12"})"), HasSubstr("the nonce of \"a\" is none"));
  EXPECT_THAT(with(R"("suggested-external-address":"2001:db8::1")"), HasSubstr("not of the family"));
  EXPECT_THAT(with(R"("prefer-failure":true)"), HasSubstr("suggest"));
  EXPECT_THAT(
      with(R"("held":[{"server":"a","internal-address":"2001:db8::2","internal-port":80,)"
           R"("external-address":"192.0.2.1","external-port":80,"granted-lifetime":7200,"expires":1}])"),
      HasSubstr("there is no nonce of \"a\""));
}

TEST(AgentState, nonces_beyond_the_limit_are_refused) {
  for (const std::size_t count :
       {client::Client::nonces_max - 1, client::Client::nonces_max, client::Client::nonces_max + 1}) {
    StoredMapping mapping = example();
    mapping.held.clear();
    mapping.nonces.clear();
    for (std::size_t i = 0; i < count; ++i) mapping.nonces[fmt::format("2001:db8::{:x}", i)] = Nonce{};
    EXPECT_EQ(parse_state(encode_state({mapping}, now, wall_now), now, wall_now).has_value(),
              count <= client::Client::nonces_max);
  }
}

TEST(AgentState, more_mappings_than_an_agent_keeps_are_refused) {
  for (const std::size_t count : {agent_mappings_max - 1, agent_mappings_max, agent_mappings_max + 1}) {
    const std::vector<StoredMapping> mappings(count, example());
    EXPECT_EQ(parse_state(encode_state(mappings, now, wall_now), now, wall_now).has_value(),
              count <= agent_mappings_max);
  }
}

TEST(AgentRequests, each_kind_arrives_as_it_was_sent) {
  for (const auto kind : {AgentRequest::Kind::list, AgentRequest::Kind::add, AgentRequest::Kind::drop}) {
    AgentRequest request{.kind = kind};
    if (kind != AgentRequest::Kind::list) request.wish = example().wish;
    const std::string line = encode_request(request);
    EXPECT_EQ(line.find('\n'), std::string::npos);
    const auto arrived = parse_request(line);
    ASSERT_TRUE(arrived) << arrived.error();
    EXPECT_EQ(arrived->kind, kind);
    EXPECT_EQ(arrived->wish, request.wish);
  }
}

/// One for a connection, one with filters, one for another host.
auto wishes_with_options() -> std::vector<client::Wish> {
  std::vector<client::Wish> wishes(3, example().wish);
  wishes[0].remote_peer = Endpoint{*IpAddress::parse("2001:db8:64::c633:6407"), Port{5060}};
  wishes[1].filters = {{.remote_peers = *Prefix::parse("2001:db8::/32"), .remote_port = {}},
                       {.remote_peers = *Prefix::parse("198.51.100.7/32"), .remote_port = Port{5060}}};
  wishes[2].third_party = *IpAddress::parse("2001:db8::7");
  wishes[2].third_party_id = {std::byte{0x0a}, std::byte{0xff}};
  return wishes;
}

TEST(AgentState, options_of_all_kinds_are_remembered) {
  for (const client::Wish& wish : wishes_with_options()) {
    StoredMapping mapping = example();
    mapping.wish = wish;
    mapping.held[0].mapping.remote_peer = wish.remote_peer;
    const auto state = parse_state(encode_state({mapping}, now, wall_now), now, wall_now);
    ASSERT_TRUE(state) << state.error();
    EXPECT_EQ(state->at(0).wish, wish);
    EXPECT_EQ(state->at(0).held[0].mapping, mapping.held[0].mapping) << "else it would be asked for anew";
  }
}

TEST(AgentRequests, options_of_all_kinds_arrive) {
  for (const client::Wish& wish : wishes_with_options()) {
    EXPECT_TRUE(is_for_agent(wish));
    const auto arrived = parse_request(encode_request({.kind = AgentRequest::Kind::add, .wish = wish}));
    ASSERT_TRUE(arrived) << arrived.error();
    EXPECT_EQ(arrived->wish, wish);
  }
}

TEST(AgentRequests, options_that_make_no_sense_are_refused_with_the_reason) {
  const auto why = [](std::string_view rest) {
    const auto request = parse_request(
        fmt::format(R"({{"do":"add","protocol":"tcp","internal-port":80,"external":"ipv4",{}}})", rest));
    return request ? "it is accepted" : request.error();
  };
  EXPECT_THAT(why(R"("remote-peer-address":"x")"), HasSubstr("\"remote-peer-address\" is no address"));
  EXPECT_THAT(why(R"("remote-peer-address":"2001:db8::1")"), HasSubstr("\"remote-peer-port\" is no number"));
  EXPECT_THAT(why(R"("filters":"2001:db8::/32")"), HasSubstr("\"filters\" is no list"));
  EXPECT_THAT(why(R"("filters":[7])"), HasSubstr("\"filters\" has one that is none"));
  EXPECT_THAT(why(R"("filters":["2001:db8::/32,70000"])"), HasSubstr("\"filters\" has one that is none"));
  EXPECT_THAT(why(R"("third-party-id":"0")"), HasSubstr("no pairs of hexadecimal digits"));
  EXPECT_THAT(why(R"("third-party-id":"0a")"), HasSubstr("needs its address"));
}

TEST(AgentRequests, wishes_that_they_have_no_words_for_are_known) {
  client::Wish wish = example().wish;
  wish.prefer_failure = true;
  wish.suggested_external_address = *IpAddress::parse("192.0.2.14");
  EXPECT_TRUE(is_for_agent(wish));
  client::Wish several = wish;
  several.prefer_failure = false;
  several.port_count = 2;
  EXPECT_FALSE(is_for_agent(several));
  client::Wish long_winded = wish;
  // Written as six characters each: the longest line of the socket.
  long_winded.description = std::string(1000, '\x01');
  EXPECT_TRUE(is_for_agent(long_winded));
  EXPECT_LE(encode_request({.kind = AgentRequest::Kind::add, .wish = long_winded}).size(),
            agent_line_octets_max);
  client::Wish brief = wish;
  brief.lifetime = Seconds{119};
  EXPECT_FALSE(is_for_agent(brief));
}

TEST(AgentRequests, those_that_make_no_sense_are_refused_with_the_reason) {
  EXPECT_THAT(parse_request("hello").error(), HasSubstr("no JSON"));
  EXPECT_THAT(parse_request(R"({"do":"dance"})").error(), HasSubstr("neither list, add nor drop"));
  EXPECT_THAT(parse_request(R"({"do":"add","protocol":"tcp","internal-port":0,"external":"ipv4"})").error(),
              HasSubstr("name one port"));
}

TEST(AgentReplies, a_mapping_an_error_and_the_end_are_told_apart) {
  const auto mapping = parse_reply(encode_reply({.mapping = example()}, now), now);
  ASSERT_TRUE(mapping && mapping->mapping);
  EXPECT_EQ(mapping->mapping->held[0].mapping, example().held[0].mapping);
  StoredMapping shown = example();
  shown.nonces.clear();
  const std::string line = encode_reply({.mapping = shown}, now);
  EXPECT_THAT(line, testing::Not(HasSubstr(to_string(example().held[0].mapping.nonce))));
  const auto listed = parse_reply(line, now);
  ASSERT_TRUE(listed && listed->mapping) << "without nonces";
  EXPECT_EQ(listed->mapping->held[0].mapping.external, example().held[0].mapping.external);
  EXPECT_EQ(listed->mapping->held[0].mapping.nonce, Nonce{});
  EXPECT_EQ(parse_reply(encode_reply({.error = "no"}, now), now)->error, "no");
  const auto end = parse_reply(encode_reply({}, now), now);
  EXPECT_TRUE(end && !end->mapping && end->error.empty());
}

}  // namespace
}  // namespace portolan
