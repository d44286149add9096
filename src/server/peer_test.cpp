// SPDX-License-Identifier: BSD-2-Clause
//
// PEER (RFC 6887 s12) at the engine.
#include <gmock/gmock.h>

#include "server/server.h"
#include "server/test_world.h"

namespace portolan::server {
namespace {

using wire::ResultCode;

auto ask(World& world, const PeerAsk& peer) -> Answer { return world.ask(peer.from, with(encode(peer))); }

TEST(Peer, makes_an_outbound_mapping_and_copies_the_remote_peer) {
  World world;
  const auto answer = ask(world, {.suggested_external_port = 3938});
  ASSERT_EQ(answer.response().result, ResultCode::success);
  EXPECT_EQ(answer.peer().assigned_external_port, Port{3938});
  EXPECT_EQ(answer.peer().remote_peer_address, *IpAddress::parse("2001:db8:64:ff9b::198.51.100.7"));
  EXPECT_EQ(answer.peer().remote_peer_port, Port{5060});
  EXPECT_EQ(answer.peer().nonce.octets[0], std::byte{1});
  EXPECT_EQ(answer.response().lifetime_s, 3600U);
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(Peer, never_shortens) {
  World world;
  const auto first = ask(world, {.lifetime_s = 20000});
  world.now += Seconds{10};
  const auto second = ask(world, {.suggested_external_port = 9999, .lifetime_s = 5});
  EXPECT_EQ(second.response().lifetime_s, 19990U);
  EXPECT_EQ(second.peer().assigned_external_port, first.peer().assigned_external_port);
  EXPECT_EQ(ask(world, {.lifetime_s = 0}).response().lifetime_s, 19990U) << "nor deletes";
  EXPECT_EQ(world.server.contracts().size(), 1U);
}

TEST(Peer, another_nonce_is_not_authorized_for_as_long_as_the_mapping_lives) {
  World world;
  ask(world, {});
  const auto answer = ask(world, {.nonce = 2});
  EXPECT_EQ(answer.response().result, ResultCode::not_authorized);
  EXPECT_EQ(answer.response().lifetime_s, 3600U);
  EXPECT_EQ(ask(world, {.nonce = 2, .remote_peer_port = 5061}).response().result, ResultCode::success)
      << "another tuple has a nonce of its own";
}

TEST(Peer, a_suggestion_that_cannot_be_honoured_makes_nothing) {
  World world;
  world.ask(MapAsk{.from = "2001:db8:113::2", .suggested_external_port = 4000});
  const auto answer = ask(world, {.suggested_external_port = 4000});
  EXPECT_EQ(answer.response().result, ResultCode::cannot_provide_external);
  EXPECT_EQ(world.server.contracts().size(), 1U);
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(Peer, beside_a_map_of_the_same_endpoint_shares_its_external_port) {
  World world;
  const auto map = world.ask(MapAsk{.suggested_external_port = 4000});
  const auto peer = ask(world, {.nonce = 2});
  ASSERT_EQ(peer.response().result, ResultCode::success);
  EXPECT_EQ(peer.peer().assigned_external_port, map.map().assigned_external_port);
  EXPECT_EQ(world.server.contracts().size(), 2U);
}

TEST(Peer, fields_that_must_not_be_zero_are_malformed) {
  World world;
  EXPECT_EQ(ask(world, {.internal_port = 0}).response().result, ResultCode::malformed_request);
  EXPECT_EQ(ask(world, {.remote_peer_port = 0}).response().result, ResultCode::malformed_request);
  EXPECT_EQ(ask(world, {.remote_peer = "::"}).response().result, ResultCode::malformed_request);
  EXPECT_EQ(ask(world, {.remote_peer = "198.51.100.7"}).response().result, ResultCode::malformed_request)
      << "of the other family (s10)";
}

TEST(Peer, deleting_what_peer_made_is_not_authorized_for_map) {
  World world;
  ask(world, {});
  EXPECT_EQ(world.ask(MapAsk{.lifetime_s = 0}).response().result, ResultCode::not_authorized);
}

TEST(Peer, opcodes_can_be_turned_off_for_users) {
  Config config;
  config.policy.peer = false;
  config.profiles = {{.users = *Prefix::parse("2001:db8:113::/48"), .policy = {}}};
  config.profiles.front().policy.map = false;
  World world(config);
  EXPECT_EQ(ask(world, {}).response().result, ResultCode::not_authorized);
  EXPECT_EQ(world.ask(MapAsk{}).response().result, ResultCode::success);
  EXPECT_EQ(ask(world, {.from = "2001:db8:113::2"}).response().result, ResultCode::success);
  EXPECT_EQ(world.ask(MapAsk{.from = "2001:db8:113::2"}).response().result, ResultCode::not_authorized);
}

TEST(Peer, a_failed_commit_takes_it_back) {
  World world;
  world.store_fails = true;
  EXPECT_EQ(ask(world, {}).response().result, ResultCode::no_resources);
  EXPECT_EQ(world.server.contracts().size(), 0U);
  world.store_fails = false;
  world.pass(Seconds{2});
  EXPECT_EQ(ask(world, {}).response().result, ResultCode::success);
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

}  // namespace
}  // namespace portolan::server
