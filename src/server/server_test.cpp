// SPDX-License-Identifier: BSD-2-Clause
//
// The MAP and ANNOUNCE rules of RFC 6887 at the engine, with everything settling at once.
#include "server/server.h"

#include <gmock/gmock.h>

#include "server/test_world.h"

namespace portolan::server {
namespace {

using wire::ResultCode;

auto octets(std::initializer_list<int> values) -> std::vector<std::byte> {
  std::vector<std::byte> bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

auto endpoint(const char* address, std::uint16_t port = 12345) -> Endpoint {
  return {*IpAddress::parse(address), Port{port}};
}

auto request_octets(const MapAsk& ask) -> std::vector<std::byte> {
  const auto datagram = encode(ask);
  return {datagram.octets().begin(), datagram.octets().end()};
}

/// Sends raw octets from the default client and returns all answers.
auto answers_to(World& world, std::vector<std::byte> datagram, const char* from = "2001:db8:112::1")
    -> std::vector<Answer> {
  world.receive({{endpoint(from), std::move(datagram)}});
  world.settle();
  return {std::make_move_iterator(world.answers.begin()), std::make_move_iterator(world.answers.end())};
}

void expect_result(const Answer& answer, ResultCode result, Seconds lifetime) {
  EXPECT_EQ(wire::to_string(answer.response().result), wire::to_string(result));
  EXPECT_EQ(Seconds{answer.response().lifetime_s}, lifetime);
}

TEST(Server, a_free_suggested_port_is_granted) {
  World world;
  const Answer answer = world.ask({.internal_port = 8080, .suggested_external_port = 8080});
  expect_result(answer, ResultCode::success, Seconds{3600});
  EXPECT_EQ(answer.map().assigned_external_port, Port{8080});
  EXPECT_EQ(answer.map().assigned_external_address, *IpAddress::parse("192.0.2.14"));
  EXPECT_EQ(answer.map().internal_port, Port{8080});
  EXPECT_EQ(answer.map().protocol, Protocol::udp);
  EXPECT_EQ(answer.map().nonce.octets[0], std::byte{1});
  EXPECT_EQ(answer.client, endpoint("2001:db8:112::1"));
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(Server, a_second_host_asking_for_the_same_port_gets_another) {
  World world;
  world.ask({.suggested_external_port = 8080});
  const Answer answer = world.ask({.from = "2001:db8:113::2", .suggested_external_port = 8080});
  expect_result(answer, ResultCode::success, Seconds{3600});
  EXPECT_NE(answer.map().assigned_external_port, Port{8080});
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(Server, lifetimes_are_clamped_to_the_configured_minimum_and_maximum) {
  World world({.minimum_lifetime = Seconds{120}, .maximum_lifetime = Seconds{7200}});
  EXPECT_EQ(world.ask({.lifetime_s = 1}).response().lifetime_s, 120U);
  EXPECT_EQ(world.ask({.lifetime_s = 119}).response().lifetime_s, 120U);
  EXPECT_EQ(world.ask({.lifetime_s = 7200}).response().lifetime_s, 7200U);
  EXPECT_EQ(world.ask({.lifetime_s = 7201}).response().lifetime_s, 7200U);
  EXPECT_EQ(world.ask({.lifetime_s = 0xffffffff}).response().lifetime_s, 7200U);
}

TEST(Server, renewing_keeps_the_external_port_whatever_is_suggested) {
  World world;
  world.ask({.suggested_external_port = 8080});
  world.pass(Seconds{1000});
  const Answer answer = world.ask({.suggested_external_port = 9090});
  expect_result(answer, ResultCode::success, Seconds{3600});
  EXPECT_EQ(answer.map().assigned_external_port, Port{8080});
  world.pass(Seconds{3000});
  EXPECT_EQ(world.server.contracts().size(), 1U) << "the renewal moved the end";
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(Server, another_nonce_is_not_authorized_for_as_long_as_the_mapping_lives) {
  World world;
  world.ask({.suggested_external_port = 8080, .lifetime_s = 3600, .nonce = 1});
  world.pass(Seconds{600});
  for (const std::uint32_t lifetime : {3600U, 0U}) {
    const Answer answer = world.ask({.lifetime_s = lifetime, .nonce = 2});
    expect_result(answer, ResultCode::not_authorized, Seconds{3000});
    EXPECT_EQ(answer.map().nonce.octets[0], std::byte{2}) << "an error repeats the request";
  }
  EXPECT_EQ(world.ask({.nonce = 1}).response().result, ResultCode::success);
}

TEST(Server, deleting_ends_the_mapping_and_copies_the_suggested_fields) {
  World world;
  world.ask({.suggested_external_port = 8080});
  const Answer answer = world.ask(
      {.suggested_external_port = 77, .lifetime_s = 0, .suggested_external_address = "198.51.100.9"});
  expect_result(answer, ResultCode::success, Seconds{0});
  EXPECT_EQ(answer.map().assigned_external_port, Port{77});
  EXPECT_EQ(answer.map().assigned_external_address, *IpAddress::parse("198.51.100.9"));
  EXPECT_EQ(world.server.contracts().size(), 0U);
  EXPECT_EQ(world.disagreement(), std::nullopt);
  expect_result(world.ask({.lifetime_s = 0}), ResultCode::success, Seconds{0});
}

TEST(Server, deleting_under_live_traffic_says_how_long_the_mapping_stays) {
  World world;
  world.ask({.internal_port = 3000});
  world.nat.outbound(world.now, {.realm = {},
                                 .internal_address = *IpAddress::parse("2001:db8:112::1"),
                                 .protocol = Protocol::udp,
                                 .external_family = Family::ipv4,
                                 .internal_port = Port{3000}});
  world.pass(Seconds{100});
  expect_result(world.ask({.internal_port = 3000, .lifetime_s = 0}), ResultCode::success, Seconds{200});
}

TEST(Server, a_lifetime_is_no_shorter_than_live_traffic_keeps_the_mapping) {
  World world;
  world.ask({.internal_port = 3000});
  world.nat.outbound(world.now, {.realm = {},
                                 .internal_address = *IpAddress::parse("2001:db8:112::1"),
                                 .protocol = Protocol::udp,
                                 .external_family = Family::ipv4,
                                 .internal_port = Port{3000}});
  world.pass(Seconds{100});
  expect_result(world.ask({.internal_port = 3000, .lifetime_s = 130}), ResultCode::success, Seconds{200});
  world.pass(Seconds{199});
  EXPECT_EQ(world.server.contracts().size(), 1U);
  world.pass(Seconds{2});
  EXPECT_EQ(world.server.contracts().size(), 0U);
}

TEST(Server, a_deleted_port_comes_back_to_its_owner) {
  World world;
  world.ask({.suggested_external_port = 8080});
  world.ask({.lifetime_s = 0});
  EXPECT_NE(
      world.ask({.from = "2001:db8:112::2", .suggested_external_port = 8080}).map().assigned_external_port,
      Port{8080});
  EXPECT_EQ(world.ask({.suggested_external_port = 8080}).map().assigned_external_port, Port{8080});
}

TEST(Server, a_mapping_expires_with_its_lifetime) {
  World world;
  world.ask({.lifetime_s = 200});
  world.pass(Milliseconds{199'999});
  EXPECT_EQ(world.server.contracts().size(), 1U);
  EXPECT_LE(*world.server.next_deadline() - world.now, Milliseconds{270});
  world.pass(*world.server.next_deadline() - world.now);
  EXPECT_EQ(world.server.contracts().size(), 0U);
  EXPECT_EQ(world.server.counters().expired, 1U);
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(Server, one_advance_expires_no_more_than_its_limit) {
  World world({.expiries_per_advance_max = 10});
  for (std::uint16_t port = 1; port <= 25; ++port) world.ask({.internal_port = port, .lifetime_s = 200});
  world.now += Seconds{300};
  for (const std::size_t left : {15U, 5U, 0U}) {
    ASSERT_LE(*world.server.next_deadline(), world.now);
    world.pass({});
    EXPECT_EQ(world.server.contracts().size(), left);
  }
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(Server, quotas_count_mappings_of_a_subscriber) {
  World world({.policy = {.mappings_max = 3}, .inside = {{.subscriber_prefix_length = 64}}});
  EXPECT_EQ(world.ask({.internal_port = 1}).response().result, ResultCode::success);
  EXPECT_EQ(world.ask({.from = "2001:db8:112::2", .internal_port = 2}).response().result,
            ResultCode::success);
  EXPECT_EQ(world.ask({.internal_port = 3}).response().result, ResultCode::success);
  expect_result(world.ask({.from = "2001:db8:112::3", .internal_port = 4}), ResultCode::user_ex_quota,
                Seconds{30});
  EXPECT_EQ(world.ask({.internal_port = 3}).response().result, ResultCode::success) << "renewals are free";
  EXPECT_EQ(world.ask({.from = "2001:db8:113::1", .internal_port = 4}).response().result,
            ResultCode::success);
  world.ask({.internal_port = 1, .lifetime_s = 0});
  EXPECT_EQ(world.ask({.internal_port = 4}).response().result, ResultCode::success);
}

TEST(Server, a_batch_of_creations_does_not_slip_past_the_quota) {
  World world({.policy = {.mappings_max = 3}});
  world.receive({{.internal_port = 1}, {.internal_port = 2}, {.internal_port = 3}, {.internal_port = 4}});
  world.settle();
  EXPECT_EQ(world.server.contracts().size(), 3U);
  EXPECT_EQ(world.server.counters().answers[std::to_underlying(ResultCode::user_ex_quota)], 1U);
}

TEST(Server, a_refused_creation_gives_its_quota_back) {
  World world({.policy = {.mappings_max = 1}});
  EXPECT_EQ(world.ask({.protocol = static_cast<Protocol>(47)}).response().result,
            ResultCode::unsupp_protocol);
  EXPECT_EQ(world.ask({}).response().result, ResultCode::success);
}

TEST(Server, a_full_table_has_no_resources) {
  World world({.mappings_max = 2});
  EXPECT_EQ(world.ask({.internal_port = 1}).response().result, ResultCode::success);
  EXPECT_EQ(world.ask({.internal_port = 2}).response().result, ResultCode::success);
  expect_result(world.ask({.internal_port = 3}), ResultCode::no_resources, Seconds{30});
}

TEST(Server, prefer_failure_is_granted_with_the_option_or_refused) {
  World world;
  const Answer granted = world.ask({.suggested_external_port = 8080, .prefer_failure = true});
  expect_result(granted, ResultCode::success, Seconds{3600});
  const wire::Response response = granted.response();
  ASSERT_EQ(std::distance(response.options.begin(), response.options.end()), 1);
  EXPECT_EQ(response.options.begin()->code, wire::OptionCode::prefer_failure);

  const Answer refused =
      world.ask({.from = "2001:db8:113::2", .suggested_external_port = 8080, .prefer_failure = true});
  EXPECT_EQ(refused.response().result, ResultCode::cannot_provide_external);
  EXPECT_EQ(world.server.contracts().size(), 1U);
}

TEST(Server, prefer_failure_must_fit_an_existing_mapping) {
  World world;
  world.ask({.suggested_external_port = 8080});
  const Answer other = world.ask({.suggested_external_port = 8081, .prefer_failure = true});
  expect_result(other, ResultCode::cannot_provide_external, Seconds{3600});
  EXPECT_EQ(world.ask({.suggested_external_port = 8080, .prefer_failure = true}).response().result,
            ResultCode::success);
  EXPECT_EQ(world
                .ask({.suggested_external_port = 8080,
                      .suggested_external_address = "192.0.2.13",
                      .prefer_failure = true})
                .response()
                .result,
            ResultCode::cannot_provide_external);
}

TEST(Server, prefer_failure_without_a_port_or_in_a_deletion_is_malformed) {
  World world;
  expect_result(world.ask({.suggested_external_port = 0, .prefer_failure = true}),
                ResultCode::malformed_option, Seconds{1800});
  expect_result(world.ask({.suggested_external_port = 80, .lifetime_s = 0, .prefer_failure = true}),
                ResultCode::malformed_option, Seconds{1800});
}

TEST(Server, protocols_and_wildcards_the_device_can_not_map_are_unsupported) {
  World world;
  for (const MapAsk& ask : {MapAsk{.protocol = static_cast<Protocol>(47)}, MapAsk{.internal_port = 0},
                            MapAsk{.internal_port = 0, .protocol = Protocol::all}})
    expect_result(world.ask(ask), ResultCode::unsupp_protocol, Seconds{1800});
  for (const std::uint32_t lifetime : {0U, 3600U})
    expect_result(world.ask({.lifetime_s = lifetime, .protocol = Protocol::all}),
                  ResultCode::malformed_request, Seconds{1800});
}

TEST(Server, what_the_device_says_becomes_a_result_code) {
  World world;
  const std::vector<std::pair<device::Refusal, ResultCode>> table{
      {device::Refusal::no_resources, ResultCode::no_resources},
      {device::Refusal::network_failure, ResultCode::network_failure},
      {device::Refusal::not_inside, ResultCode::not_authorized},
      {device::Refusal::unsupported_protocol, ResultCode::unsupp_protocol},
      {device::Refusal::cannot_provide_external, ResultCode::cannot_provide_external},
  };
  for (const auto& [refusal, result] : table) {
    world.device_refuses = refusal;
    EXPECT_EQ(world.ask({}).response().result, result);
    EXPECT_EQ(world.disagreement(), std::nullopt);
  }
}

TEST(Server, announce_is_answered_with_the_epoch_and_changes_nothing) {
  World world;
  world.now += Seconds{3600};
  const auto datagram = wire::encode_request({.opcode = wire::Opcode::announce,
                                              .requested_lifetime_s = 0,
                                              .client_address = *IpAddress::parse("2001:db8:112::1"),
                                              .body = wire::Announce{},
                                              .options = {}});
  const auto answers = answers_to(world, {datagram.octets().begin(), datagram.octets().end()});
  ASSERT_EQ(answers.size(), 1U);
  expect_result(answers[0], ResultCode::success, Seconds{0});
  EXPECT_EQ(answers[0].response().epoch_time_s, 3600U);
  EXPECT_EQ(answers[0].octets.size(), wire::header_octets);
}

TEST(Server, what_rfc_6887_wants_dropped_is_dropped) {
  World world;
  EXPECT_TRUE(answers_to(world, {}).empty());
  EXPECT_TRUE(answers_to(world, octets({2})).empty());
  auto response = request_octets({});
  response[1] |= std::byte{0x80};
  EXPECT_TRUE(answers_to(world, response).empty());
  auto cut = request_octets({});
  cut.resize(23);
  EXPECT_TRUE(answers_to(world, cut).empty());
  EXPECT_EQ(world.server.counters().dropped_too_short, 3U);
  EXPECT_EQ(world.server.counters().dropped_response, 1U);
}

TEST(Server, another_version_is_told_which_one_is_spoken) {
  for (const int version : {0, 1, 3, 255}) {
    World world;
    const auto answers = answers_to(world, octets({version, 1}));
    ASSERT_EQ(answers.size(), 1U) << version;
    const auto answer = answers[0].octets;
    EXPECT_EQ(answer.size(), wire::header_octets);
    EXPECT_EQ(answer[0], std::byte{2});
    EXPECT_EQ(answer[1], std::byte{0x81});
    EXPECT_EQ(answer[3], std::byte{1});
  }
}

TEST(Server, wrong_sizes_are_malformed_requests) {
  for (const std::size_t size : {61U, 56U, 24U, 1101U, 1104U, 1500U}) {
    World world;
    auto datagram = request_octets({});
    datagram.resize(size);
    const auto answers = answers_to(world, datagram);
    ASSERT_EQ(answers.size(), 1U) << size;
    const auto answer = answers[0].octets;
    EXPECT_EQ(answer[3], static_cast<std::byte>(ResultCode::malformed_request)) << size;
    EXPECT_EQ(answer.size(), std::min<std::size_t>((size + 3) / 4 * 4, 1100)) << size;
  }
}

TEST(Server, a_client_address_that_is_not_the_source_is_a_mismatch) {
  World world;
  const auto answers = answers_to(world, request_octets({}), "2001:db8:112::2");
  ASSERT_EQ(answers.size(), 1U);
  expect_result(answers[0], ResultCode::address_mismatch, Seconds{1800});
  EXPECT_EQ(world.server.contracts().size(), 0U);
}

TEST(Server, the_address_is_checked_before_opcode_and_options) {
  World world;
  auto unknown = request_octets({});
  unknown[1] = std::byte{0x7e};
  const auto mismatch = answers_to(world, unknown, "2001:db8:112::2");
  ASSERT_EQ(mismatch.size(), 1U);
  EXPECT_EQ(mismatch[0].response().result, ResultCode::address_mismatch);
}

TEST(Server, an_unknown_opcode_gets_its_payload_back) {
  for (const int opcode : {3, 4, 0x7f}) {
    World world;
    auto request = request_octets({});
    request[1] = static_cast<std::byte>(opcode);
    const auto answers = answers_to(world, request);
    ASSERT_EQ(answers.size(), 1U);
    const auto answer = answers[0].octets;
    EXPECT_EQ(answer[3], static_cast<std::byte>(ResultCode::unsupp_opcode));
    EXPECT_TRUE(std::ranges::equal(std::span(answer).subspan(24), std::span(request).subspan(24)));
  }
}

TEST(Server, options_are_refused_or_left_out_as_their_range_says) {
  struct Case {
    const char* what;
    std::vector<std::byte> options;
    ResultCode result;
  };
  const std::vector<Case> cases{
      {"unknown mandatory", octets({4, 0, 0, 0}), ResultCode::unsupp_option},
      {"THIRD_PARTY, not implemented", octets({1, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}),
       ResultCode::unsupp_option},
      {"unknown optional", octets({200, 0, 0, 3, 1, 2, 3, 0}), ResultCode::success},
      {"length past the end", octets({200, 0, 0, 5, 1, 2, 3, 4}), ResultCode::malformed_option},
      {"PREFER_FAILURE with data", octets({2, 0, 0, 4, 0, 0, 0, 0}), ResultCode::malformed_option},
      {"PREFER_FAILURE twice", octets({2, 0, 0, 0, 2, 0, 0, 0}), ResultCode::malformed_option},
  };
  for (const Case& test : cases) {
    World world;
    auto request = request_octets({.suggested_external_port = 8080});
    request.insert(request.end(), test.options.begin(), test.options.end());
    const auto answers = answers_to(world, request);
    ASSERT_EQ(answers.size(), 1U) << test.what;
    EXPECT_EQ(wire::to_string(answers[0].response().result), wire::to_string(test.result)) << test.what;
    if (test.result == ResultCode::success)
      EXPECT_EQ(answers[0].octets.size(), wire::map_message_octets) << "not processed, not echoed";
    else
      EXPECT_TRUE(
          std::ranges::equal(std::span(answers[0].octets).subspan(24), std::span(request).subspan(24)))
          << test.what << ": an error returns the request";
    EXPECT_EQ(world.disagreement(), std::nullopt);
  }
}

TEST(Server, an_ipv4_client_and_an_ipv6_client_are_subscribers_by_their_own_masks) {
  World world({.policy = {.mappings_max = 1}, .inside = {{.subscriber_prefix_length = 64}}});
  EXPECT_EQ(world.ask({.from = "198.51.100.1"}).response().result, ResultCode::success);
  EXPECT_EQ(world.ask({.from = "198.51.100.2"}).response().result, ResultCode::success);
  EXPECT_EQ(world.ask({.from = "198.51.100.1", .internal_port = 2}).response().result,
            ResultCode::user_ex_quota);
}

}  // namespace
}  // namespace portolan::server
