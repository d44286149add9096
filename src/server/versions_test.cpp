// SPDX-License-Identifier: BSD-2-Clause
//
// Other versions at the engine: NAT-PMP (RFC 6886), version 1, and negotiation (RFC 6887 s9).
#include <gmock/gmock.h>

#include "server/server.h"
#include "server/test_world.h"
#include "wire/nat_pmp.h"
#include "wire/test_octets.h"

namespace portolan::server {
namespace {

namespace nat_pmp = wire::nat_pmp;
using wire::octets;
using wire::ResultCode;

constexpr const char* host = "198.51.100.1";

auto pmp_config() -> Config {
  Config config;
  config.nat_pmp_addresses = {*Ipv4Address::parse("192.0.2.14")};
  return config;
}

auto pmp(World& world, const std::string& hex, const char* from = host) -> nat_pmp::Response {
  const auto answer = world.ask(from, octets(hex));
  const auto response = nat_pmp::decode_response(answer.octets);
  PORTOLAN_CHECK(response);
  return *response;
}

auto map_of(const nat_pmp::Response& response) -> nat_pmp::MapResponse {
  return std::get<nat_pmp::MapResponse>(response.body);
}

TEST(NatPmp, the_external_address_is_told) {
  World world(pmp_config());
  world.now += Seconds{7};
  const auto response = pmp(world, "0000");
  EXPECT_EQ(response.result, nat_pmp::ResultCode::success);
  EXPECT_EQ(response.epoch_time_s, 7U);
  EXPECT_EQ(std::get<nat_pmp::AddressResponse>(response.body).external_address,
            *Ipv4Address::parse("192.0.2.14"));
  World without;
  EXPECT_EQ(pmp(without, "0000").result, nat_pmp::ResultCode::network_failure);
}

TEST(NatPmp, a_mapping_is_made_renewed_and_deleted) {
  World world(pmp_config());
  const auto made = pmp(world, "0001 0000 1388 1389 00000e10");
  ASSERT_EQ(made.result, nat_pmp::ResultCode::success);
  EXPECT_EQ(map_of(made), (nat_pmp::MapResponse{.protocol = Protocol::udp,
                                                .internal_port = Port{5000},
                                                .mapped_external_port = Port{5001},
                                                .lifetime_s = 3600}));
  EXPECT_EQ(map_of(pmp(world, "0001 0000 1388 0000 00001c20")).mapped_external_port, Port{5001});
  const auto deleted = map_of(pmp(world, "0001 0000 1388 0000 00000000"));
  EXPECT_EQ(deleted.mapped_external_port, Port{0});
  EXPECT_EQ(deleted.lifetime_s, 0U);
  EXPECT_EQ(world.server.contracts().size(), 0U);
  EXPECT_EQ(pmp(world, "0001 0000 1388 0000 00000000").result, nat_pmp::ResultCode::success)
      << "what is not there is deleted with success";
}

TEST(NatPmp, all_of_a_protocol_are_deleted_at_once_with_one_answer) {
  World world(pmp_config());
  pmp(world, "0001 0000 1388 0000 00000e10");
  pmp(world, "0001 0000 1389 0000 00000e10");
  pmp(world, "0002 0000 1388 0000 00000e10");
  world.ask(MapAsk{.from = host, .internal_port = 7000});
  const auto response = pmp(world, "0001 0000 0000 0000 00000000");
  EXPECT_EQ(response.result, nat_pmp::ResultCode::success);
  EXPECT_EQ(map_of(response).internal_port, Port{0});
  EXPECT_TRUE(world.answers.empty());
  EXPECT_EQ(world.server.contracts().size(), 2U) << "TCP, and what PCP made";
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(NatPmp, what_pcp_made_with_a_nonce_is_not_for_it) {
  World world(pmp_config());
  world.ask(MapAsk{.from = host, .internal_port = 5000});
  EXPECT_EQ(pmp(world, "0001 0000 1388 0000 00000000").result, nat_pmp::ResultCode::not_authorized);
  EXPECT_EQ(world.server.contracts().size(), 1U);
}

TEST(NatPmp, an_unknown_opcode_comes_back_whole_and_short_ones_are_dropped) {
  World world(pmp_config());
  EXPECT_EQ(wire::hex(world.ask(host, octets("0007 0000 aabb")).octets), "00870005aabb");
  world.receive({{Endpoint{*IpAddress::parse(host), Port{1}}, octets("0001 0000")},
                 {Endpoint{*IpAddress::parse(host), Port{1}}, octets("0081 0000 1388 0000 00000e10")}});
  EXPECT_TRUE(world.answers.empty());
}

TEST(NatPmp, is_not_spoken_over_ipv6_or_when_turned_off) {
  World world(pmp_config());
  // As PCP's refusal it can be read by NAT-PMP clients too: result 1.
  EXPECT_EQ(wire::hex(world.ask("2001:db8:112::1", octets("0000")).octets).substr(0, 8), "02800001");
  Config config = pmp_config();
  config.nat_pmp = false;
  World without(config);
  EXPECT_EQ(wire::hex(without.ask(host, octets("0000")).octets).substr(0, 8), "02800001");
}

TEST(NatPmp, a_moved_mapping_is_told_in_its_own_format) {
  World world(pmp_config());
  pmp(world, "0001 0000 1388 1389 00000e10");
  const std::vector<device::Event> events{device::Moved{.key = {.realm = {},
                                                                .internal_address = *IpAddress::parse(host),
                                                                .protocol = Protocol::udp,
                                                                .external_family = Family::ipv4,
                                                                .internal_port = Port{5000}},
                                                        .port_count = 1,
                                                        .external_address = *IpAddress::parse("192.0.2.15"),
                                                        .external_port = Port{6000}}};
  world.server.happened(world.now, events);
  world.pass(Nanoseconds{0});  // the store has it
  world.pass(Nanoseconds{0});
  const auto update = nat_pmp::decode_response(world.take_answer().octets);
  ASSERT_TRUE(update);
  EXPECT_EQ(map_of(*update).mapped_external_port, Port{6000});
}

// The slides' own request: MAP UDP 3938 with the experimental PREFIX64, in version 1.
constexpr const char* slides_request =
    "0101000000008ca0 200106881f943000289f0db7e8ae2988 11000000 0f62 0f62 "
    "00000000000000000000ffff00000000 7f00000c 000000000000000000000000";

TEST(Version1, the_slides_request_is_answered_octet_for_octet_as_on_the_slide) {
  Config config;
  config.version_1 = config.experimental_prefix64 = true;
  config.epoch_scope = EpochScope::server;
  config.prefix64 = {{.prefix = *Prefix::parse("2001:688:1f94:300a::/96"), .ipv4_prefixes = {}}};
  World world(config, {.pool = {*IpAddress::parse("161.105.194.14")}});
  world.now += Seconds{1};
  const auto answer = world.ask("2001:688:1f94:3000:289f:db7:e8ae:2988", octets(slides_request));
  EXPECT_EQ(wire::hex(answer.octets),
            wire::hex(octets("0181000000008ca000000001 000000000000000000000000 11000000 0f62 0f62 "
                             "00000000000000000000ffffa169c20e 7f00000c 200106881f94300a00000000")));
}

TEST(Version1, is_refused_with_version_2_unless_turned_on) {
  World world;
  const auto answer = world.ask("2001:688:1f94:3000:289f:db7:e8ae:2988", octets(slides_request));
  EXPECT_EQ(wire::hex(answer.octets).substr(0, 8), "02810001");
}

TEST(Version1, negotiation_offers_the_closest_version) {
  Config config;
  config.version_1 = true;
  config.nat_pmp = false;
  World world(config);
  EXPECT_EQ(wire::hex(world.ask("2001:db8:112::1", octets("0301")).octets).substr(0, 8), "02810001");
  EXPECT_EQ(wire::hex(world.ask("2001:db8:112::1", octets("0001")).octets).substr(0, 8), "01810001");
}

TEST(Family, that_the_device_has_not_is_refused_and_named_only_on_request) {
  const auto result = [](bool unsupp_family) {
    Config config;
    config.unsupp_family = unsupp_family;
    World world(config);
    return world.ask(MapAsk{.suggested_external_address = "::"}).response().result;
  };
  EXPECT_EQ(result(false), ResultCode::no_resources);
  EXPECT_EQ(static_cast<int>(result(true)), 14);
}

TEST(Nonce, relaxed_policy_takes_another_nonce_for_the_mappings) {
  Config config;
  config.policy.nonce = NoncePolicy::relaxed;
  World world(config);
  const auto first = world.ask(MapAsk{.nonce = 1});
  const auto second = world.ask(MapAsk{.lifetime_s = 7200, .nonce = 2});
  EXPECT_EQ(second.response().result, ResultCode::success);
  EXPECT_EQ(second.map().assigned_external_port, first.map().assigned_external_port);
  EXPECT_EQ(second.response().lifetime_s, 7200U);
}

TEST(NatPmp, a_restart_is_announced_with_the_external_address_while_all_share_an_epoch) {
  Config config = pmp_config();
  config.inside.front().families = {Family::ipv6, Family::ipv4};
  const auto addresses_announced = [](World& world) {
    world.now += Seconds{100};
    world.server.announce_restart(world.now);
    for (int i = 0; i < 600; ++i) world.pass(Milliseconds{i == 0 ? 0 : 250});
    std::vector<nat_pmp::Response> heard;
    for (const Answer& announced : world.announced)
      if (const auto response = nat_pmp::decode_response(announced.octets)) heard.push_back(*response);
    return heard;
  };
  World world(config);
  const auto heard = addresses_announced(world);
  ASSERT_EQ(heard.size(), 10U);
  EXPECT_EQ(heard.front().epoch_time_s, 0U);
  EXPECT_EQ(heard.back().epoch_time_s, 127U) << "10 times, the intervals double from 250 ms";
  EXPECT_EQ(std::get<nat_pmp::AddressResponse>(heard.front().body).external_address,
            *Ipv4Address::parse("192.0.2.14"));
  config.epoch_scope = EpochScope::subscriber;
  World each(config);
  EXPECT_TRUE(addresses_announced(each).empty());
  config.epoch_scope = EpochScope::server;
  config.nat_pmp = false;
  World silent(config);
  EXPECT_TRUE(addresses_announced(silent).empty());
}

TEST(NatPmp, an_address_that_is_the_interfaces_of_the_moment_is_learned_and_announced) {
  Config config;
  config.inside.front().families = {Family::ipv4};
  config.announcements = 1;
  World world(config);
  const auto told = [&] {
    return std::get<nat_pmp::AddressResponse>(pmp(world, "0000").body).external_address;
  };
  const auto announced = [&] {
    world.announced.clear();
    world.pass({});
    std::vector<Ipv4Address> addresses;
    for (const Answer& each : world.announced)
      if (const auto response = nat_pmp::decode_response(each.octets))
        addresses.push_back(std::get<nat_pmp::AddressResponse>(response->body).external_address);
    return addresses;
  };
  const Ipv4Address first = *Ipv4Address::parse("192.0.2.14");
  const Ipv4Address second = *Ipv4Address::parse("192.0.2.15");
  world.server.learn_address(world.now, first);
  EXPECT_EQ(announced(), std::vector{first});
  EXPECT_EQ(told(), first);
  world.server.learn_address(world.now, first);
  EXPECT_TRUE(announced().empty()) << "it is no other";
  world.server.learn_address(world.now, second);
  EXPECT_EQ(announced(), std::vector{second});
  world.server.learn_address(world.now, std::nullopt);
  EXPECT_EQ(pmp(world, "0000").result, nat_pmp::ResultCode::network_failure);
  world.server.reconfigure(world.now, pmp_config());
  world.server.learn_address(world.now, second);
  EXPECT_EQ(told(), first) << "a configured one comes first";
}

TEST(NatPmp, the_companion_port_is_kept_for_the_same_host) {
  World world(pmp_config());
  const auto made = pmp(world, "0002 0000 1388 1388 00000e10");
  EXPECT_EQ(map_of(made).mapped_external_port, Port{5000});
  EXPECT_NE(map_of(pmp(world, "0001 0000 1388 1388 00000e10", "198.51.100.2")).mapped_external_port,
            Port{5000});
  EXPECT_EQ(map_of(pmp(world, "0001 0000 1388 1388 00000e10")).mapped_external_port, Port{5000});
}

TEST(Nonce, the_expired_draft_answers_with_what_is_there_and_changes_nothing) {
  Config config;
  config.relaxed_nonce_answer = true;
  World world(config);
  const auto first = world.ask(MapAsk{.lifetime_s = 1000, .nonce = 1});
  const auto second = world.ask(MapAsk{.lifetime_s = 7200, .nonce = 2});
  EXPECT_EQ(second.response().result, ResultCode::success);
  EXPECT_EQ(second.response().lifetime_s, 1000U);
  EXPECT_EQ(second.map().nonce.octets[0], std::byte{2});
  EXPECT_EQ(second.map().assigned_external_port, first.map().assigned_external_port);
  EXPECT_EQ(world.ask(MapAsk{.lifetime_s = 0, .nonce = 2}).response().result, ResultCode::not_authorized);
}

}  // namespace
}  // namespace portolan::server
