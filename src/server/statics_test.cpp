// SPDX-License-Identifier: BSD-2-Clause
//
// Mappings that the operator makes, and what clients may do with them (RFC 6887 s11.3, s15.1).
#include <gmock/gmock.h>

#include "server/server.h"
#include "server/test_world.h"
#include "wire/nat_pmp.h"
#include "wire/test_octets.h"

namespace portolan::server {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using wire::ResultCode;

constexpr std::uint32_t endless = 0xffffffff;

auto key_of(const MapAsk& ask) -> MappingKey {
  return {.realm = {},
          .internal_address = *IpAddress::parse(ask.from),
          .protocol = ask.protocol,
          .external_family = Family::ipv4,
          .internal_port = Port{ask.internal_port}};
}

auto config_with(std::uint16_t external_port, const MapAsk& ask = {}) -> Config {
  Config config;
  config.static_mappings = {{.key = key_of(ask),
                             .external_address = *IpAddress::parse("192.0.2.14"),
                             .external_port = Port{external_port},
                             .filters = {},
                             .description = "the operator's"}};
  return config;
}

/// A world in which the operator's mappings are in force.
struct Statics : World {
  explicit Statics(Config config) : World(std::move(config)) { pass({}); }
  auto result_of(const MapAsk& map) { return ask(map).response().result; }
};

TEST(Statics, are_in_force_before_anyone_asks_and_stay_for_years) {
  Statics world(config_with(8080));
  const auto at_device = [&] { return world.nat.explicit_mappings(world.now); };
  ASSERT_THAT(at_device(), SizeIs(1));
  EXPECT_EQ(at_device().begin()->second, (Endpoint{*IpAddress::parse("192.0.2.14"), Port{8080}}));
  EXPECT_TRUE(world.stored.empty()) << "the configuration keeps them";
  for (int day = 0; day < 3; ++day) world.pass(Seconds{86400});
  world.now += Seconds{5LL * 365 * 86400};
  world.pass({});
  EXPECT_THAT(at_device(), SizeIs(1));
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(Statics, may_be_at_whichever_address_the_device_has) {
  Config config = config_with(8080);
  config.static_mappings.front().external_address = IpAddress::unspecified(Family::ipv4);
  Statics world(config);
  const auto at_device = [&] { return world.nat.explicit_mappings(world.now); };
  ASSERT_THAT(at_device(), SizeIs(1));
  EXPECT_EQ(at_device().begin()->second, (Endpoint{*IpAddress::parse("192.0.2.14"), Port{8080}}));
  for (int second = 0; second < 10; ++second) {
    world.pass(Seconds{1});
    EXPECT_TRUE(world.applying.empty()) << "it is in place";
    EXPECT_THAT(at_device(), SizeIs(1));
  }
  world.set_pool({*IpAddress::parse("192.0.2.15")});
  for (int second = 0; second < 5; ++second) world.pass(Seconds{1});
  ASSERT_THAT(at_device(), SizeIs(1));
  EXPECT_EQ(at_device().begin()->second, (Endpoint{*IpAddress::parse("192.0.2.15"), Port{8080}}));
}

TEST(Statics, are_told_to_who_asks_with_the_nonce_of_the_request) {
  Statics world(config_with(8080));
  for (const std::uint8_t nonce : {std::uint8_t{1}, std::uint8_t{2}}) {
    const Answer answer = world.ask(MapAsk{.suggested_external_port = 4000, .nonce = nonce});
    EXPECT_EQ(answer.response().result, ResultCode::success);
    EXPECT_EQ(answer.response().lifetime_s, endless);
    EXPECT_EQ(answer.map().assigned_external_port, Port{8080});
    EXPECT_EQ(answer.map().nonce.octets[0], std::byte{nonce});
  }
  EXPECT_TRUE(world.applying.empty());
  EXPECT_EQ(world.server.counters().answers[0], 2U);
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(Statics, no_client_deletes_filters_or_moves_them) {
  Statics world(config_with(8080));
  EXPECT_EQ(world.result_of(MapAsk{.lifetime_s = 0}), ResultCode::not_authorized);
  const wire::Filter filter{.prefix_length = 128,
                            .remote_port = Port{5},
                            .remote_address = *IpAddress::parse("2001:db8:64:ff9b::c000:201")};
  EXPECT_EQ(world.ask("2001:db8:112::1", with(encode(MapAsk{}), filter)).response().result,
            ResultCode::not_authorized);
  EXPECT_EQ(world.result_of(MapAsk{.suggested_external_port = 8081, .prefer_failure = true}),
            ResultCode::cannot_provide_external);
  EXPECT_EQ(world.result_of(MapAsk{.suggested_external_port = 8080, .prefer_failure = true}),
            ResultCode::success);
  EXPECT_EQ(world.result_of(MapAsk{.suggested_external_port = 8080, .lifetime_s = 0, .prefer_failure = true}),
            ResultCode::malformed_option);
  EXPECT_EQ(world.nat.explicit_mappings(world.now).size(), 1U);
}

TEST(Statics, a_relaxed_nonce_makes_them_nobodys) {
  Config config = config_with(8080);
  config.policy.nonce = NoncePolicy::relaxed;
  config.relaxed_nonce_answer = true;
  Statics world(config);
  EXPECT_EQ(world.ask(MapAsk{}).response().lifetime_s, endless);
  EXPECT_EQ(world.result_of(MapAsk{.lifetime_s = 0}), ResultCode::not_authorized);
}

TEST(Statics, nobody_else_gets_their_port) {
  Statics world(config_with(8080));
  const MapAsk other{.from = "2001:db8:113::1", .suggested_external_port = 8080, .prefer_failure = true};
  EXPECT_EQ(world.result_of(other), ResultCode::cannot_provide_external);
}

TEST(Statics, count_against_no_user_but_in_all) {
  Config config = config_with(8080);
  config.policy.mappings_max = 1;
  config.mappings_max = 2;
  Statics world(config);
  EXPECT_EQ(world.result_of(MapAsk{.internal_port = 1}), ResultCode::success);
  EXPECT_EQ(world.result_of(MapAsk{.internal_port = 2}), ResultCode::user_ex_quota);
  EXPECT_EQ(world.result_of(MapAsk{.from = "2001:db8:113::1"}), ResultCode::no_resources);
}

TEST(Statics, their_description_is_the_operators) {
  Statics world(config_with(8080));
  const std::string_view text = "mine";
  const Answer answer = world.ask(
      "2001:db8:112::1", with(encode(MapAsk{}), wire::Description{.text = std::as_bytes(std::span(text))}));
  const wire::Response response = answer.response();
  ASSERT_THAT(answer.options(), ElementsAre(wire::OptionCode::description));
  const auto data = (*response.options.begin()).data;
  EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(data.data()), data.size()), "the operator's");
}

TEST(Statics, nat_pmp_is_told_them_and_not_authorized_to_delete) {
  const MapAsk host{.from = "198.51.100.1", .internal_port = 5000};
  Statics world(config_with(8080, host));
  const auto pmp = [&](const char* hex) {
    const Answer answer = world.ask(host.from, wire::octets(hex));
    const auto response = wire::nat_pmp::decode_response(answer.octets);
    PORTOLAN_CHECK(response);
    return *response;
  };
  const auto made = pmp("0001 0000 1388 1389 00000e10");
  ASSERT_EQ(made.result, wire::nat_pmp::ResultCode::success);
  EXPECT_EQ(std::get<wire::nat_pmp::MapResponse>(made.body).mapped_external_port, Port{8080});
  EXPECT_EQ(pmp("0001 0000 1388 0000 00000000").result, wire::nat_pmp::ResultCode::not_authorized);
  pmp("0001 0000 1389 0000 00000e10");
  EXPECT_EQ(world.nat.explicit_mappings(world.now).size(), 2U);
  EXPECT_EQ(pmp("0001 0000 0000 0000 00000000").result, wire::nat_pmp::ResultCode::not_authorized);
  EXPECT_EQ(world.nat.explicit_mappings(world.now).size(), 1U) << "the others are deleted";
  EXPECT_EQ(pmp("0001 0000 0000 0000 00000000").result, wire::nat_pmp::ResultCode::not_authorized);
  EXPECT_EQ(pmp("0002 0000 0000 0000 00000000").result, wire::nat_pmp::ResultCode::success) << "none of TCP";
}

TEST(Statics, that_leave_the_configuration_end) {
  Statics world(config_with(8080));
  world.server.reconfigure(world.now, Config{});
  world.pass(Seconds{1});
  EXPECT_THAT(world.nat.explicit_mappings(world.now), IsEmpty());
  EXPECT_EQ(world.server.contracts().size(), 0U);
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(Statics, take_the_place_of_a_clients_own_mapping) {
  World world;
  world.ask(MapAsk{.suggested_external_port = 4000});
  world.server.reconfigure(world.now, config_with(4000));
  world.pass(Seconds{2});
  EXPECT_THAT(world.answers, IsEmpty()) << "it has its place still";
  EXPECT_EQ(world.ask(MapAsk{.nonce = 9}).response().lifetime_s, endless);
  EXPECT_TRUE(world.stored.empty());
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(Statics, elsewhere_end_a_clients_own_mapping_and_tell_it) {
  World world;
  world.ask(MapAsk{.suggested_external_port = 4000});
  world.server.reconfigure(world.now, config_with(8080));
  for (int i = 0; i < 30; ++i) world.pass(Milliseconds{100});
  ASSERT_THAT(world.answers, ::testing::Not(IsEmpty()));
  EXPECT_EQ(world.answers.front().response().result, ResultCode::network_failure);
  world.answers.clear();
  EXPECT_EQ(world.ask(MapAsk{}).map().assigned_external_port, Port{8080});
  EXPECT_TRUE(world.stored.empty());
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(Statics, wait_for_a_port_that_somebody_has_and_say_so_once) {
  World world;
  const MapAsk other{.from = "2001:db8:113::1", .suggested_external_port = 8080, .lifetime_s = 200};
  world.ask(other);
  world.server.reconfigure(world.now, config_with(8080));
  for (int i = 0; i < 10; ++i) world.pass(Seconds{1});
  ASSERT_THAT(world.refused_statics, SizeIs(1));
  EXPECT_EQ(world.ask(MapAsk{}).response().result, ResultCode::network_failure)
      << "its host has no other meanwhile";
  EXPECT_EQ(world.refused_statics.front().refusal, device::Refusal::cannot_provide_external);
  // Its lifetime and the hold-down.
  for (int i = 0; i < 330; ++i) world.pass(Seconds{1});
  EXPECT_EQ(world.ask(MapAsk{}).response().lifetime_s, endless);
}

TEST(Statics, take_the_place_of_a_clients_port_set_though_another_of_its_ports_is_busy) {
  World world;
  const wire::PortSet set{.size = 3, .first_internal_port = Port{3938}, .parity = false};
  world.ask("2001:db8:112::1", with(encode(MapAsk{.suggested_external_port = 4000}), set));
  ASSERT_EQ(world.server.contracts().ports(), 3U);
  const auto peer = encode(PeerAsk{.internal_port = 3939});
  world.receive({{Endpoint{*IpAddress::parse("2001:db8:112::1"), Port{12345}},
                  {peer.octets().begin(), peer.octets().end()}}});
  Config config = config_with(8080);
  config.static_mappings.push_back(config.static_mappings.front());
  config.static_mappings.back().key.internal_port = Port{3939};
  config.static_mappings.back().external_port = Port{4001};
  world.server.reconfigure(world.now, config);
  for (int i = 0; i < 400; ++i) world.pass(Seconds{1});
  EXPECT_EQ(world.server.broken_invariant(world.now), std::nullopt);
  EXPECT_EQ(world.nat.explicit_mappings(world.now).at(key_of(MapAsk{})).port, Port{8080});
}

TEST(Statics, survive_a_store_that_fails) {
  Statics world(config_with(8080));
  world.store_fails = true;
  world.receive({MapAsk{.internal_port = 1}});
  Config config = config_with(8080);
  config.static_mappings.push_back(config.static_mappings.front());
  config.static_mappings.back().key.internal_port = Port{2};
  config.static_mappings.back().external_port = Port{8081};
  world.server.reconfigure(world.now, config);
  world.pass(Seconds{3});
  EXPECT_TRUE(world.server.is_read_only());
  world.store_fails = false;
  world.pass(Seconds{3});
  world.answers.clear();
  const MapAsk rival{.from = "2001:db8:113::1", .suggested_external_port = 8081, .prefer_failure = true};
  EXPECT_EQ(world.result_of(rival), ResultCode::cannot_provide_external);
  EXPECT_EQ(world.nat.explicit_mappings(world.now).size(), 2U);
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

}  // namespace
}  // namespace portolan::server
