// SPDX-License-Identifier: BSD-2-Clause
//
// The batch rules: order, serial mappings, group commit, undo, read-only, limits. Device and store answer
// when the test says so.
#include <gmock/gmock.h>

#include "server/server.h"
#include "server/test_world.h"

namespace portolan::server {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using wire::ResultCode;

/// Result codes of all answers so far, which are taken.
auto results(World& world) -> std::vector<ResultCode> {
  std::vector<ResultCode> codes;
  while (!world.answers.empty()) codes.push_back(world.take_answer().response().result);
  return codes;
}

TEST(Batch, the_answer_leaves_only_after_device_and_store) {
  World world;
  world.receive({MapAsk{}});
  EXPECT_THAT(world.answers, IsEmpty());
  EXPECT_EQ(world.committing, std::nullopt);
  ASSERT_TRUE(world.apply_next());
  EXPECT_THAT(world.answers, IsEmpty());
  ASSERT_TRUE(world.commit_next());
  EXPECT_THAT(results(world), ElementsAre(ResultCode::success));
}

TEST(Batch, requests_of_one_batch_share_one_device_batch_and_one_commit) {
  World world;
  world.receive({{.internal_port = 1}, {.internal_port = 2}, {.internal_port = 3}});
  ASSERT_THAT(world.applying, SizeIs(1));
  EXPECT_THAT(world.applying.front().operations, SizeIs(3));
  world.apply_next();
  ASSERT_TRUE(world.committing);
  EXPECT_THAT(world.committing->rows, SizeIs(4)) << "and the path of the clients";
  world.commit_next();
  EXPECT_THAT(world.answers, SizeIs(3));
}

TEST(Batch, a_refusal_needs_no_commit) {
  World world;
  world.receive({MapAsk{.protocol = static_cast<Protocol>(47)}});
  world.apply_next();
  EXPECT_EQ(world.committing, std::nullopt);
  EXPECT_THAT(results(world), ElementsAre(ResultCode::unsupp_protocol));
}

TEST(Batch, the_next_batch_is_decided_while_one_is_in_flight_but_its_answers_wait) {
  World world;
  world.receive({MapAsk{.internal_port = 1}});
  world.receive({MapAsk{.internal_port = 2, .protocol = static_cast<Protocol>(47)}});
  EXPECT_THAT(world.applying, SizeIs(2));
  world.apply_next();
  world.apply_next();
  EXPECT_THAT(world.answers, IsEmpty()) << "the second was refused, yet the first is not durable";
  world.commit_next();
  EXPECT_THAT(results(world), ElementsAre(ResultCode::success, ResultCode::unsupp_protocol));
}

TEST(Batch, what_is_applied_while_a_commit_is_outstanding_shares_the_next_commit) {
  World world;
  for (std::uint16_t port = 1; port <= 4; ++port) world.receive({MapAsk{.internal_port = port}});
  world.apply_next();
  ASSERT_TRUE(world.committing);
  EXPECT_THAT(world.committing->rows, SizeIs(2)) << "and the path of the clients";
  while (world.apply_next()) continue;
  world.commit_next();
  ASSERT_TRUE(world.committing);
  EXPECT_THAT(world.committing->rows, SizeIs(3));
  world.commit_next();
  EXPECT_THAT(world.answers, SizeIs(4));
}

TEST(Batch, requests_on_one_mapping_are_serial_even_within_a_batch) {
  World world;
  world.receive({{.suggested_external_port = 8080, .nonce = 1},
                 {.suggested_external_port = 9090, .nonce = 1},
                 {.lifetime_s = 0, .nonce = 2},
                 {.lifetime_s = 0, .nonce = 1},
                 {.suggested_external_port = 7070, .nonce = 2}});
  ASSERT_THAT(world.applying, SizeIs(1));
  EXPECT_THAT(world.applying.front().operations, SizeIs(1));
  world.settle();
  ASSERT_THAT(world.answers, SizeIs(5));
  EXPECT_EQ(world.answers[0].map().assigned_external_port, Port{8080});
  EXPECT_EQ(world.answers[1].map().assigned_external_port, Port{8080});
  EXPECT_THAT(results(world),
              ElementsAre(ResultCode::success, ResultCode::success, ResultCode::not_authorized,
                          ResultCode::success, ResultCode::success));
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(Batch, a_repeated_request_is_answered_like_the_first) {
  World world;
  world.receive({MapAsk{.suggested_external_port = 8080}});
  world.receive({MapAsk{.suggested_external_port = 8080}});
  world.settle();
  ASSERT_THAT(world.answers, SizeIs(2));
  EXPECT_EQ(world.answers[0].map(), world.answers[1].map());
}

TEST(Batch, other_mappings_do_not_wait_for_a_busy_one) {
  World world;
  world.receive({MapAsk{.internal_port = 1}});
  world.receive({MapAsk{.internal_port = 1}, MapAsk{.internal_port = 2}});
  ASSERT_THAT(world.applying, SizeIs(2));
  EXPECT_THAT(world.applying.back().operations, SizeIs(1));
}

TEST(Batch, a_failed_commit_is_undone_at_device_and_table) {
  World world;
  const Port kept =
      world.ask({.internal_port = 1, .suggested_external_port = 4001}).map().assigned_external_port;
  world.ask({.internal_port = 2, .suggested_external_port = 4002});
  world.pass(Seconds{600});
  world.store_fails = true;
  world.receive({{.internal_port = 1, .lifetime_s = 7200},                 // renewal
                 {.internal_port = 2, .lifetime_s = 0},                    // deletion
                 {.internal_port = 3, .suggested_external_port = 4003}});  // creation
  while (world.apply_next()) continue;
  ASSERT_TRUE(world.commit_next());
  EXPECT_THAT(world.answers, IsEmpty()) << "nothing is said before everything is undone";
  ASSERT_TRUE(world.apply_next());

  ASSERT_THAT(world.answers, SizeIs(3));
  const Answer renewal = world.take_answer();
  EXPECT_EQ(renewal.response().result, ResultCode::success);
  EXPECT_EQ(renewal.response().lifetime_s, 3000U) << "what is durable, not what was asked";
  EXPECT_EQ(renewal.map().assigned_external_port, kept);
  EXPECT_THAT(results(world), ElementsAre(ResultCode::no_resources, ResultCode::no_resources));
  EXPECT_EQ(world.server.contracts().size(), 2U);
  EXPECT_EQ(world.nat.explicit_mappings(world.now).size(), 2U);
  EXPECT_EQ(world.server.counters().refused_undos, 0U);
  EXPECT_EQ(world.server.broken_invariant(world.now), std::nullopt);
}

TEST(Batch, batches_behind_a_failed_commit_are_undone_with_it) {
  World world;
  world.store_fails = true;
  world.receive({MapAsk{.internal_port = 1}});
  world.apply_next();
  world.receive({MapAsk{.internal_port = 2}});
  world.receive({MapAsk{.internal_port = 3}});
  world.apply_next();
  world.commit_next();
  EXPECT_THAT(world.answers, IsEmpty()) << "the third batch is still with the device";
  world.settle();
  EXPECT_THAT(results(world),
              ElementsAre(ResultCode::no_resources, ResultCode::no_resources, ResultCode::no_resources));
  EXPECT_EQ(world.nat.explicit_mappings(world.now).size(), 0U);
}

TEST(Batch, the_server_is_read_only_until_a_commit_succeeds) {
  World world;
  world.ask({.internal_port = 1});
  world.store_fails = true;
  world.ask({.internal_port = 2});
  ASSERT_TRUE(world.server.is_read_only());
  EXPECT_EQ(world.ask({.internal_port = 3}).response().result, ResultCode::no_resources);
  EXPECT_EQ(world.ask({.internal_port = 1, .lifetime_s = 0}).response().result, ResultCode::no_resources);
  world.pass(Seconds{100});
  const Answer renewal = world.ask({.internal_port = 1});
  EXPECT_EQ(renewal.response().result, ResultCode::success);
  EXPECT_EQ(renewal.response().lifetime_s, 3500U);
  EXPECT_TRUE(world.server.is_read_only());

  world.store_fails = false;
  ASSERT_TRUE(world.server.next_deadline());
  world.pass(Seconds{1});
  EXPECT_FALSE(world.server.is_read_only());
  EXPECT_EQ(world.ask({.internal_port = 3}).response().result, ResultCode::success);
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(Batch, contracts_expire_while_read_only_and_are_dropped_from_the_store_later) {
  World world;
  world.ask({.internal_port = 1, .lifetime_s = 200});
  world.store_fails = true;
  world.ask({.internal_port = 2});
  world.pass(Seconds{300});
  EXPECT_EQ(world.server.contracts().size(), 0U);
  EXPECT_EQ(world.stored.size(), 1U);
  world.store_fails = false;
  world.pass(Seconds{1});
  EXPECT_EQ(world.stored.size(), 0U);
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(Batch, a_contract_that_expires_under_way_does_not_end_its_renewal) {
  World world;
  world.ask({.suggested_external_port = 8080, .lifetime_s = 200});
  world.now += Seconds{199};
  world.receive({MapAsk{.lifetime_s = 200}});
  world.pass(Seconds{1});
  EXPECT_EQ(world.take_answer().map().assigned_external_port, Port{8080});
  EXPECT_EQ(world.server.contracts().size(), 1U);
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(Batch, too_many_batches_in_flight_are_dropped_and_counted) {
  World world({.batches_in_flight_max = 2});
  world.receive({MapAsk{.internal_port = 1}});
  EXPECT_TRUE(world.server.has_room());
  world.receive({MapAsk{.internal_port = 2}});
  EXPECT_FALSE(world.server.has_room());
  world.receive({MapAsk{.internal_port = 3}});
  EXPECT_EQ(world.server.counters().dropped_overload, 1U);
  world.settle();
  EXPECT_THAT(world.answers, SizeIs(2));
  EXPECT_TRUE(world.server.has_room());
  EXPECT_EQ(world.disagreement(), std::nullopt);
}

TEST(Batch, too_many_waiting_requests_are_dropped_and_counted) {
  World world({.deferred_max = 2});
  world.receive(std::vector<MapAsk>(5));
  EXPECT_EQ(world.server.counters().dropped_overload, 2U);
  world.settle();
  EXPECT_THAT(world.answers, SizeIs(3));
}

}  // namespace
}  // namespace portolan::server
