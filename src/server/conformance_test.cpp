// SPDX-License-Identifier: BSD-2-Clause
//
// Requirements of docs/conformance.md that no other test of the server is about.
#include <gmock/gmock.h>

#include "server/server.h"
#include "server/test_world.h"
#include "wire/nat_pmp.h"
#include "wire/test_octets.h"

namespace portolan::server {
namespace {

using ::testing::ElementsAre;
using wire::octets;
using wire::OptionCode;
using wire::ResultCode;

constexpr const char* host = "2001:db8:112::1";
constexpr const char* ipv4_host = "198.51.100.1";

auto pmp(World& world, const std::string& hex) -> wire::nat_pmp::Response {
  const auto response = wire::nat_pmp::decode_response(world.ask(ipv4_host, octets(hex)).octets);
  PORTOLAN_CHECK(response);
  return *response;
}

TEST(Conformance, lifetimes_are_two_minutes_to_a_day_unless_configured) {
  World world;
  EXPECT_EQ(world.ask(MapAsk{.lifetime_s = 1}).response().lifetime_s, 120U);
  EXPECT_EQ(world.ask(MapAsk{.lifetime_s = 0xffffffff}).response().lifetime_s, 86400U);
}

TEST(Conformance, an_answer_that_would_be_too_long_is_a_malformed_request) {
  Config config;
  config.prefix64 = {{.prefix = *Prefix::parse("2001:db8:64:ff9b::/96"), .ipv4_prefixes = {}}};
  World world(config);
  const auto with_filling = [](std::size_t filling) {
    auto request = with(encode(MapAsk{}), wire::Prefix64::request());
    // An optional one that nobody knows.
    request.push_back(std::byte{200});
    request.push_back({});
    request.push_back(static_cast<std::byte>(filling >> 8U));
    request.push_back(static_cast<std::byte>(filling & 0xffU));
    request.resize(request.size() + filling);
    return request;
  };
  const auto request = with_filling(1100 - 84);
  ASSERT_EQ(request.size(), 1100U);
  EXPECT_EQ(world.ask(host, request).response().result, ResultCode::malformed_request);
  EXPECT_EQ(world.server.contracts().size(), 0U);
  EXPECT_EQ(world.ask(host, with_filling(1100 - 84 - 20)).response().result, ResultCode::success);
}

TEST(Conformance, peer_for_all_protocols_is_malformed) {
  World world;
  auto request = with(encode(PeerAsk{}));
  request[36] = std::byte{0};
  EXPECT_EQ(world.ask(host, request).response().result, ResultCode::malformed_request);
}

TEST(Conformance, peer_checks_the_nonce_before_the_suggestion) {
  World world;
  world.ask(MapAsk{.from = "2001:db8:113::2", .suggested_external_port = 4000});
  world.ask(host, with(encode(PeerAsk{})));
  const auto request = with(encode(PeerAsk{.suggested_external_port = 4000, .nonce = 2}));
  EXPECT_EQ(world.ask(host, request).response().result, ResultCode::not_authorized);
}

TEST(Conformance, excessive_remote_peers_is_for_requests_with_filters_only) {
  const auto filter = [](const char* address) {
    return wire::Filter{
        .prefix_length = 128, .remote_port = Port{5}, .remote_address = *IpAddress::parse(address)};
  };
  World world;
  const auto first = filter("2001:db8:64:ff9b::c000:201");
  const auto second = filter("2001:db8:64:ff9b::c000:202");
  EXPECT_EQ(world.ask(host, with(encode(MapAsk{}), first, second)).response().result, ResultCode::success);
  Config config;
  config.policy.filters_max = 1;
  world.server.reconfigure(world.now, config);
  EXPECT_EQ(world.ask(MapAsk{}).response().result, ResultCode::success) << "a renewal adds none";
  EXPECT_EQ(world.ask(host, with(encode(MapAsk{}), filter("2001:db8:64:ff9b::c000:203"))).response().result,
            ResultCode::excessive_remote_peers);
  EXPECT_EQ(world.ask(MapAsk{.lifetime_s = 0}).response().result, ResultCode::success) << "nor a deletion";
  EXPECT_EQ(world.ask(host, with(encode(MapAsk{}), second)).response().result, ResultCode::success);
}

TEST(Conformance, a_mapping_is_of_the_protocol_asked_for_and_no_other) {
  World world;
  world.ask(MapAsk{.suggested_external_port = 4000, .protocol = Protocol::tcp});
  pmp(world, "0001 0000 1388 1389 00000e10");
  const auto mappings = world.nat.explicit_mappings(world.now);
  ASSERT_EQ(mappings.size(), 2U);
  for (const auto& [key, external] : mappings)
    EXPECT_EQ(key.protocol, key.internal_address.is_ipv4() ? Protocol::udp : Protocol::tcp);
}

TEST(Conformance, a_port_set_is_of_the_ports_asked_for_and_no_more) {
  World world;
  const auto answer =
      world.ask(host, with(encode(MapAsk{.internal_port = 5000}),
                           wire::PortSet{.size = 3, .first_internal_port = Port{5000}, .parity = false}));
  const wire::Response response = answer.response();
  ASSERT_THAT(answer.options(), ElementsAre(OptionCode::port_set));
  const auto set = wire::PortSet::decode((*response.options.begin()).data);
  ASSERT_TRUE(set);
  EXPECT_EQ(set->size, 3);
  EXPECT_EQ(set->first_internal_port, Port{5000});
  std::vector<std::uint16_t> ports;
  for (std::uint16_t port = 4990; port < 5010; ++port)
    if (world.nat.inbound(
            world.now, Protocol::udp,
            {answer.map().assigned_external_address,
             Port{static_cast<std::uint16_t>(answer.map().assigned_external_port.value + port - 5000)}},
            {*IpAddress::parse("2001:db8:64:ff9b::c000:201"), Port{5}}))
      ports.push_back(port);
  EXPECT_THAT(ports, ElementsAre(5000, 5001, 5002));
}

TEST(Conformance, a_port_set_of_no_ports_is_malformed) {
  World world;
  const auto request = with(encode(MapAsk{}), wire::PortSet{.size = 0});
  EXPECT_EQ(world.ask(host, request).response().result, ResultCode::malformed_option);
}

TEST(Conformance, descriptions_of_at_least_128_octets_are_kept_whole) {
  World world;
  const std::string text(128, 'x');
  const auto answer =
      world.ask(host, with(encode(MapAsk{}), wire::Description{.text = std::as_bytes(std::span(text))}));
  const wire::Response response = answer.response();
  ASSERT_THAT(answer.options(), ElementsAre(OptionCode::description));
  EXPECT_EQ((*response.options.begin()).data.size(), 128U);
}

TEST(Conformance, nat_pmp_ignores_the_suggestion_of_a_deletion) {
  World world;
  pmp(world, "0001 0000 1388 1389 00000e10");
  const auto deleted = pmp(world, "0001 0000 1388 2222 00000000");
  EXPECT_EQ(deleted.result, wire::nat_pmp::ResultCode::success);
  EXPECT_EQ(deleted.body,
            (decltype(deleted.body){wire::nat_pmp::MapResponse{
                .protocol = Protocol::udp, .internal_port = Port{5000}, .mapped_external_port = Port{0}}}));
  EXPECT_EQ(world.server.contracts().size(), 0U);
  pmp(world, "0001 0000 1388 1389 00000e10");
  EXPECT_EQ(pmp(world, "0001 0000 0000 2222 00000000").result, wire::nat_pmp::ResultCode::success);
  EXPECT_EQ(world.server.contracts().size(), 0U) << "after deleting all";
}

TEST(Conformance, nat_pmp_failures_say_which_request_failed_and_when) {
  World world;
  world.now += Seconds{7};
  world.device_refuses = device::Refusal::no_resources;
  // Version, opcode and response bit, result 4; epoch 7; internal port, no external port, no lifetime.
  EXPECT_EQ(wire::hex(world.ask(ipv4_host, octets("0002 0000 1388 1389 00000e10")).octets),
            wire::hex(octets("0082 0004 00000007 1388 0000 00000000")));
  // Without an external address: result 3, and no address.
  EXPECT_EQ(wire::hex(world.ask(ipv4_host, octets("0000")).octets),
            wire::hex(octets("0080 0003 00000007 00000000")));
}

TEST(Conformance, nat_pmp_is_told_the_address_that_its_mappings_have) {
  Config config;
  config.nat_pmp_addresses = {*Ipv4Address::parse("192.0.2.14"), *Ipv4Address::parse("192.0.2.15")};
  World world(config, {.pool = {*IpAddress::parse("192.0.2.14"), *IpAddress::parse("192.0.2.15")}});
  world.ask(MapAsk{.from = ipv4_host, .suggested_external_address = "192.0.2.15"});
  EXPECT_EQ(std::get<wire::nat_pmp::AddressResponse>(pmp(world, "0000").body).external_address,
            *Ipv4Address::parse("192.0.2.15"));
}

}  // namespace
}  // namespace portolan::server
