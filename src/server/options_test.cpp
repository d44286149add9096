// SPDX-License-Identifier: BSD-2-Clause
//
// The options of RFC 6887 s13 and its companions at the engine: THIRD_PARTY, FILTER, DESCRIPTION, PREFIX64,
// PORT_SET, THIRD_PARTY_ID.
#include <gmock/gmock.h>

#include "server/server.h"
#include "server/test_world.h"

namespace portolan::server {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using wire::OptionCode;
using wire::ResultCode;

constexpr const char* host = "2001:db8:112::1";
constexpr const char* other = "2001:db8:113::2";

auto text(std::string_view characters) -> wire::Description {
  return {.text = std::as_bytes(std::span(characters))};
}

auto filter(const char* prefix, std::uint16_t port = 0) -> wire::Filter {
  const auto parsed = *Prefix::parse(prefix);
  return {.prefix_length = static_cast<std::uint8_t>(parsed.length()),
          .remote_port = Port{port},
          .remote_address = parsed.address()};
}

auto trusted(NoncePolicy nonce = NoncePolicy::strict) -> Config {
  Config config;
  config.policy.third_party = true;
  config.policy.nonce = nonce;
  return config;
}

auto only_contract(const World& world) -> Contract {
  std::vector<Contract> all;
  world.server.contracts().for_each([&](const Contract& contract) { all.push_back(contract); });
  PORTOLAN_CHECK(all.size() == 1);
  return all.front();
}

TEST(ThirdParty, who_may_maps_for_another_host_and_the_option_is_echoed) {
  World world(trusted());
  const auto answer =
      world.ask(host, with(encode(MapAsk{}), wire::ThirdParty{.internal_address = *IpAddress::parse(other)}));
  EXPECT_EQ(answer.response().result, ResultCode::success);
  EXPECT_THAT(answer.options(), ElementsAre(OptionCode::third_party));
  EXPECT_EQ(only_contract(world).key.mapping.internal_address, *IpAddress::parse(other));
  EXPECT_EQ(only_contract(world).client_address(), *IpAddress::parse(host));
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(ThirdParty, who_may_not_is_refused_as_if_the_option_were_unknown) {
  World world;
  const auto request = with(encode(MapAsk{}), wire::ThirdParty{.internal_address = *IpAddress::parse(other)});
  EXPECT_EQ(world.ask(host, request).response().result, ResultCode::unsupp_option);
  EXPECT_EQ(world.server.contracts().size(), 0U);
}

TEST(ThirdParty, ones_own_address_is_malformed) {
  World world(trusted());
  const auto request = with(encode(MapAsk{}), wire::ThirdParty{.internal_address = *IpAddress::parse(host)});
  EXPECT_EQ(world.ask(host, request).response().result, ResultCode::malformed_request);
}

TEST(ThirdParty, the_quota_is_that_of_the_internal_host) {
  Config config = trusted();
  config.policy.mappings_max = 1;
  World world(config);
  const wire::ThirdParty third{.internal_address = *IpAddress::parse(other)};
  EXPECT_EQ(world.ask(host, with(encode(MapAsk{.internal_port = 1}), third)).response().result,
            ResultCode::success);
  EXPECT_EQ(world.ask(host, with(encode(MapAsk{.internal_port = 2}), third)).response().result,
            ResultCode::user_ex_quota);
  EXPECT_EQ(world.ask(MapAsk{.internal_port = 3}).response().result, ResultCode::success);
}

TEST(ThirdPartyId, names_a_realm_that_must_be_known) {
  Config config = trusted();
  const std::vector<std::byte> id{std::byte{7}, std::byte{8}};
  config.third_party_ids = {{id, Realm{5}}};
  World world(config);
  const wire::ThirdParty third{.internal_address = *IpAddress::parse(other)};
  const std::vector<std::byte> unknown{std::byte{9}};
  EXPECT_EQ(world.ask(host, with(encode(MapAsk{}), wire::ThirdPartyId{.id = id})).response().result,
            ResultCode::third_party_missing_option);
  EXPECT_EQ(
      world.ask(host, with(encode(MapAsk{}), third, wire::ThirdPartyId{.id = unknown})).response().result,
      ResultCode::third_party_id_unknown);
  World without(trusted());
  EXPECT_EQ(without.ask(host, with(encode(MapAsk{}), third, wire::ThirdPartyId{.id = id})).response().result,
            ResultCode::unsupp_option);
}

TEST(Filter, filters_accumulate_until_prefix_0_clears_them) {
  World world;
  const auto first = filter("2001:db8:64:ff9b::c000:2c8/128", 5968);
  const auto second = filter("2001:db8:64:ff9b::c000:2c9/128");
  auto answer = world.ask(host, with(encode(MapAsk{}), first));
  EXPECT_EQ(answer.response().result, ResultCode::success);
  EXPECT_THAT(answer.options(), ElementsAre(OptionCode::filter));
  world.ask(host, with(encode(MapAsk{}), second, first));
  EXPECT_EQ(only_contract(world).filters().size(), 2U) << "one that is there is not added again";
  answer = world.ask(host, with(encode(MapAsk{}), wire::Filter{}, second));
  EXPECT_THAT(answer.options(), ElementsAre(OptionCode::filter, OptionCode::filter));
  EXPECT_THAT(only_contract(world).filters(),
              ElementsAre(RemoteFilter{*Prefix::parse("2001:db8:64:ff9b::c000:2c9/128"), Port{0}}));
  world.ask(MapAsk{});
  EXPECT_EQ(only_contract(world).filters().size(), 1U) << "a renewal without filters keeps them";
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(Filter, beyond_the_limit_the_whole_request_is_refused) {
  Config config;
  config.policy.filters_max = 1;
  World world(config);
  const auto first = filter("2001:db8:64:ff9b::c000:2c8/128");
  const auto second = filter("2001:db8:64:ff9b::c000:2c9/128");
  EXPECT_EQ(world.ask(host, with(encode(MapAsk{}), first, second)).response().result,
            ResultCode::excessive_remote_peers);
  EXPECT_EQ(world.server.contracts().size(), 0U);
  EXPECT_EQ(world.ask(host, with(encode(MapAsk{}), first)).response().result, ResultCode::success);
  EXPECT_EQ(world.ask(host, with(encode(MapAsk{}), second)).response().result,
            ResultCode::excessive_remote_peers);
  EXPECT_EQ(only_contract(world).filters().size(), 1U);
}

TEST(Filter, makes_no_sense_with_a_deletion_or_another_family) {
  World world;
  EXPECT_EQ(world.ask(host, with(encode(MapAsk{.lifetime_s = 0}), filter("2001:db8::/32"))).response().result,
            ResultCode::malformed_option);
  EXPECT_EQ(world.ask(host, with(encode(MapAsk{}), filter("192.0.2.0/24"))).response().result,
            ResultCode::malformed_option);
}

TEST(Filter, is_not_for_peer) {
  World world;
  EXPECT_EQ(world.ask(host, with(encode(PeerAsk{}), filter("2001:db8::/32"))).response().result,
            ResultCode::unsupp_option);
}

TEST(Description, is_kept_answered_as_kept_and_erased_by_an_empty_one) {
  World world;
  auto answer = world.ask(host, with(encode(MapAsk{}), text("camera")));
  EXPECT_THAT(answer.options(), ElementsAre(OptionCode::description));
  EXPECT_EQ(only_contract(world).details->description, "camera");
  EXPECT_THAT(world.ask(MapAsk{}).options(), IsEmpty()) << "never unasked";
  EXPECT_EQ(only_contract(world).details->description, "camera");

  const std::string long_text(300, 'x');
  answer = world.ask(host, with(encode(MapAsk{}), text(long_text)));
  EXPECT_EQ((*answer.response().options.begin()).data.size(), description_octets_max);

  answer = world.ask(host, with(encode(MapAsk{}), text("")));
  EXPECT_THAT(answer.options(), ElementsAre(OptionCode::description));
  EXPECT_FALSE(only_contract(world).details);
}

TEST(Description, one_that_is_no_text_is_ignored_and_the_mapping_made) {
  World world;
  const auto answer = world.ask(host, with(encode(MapAsk{}), text("\xff")));
  EXPECT_EQ(answer.response().result, ResultCode::success);
  EXPECT_THAT(answer.options(), IsEmpty());
}

TEST(Prefix64, is_answered_where_the_client_put_the_question) {
  Config config;
  config.prefix64 = {{.prefix = *Prefix::parse("2001:db8:64:ff9b::/96"), .ipv4_prefixes = {}}};
  World world(config);
  const auto answer =
      world.ask(host, with(encode(MapAsk{}), text("x"), wire::Prefix64::request(), wire::PortSet{.size = 2}));
  EXPECT_THAT(answer.options(),
              ElementsAre(OptionCode::description, OptionCode::prefix64, OptionCode::port_set));
  for (const wire::Option& option : answer.response().options) {
    if (option.code != OptionCode::prefix64) continue;
    EXPECT_EQ(wire::Prefix64::decode(option.data)->prefix, config.prefix64.front().prefix);
  }

  const auto announce = wire::encode_request({.opcode = wire::Opcode::announce,
                                              .client_address = *IpAddress::parse(host),
                                              .body = wire::Announce{},
                                              .options = {}});
  EXPECT_THAT(world.ask(host, with(announce, wire::Prefix64::request())).options(),
              ElementsAre(OptionCode::prefix64));
  World without;
  EXPECT_THAT(without.ask(host, with(encode(MapAsk{}), wire::Prefix64::request())).options(), IsEmpty());
}

TEST(PortSet, is_mapped_renewed_and_deleted_as_one) {
  World world;
  const wire::PortSet four{.size = 4, .first_internal_port = Port{5000}, .parity = true};
  auto answer = world.ask(host, with(encode(MapAsk{.internal_port = 5000}), four));
  ASSERT_EQ(answer.response().result, ResultCode::success);
  ASSERT_THAT(answer.options(), ElementsAre(OptionCode::port_set));
  EXPECT_EQ(wire::PortSet::decode((*answer.response().options.begin()).data)->size, 4);
  EXPECT_EQ(answer.map().assigned_external_port.value % 2, 0) << "the parity of 5000";
  const Port first = answer.map().assigned_external_port;
  EXPECT_EQ(world.server.contracts().ports(), 4U);

  world.now += Seconds{100};
  answer = world.ask(host, with(encode(MapAsk{.internal_port = 5000}), four));
  EXPECT_EQ(answer.map().assigned_external_port, first);
  EXPECT_EQ(world.server.contracts().size(), 1U);

  // RFC 7753 s4.4.1: a request for any of its ports is one for the set.
  answer = world.ask(MapAsk{.internal_port = 5002});
  EXPECT_EQ(answer.map().internal_port, Port{5000});
  EXPECT_EQ(answer.map().assigned_external_port, first);
  EXPECT_EQ(world.server.contracts().size(), 1U);

  answer = world.ask(host, with(encode(MapAsk{.internal_port = 5000, .lifetime_s = 0}), four));
  EXPECT_EQ(answer.response().result, ResultCode::success);
  EXPECT_EQ(world.server.contracts().ports(), 0U);
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(PortSet, over_existing_mappings_refreshes_each_of_them) {
  World world;
  world.ask(MapAsk{.internal_port = 5001});
  world.ask(MapAsk{.internal_port = 5003});
  world.receive({{Endpoint{*IpAddress::parse(host), Port{12345}},
                  with(encode(MapAsk{.internal_port = 5000, .lifetime_s = 7200}),
                       wire::PortSet{.size = 4, .first_internal_port = Port{5000}})}});
  world.settle();
  ASSERT_EQ(world.answers.size(), 2U);
  EXPECT_EQ(world.take_answer().map().internal_port, Port{5001});
  const auto second = world.take_answer();
  EXPECT_EQ(second.map().internal_port, Port{5003});
  EXPECT_EQ(second.response().lifetime_s, 7200U);
  EXPECT_THAT(second.options(), IsEmpty());
  EXPECT_EQ(world.server.contracts().size(), 2U);
}

TEST(PortSet, one_port_is_answered_without_the_option) {
  World world;
  EXPECT_THAT(world.ask(host, with(encode(MapAsk{}), wire::PortSet{.size = 1})).options(), IsEmpty());
}

TEST(PortSet, is_cut_to_what_the_user_may_have) {
  Config config;
  config.policy.port_set_max = 3;
  World world(config);
  const auto ask = [&](std::uint16_t port) {
    const auto answer =
        world.ask(host, with(encode(MapAsk{.internal_port = port}),
                             wire::PortSet{.size = 0xffff, .first_internal_port = Port{port}}));
    const auto options = answer.options();
    return options.empty() ? 1 : wire::PortSet::decode((*answer.response().options.begin()).data)->size;
  };
  EXPECT_EQ(ask(5000), 3);
  EXPECT_EQ(ask(65534), 2) << "there is no port 65536";
}

TEST(PortSet, with_port_0_is_a_wildcard_and_touches_no_other_mapping) {
  World world;
  world.ask(MapAsk{.internal_port = 1});
  world.now += Seconds{10};
  EXPECT_EQ(
      world.ask(host, with(encode(MapAsk{.internal_port = 0}), wire::PortSet{.size = 4})).response().result,
      ResultCode::unsupp_protocol);
  EXPECT_EQ(only_contract(world).expires, TimePoint{Seconds{1000 + 3600}});
}

TEST(PortSet, malformed_forms_are_refused) {
  World world;
  const wire::PortSet two{.size = 2};
  const auto result = [&](std::vector<std::byte> request) {
    return world.ask(host, std::move(request)).response().result;
  };
  EXPECT_EQ(result(with(encode(MapAsk{}), two, two)), ResultCode::malformed_option);
  EXPECT_EQ(result(with(encode(MapAsk{.suggested_external_port = 1, .prefer_failure = true}), two)),
            ResultCode::malformed_option);
  EXPECT_EQ(world.server.contracts().size(), 0U);
}

TEST(Options, prefer_failure_with_peer_is_a_malformed_request) {
  World world;
  EXPECT_EQ(world.ask(host, with(encode(PeerAsk{}), wire::PreferFailure{})).response().result,
            ResultCode::malformed_request);
}

TEST(Options, checkpoint_required_is_left_out_while_nobody_holds_a_copy) {
  World world;
  const auto answer = world.ask(host, with(encode(MapAsk{}), wire::CheckpointRequired{}));
  EXPECT_EQ(answer.response().result, ResultCode::success);
  EXPECT_THAT(answer.options(), IsEmpty());
}

TEST(Options, the_historic_pair_of_ports_is_granted_behind_its_switch) {
  const auto options = [](bool enabled) {
    Config config;
    config.port_reservation = enabled;
    World world(config);
    return world.ask(host, with(encode(MapAsk{.internal_port = 5004}), wire::PortReservation{})).options();
  };
  EXPECT_THAT(options(true), ElementsAre(OptionCode::port_reservation));
  EXPECT_THAT(options(false), IsEmpty());
}

}  // namespace
}  // namespace portolan::server
