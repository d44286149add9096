// SPDX-License-Identifier: BSD-2-Clause
//
// The client engine when things go wrong: refusals, restarts, servers of another version.
#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/engine.h"
#include "client/test_world.h"
#include "wire/test_octets.h"

namespace portolan::client {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using wire::ResultCode;

TEST(Engine, asks_again_when_an_error_has_passed) {
  for (const auto& [lifetime, waited] :
       {std::pair{0U, 30.0}, {30U, 30.0}, {1800U, 1800.0}, {UINT32_MAX, 86400.0}}) {
    World world;
    world.script = {refused(ResultCode::user_ex_quota, lifetime), granted()};
    world.engine.map(world.now(), web_wish());
    world.run(Seconds{86402});
    const auto times = world.times_of(ask_line);
    ASSERT_GE(times.size(), 2U);
    EXPECT_NEAR(times[1], waited + 0.01, 1e-6) << lifetime;
  }
}

TEST(Engine, a_passing_refusal_of_a_renewal_leaves_the_mapping_until_it_expires) {
  World world;
  world.script = {granted(), refused(ResultCode::network_failure, 30), granted()};
  world.engine.map(world.now(), web_wish());
  world.run(119s);
  EXPECT_THAT(world.story(), ElementsAre(ask_line, granted_line, renew_line,
                                         "refused NETWORK_FAILURE for 30 s", renew_line, renewed_line));
  const auto times = world.times_of(renew_line);
  EXPECT_GE(times[1] - times[0], 30.0);
}

TEST(Engine, a_passing_refusal_that_outlasts_the_mapping_is_waited_for_after_it_expired) {
  World world;
  world.script = {granted(), refused(ResultCode::network_failure, 300), granted()};
  world.engine.map(world.now(), web_wish());
  world.run(500s);
  const auto story = world.story();
  const std::vector<std::string> beginning(story.begin(), story.begin() + 7);
  EXPECT_THAT(beginning, ElementsAre(ask_line, granted_line, renew_line, "refused NETWORK_FAILURE for 300 s",
                                     "lost 192.0.2.14:40000, expired", renew_line, granted_line));
  const auto times = world.times_of(renew_line);
  EXPECT_NEAR(times[1] - times[0], 300.01, 1e-6);
}

TEST(Engine, any_other_refusal_means_the_mapping_is_gone) {
  World world;
  world.script = {granted(), refused(ResultCode::not_authorized, 1800)};
  world.engine.map(world.now(), web_wish());
  world.run(100s);
  EXPECT_THAT(world.story(),
              ElementsAre(ask_line, granted_line, renew_line, "refused NOT_AUTHORIZED for 1800 s",
                          "lost 192.0.2.14:40000, withdrawn"));
}

TEST(Engine, a_refusal_out_of_the_blue_withdraws_the_mapping) {
  World world;
  Wish wish = web_wish();
  wish.prefer_failure = true;
  world.script = {granted(120, 8080)};
  world.engine.map(world.now(), wish);
  world.run(1s);
  world.deliver(world.update(refused(ResultCode::cannot_provide_external, 60)));  // RFC 6887 s14.2
  world.script = {granted(120, 8080)};
  world.run(62s);
  EXPECT_THAT(world.story(),
              ElementsAre(ask_line + ", or nothing", "granted 192.0.2.14:8080 for 120 s",
                          "refused CANNOT_PROVIDE_EXTERNAL for 60 s", "lost 192.0.2.14:8080, withdrawn",
                          ask_line + ", or nothing", "granted 192.0.2.14:8080 for 120 s"));
}

TEST(Engine, a_success_with_lifetime_0_withdraws_the_mapping) {
  World world;
  world.script = {granted()};
  world.engine.map(world.now(), web_wish());
  world.run(1s);
  world.deliver(world.update(granted(0)));
  world.run(1s);
  EXPECT_EQ(world.story().back(), "lost 192.0.2.14:40000, withdrawn");
  world.script = {granted()};
  world.run(30s);
  EXPECT_EQ(world.story().back(), granted_line);
}

TEST(Engine, no_resources_for_a_wish_holds_back_new_ones_only) {
  World world;
  world.script = {granted(), refused(ResultCode::no_resources, 100), granted()};
  world.engine.map(world.now(), web_wish());
  world.run(1s);
  Wish second = web_wish();
  second.internal_port = Port{22};
  world.engine.map(world.now(), second);
  world.run(1s);
  Wish third = web_wish();
  third.internal_port = Port{25};
  world.engine.map(world.now(), third);
  world.run(98s);
  EXPECT_THAT(world.times_of("MAP tcp 25"), IsEmpty());
  EXPECT_THAT(world.times_of(renewed_line), SizeIs(1)) << "renewals go on";
  world.run(2s);
  EXPECT_THAT(world.times_of("MAP tcp 25"), SizeIs(1));
}

TEST(Engine, no_resources_for_a_deletion_holds_back_everything) {
  World world;
  Wish wish = web_wish();
  wish.nonce = Nonce{};
  world.script = {refused(ResultCode::no_resources, 100), granted(0), granted(0)};
  world.engine.remove(world.now(), wish);
  world.run(1s);
  world.engine.announce(world.now());
  world.run(98s);
  EXPECT_THAT(world.story(), ElementsAre(delete_line, "refused NO_RESOURCES for 100 s"));
  world.run(2s);
  EXPECT_THAT(world.times_of("deleted"), SizeIs(1));
  EXPECT_THAT(world.times_of("announced"), SizeIs(1));
}

TEST(Engine, a_refused_deletion_is_over) {
  World world;
  Wish wish = web_wish();
  wish.nonce = Nonce{};
  world.script = {refused(ResultCode::not_authorized, 1800)};
  world.engine.remove(world.now(), wish);
  world.run(4000s);
  EXPECT_THAT(world.story(), ElementsAre(delete_line, "refused NOT_AUTHORIZED for 1800 s"));
  EXPECT_FALSE(world.engine.next_deadline());
}

TEST(Engine, asks_again_within_5_s_of_a_restart_and_spreads_its_requests) {
  double lowest = 10;
  double highest = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    World world(World::default_config(), seed);
    world.script = {granted(7200)};
    Wish wish = web_wish();
    wish.lifetime = 7200s;
    world.engine.map(world.now(), wish);
    world.run(100s);
    wire::Response announcement;
    announcement.body = wire::Announce{};
    announcement.epoch_time_s = 0;
    world.deliver(wire::encode_response(announcement).octets());  // unsolicited, RFC 6887 s14.1.3
    Answer again = granted(7200);
    again.epoch_time_s = static_cast<std::uint32_t>(-100);
    world.script = {lost(), again};
    world.run(20s);
    const std::string renew = "MAP tcp 8080 -> 192.0.2.14:40000 for 7200 s";
    EXPECT_THAT(world.story(),
                ElementsAre("MAP tcp 8080 -> 0.0.0.0:8080 for 7200 s", "granted 192.0.2.14:40000 for 7200 s",
                            "server restarted, epoch 0 s", renew, "no answer yet, sent 2 times", renew,
                            "renewed 192.0.2.14:40000 for 7200 s"));
    const auto times = world.times_of(renew);
    lowest = std::min(lowest, times[0] - 100);
    highest = std::max(highest, times[0] - 100);
    EXPECT_NEAR(times[1] - times[0], 3.0, 0.3);
  }
  EXPECT_GE(lowest, 0.0);
  EXPECT_LT(lowest, 0.5);
  EXPECT_GT(highest, 4.5);
  EXPECT_LE(highest, 5.0);
}

TEST(Engine, a_restart_leaves_alone_what_is_being_asked) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    World world(World::default_config(), seed);
    world.script = {granted()};
    world.engine.announce(world.now());
    world.run(100s);
    world.engine.map(world.now(), web_wish());
    world.run(100ms);
    wire::Response announcement;
    announcement.body = wire::Announce{};
    world.deliver(wire::encode_response(announcement).octets());
    world.run(15s);
    EXPECT_THAT(world.times_of("server restarted"), SizeIs(1));
    const auto times = world.times_of(ask_line);
    ASSERT_THAT(times, SizeIs(3)) << "seed " << seed;
    EXPECT_NEAR(times[1] - times[0], 3.0, 0.3) << "seed " << seed;
    EXPECT_NEAR(times[2] - times[1], 2 * (times[1] - times[0]), 0.7) << "seed " << seed;
  }
}

TEST(Engine, a_grant_ends_the_wait_after_a_refusal) {
  World world;
  world.script = {refused(ResultCode::user_ex_quota, 1800)};
  world.engine.map(world.now(), web_wish());
  world.run(1s);
  world.deliver(world.update(granted()));
  world.script = {granted()};
  world.run(80s);
  EXPECT_THAT(world.story(), ElementsAre(ask_line, "refused USER_EX_QUOTA for 1800 s", granted_line,
                                         renew_line, renewed_line));
}

TEST(Engine, the_answer_that_reveals_a_restart_confirms_its_own_mapping) {
  World world;
  Answer after_restart = granted(7200, 50000);
  after_restart.epoch_time_s = static_cast<std::uint32_t>(-100);
  world.script = {granted(7200), after_restart, after_restart};
  world.engine.map(world.now(), web_wish());
  world.run(100s);
  Wish other = web_wish();
  other.internal_port = Port{22};
  world.engine.map(world.now(), other);
  world.run(10s);
  EXPECT_THAT(world.story(), ElementsAre(ask_line, "granted 192.0.2.14:40000 for 7200 s",
                                         "MAP tcp 22 -> 0.0.0.0:8080 for 120 s",
                                         "server restarted, epoch 0 s", "granted 192.0.2.14:50000 for 7200 s",
                                         renew_line, "changed 192.0.2.14:40000 to 192.0.2.14:50000"));
}

TEST(Engine, an_announcement_from_elsewhere_changes_nothing) {
  World world;
  world.script = {granted()};
  world.engine.map(world.now(), web_wish());
  world.run(10s);
  wire::Response announcement;
  announcement.body = wire::Announce{};
  EXPECT_EQ(world.deliver(wire::encode_response(announcement).octets(),
                          Endpoint{*IpAddress::parse("2001:db8:112::66"), Port{5351}}),
            Reception::not_from_server);
  announcement.result = ResultCode::no_resources;
  EXPECT_EQ(world.deliver(wire::encode_response(announcement).octets()), Reception::of_no_request);
  EXPECT_THAT(world.times_of("server restarted"), IsEmpty());
}

TEST(Engine, unsupp_version_is_heard_before_the_size_check) {
  World world;
  Answer answer = granted();
  answer.corrupt = [](auto& octets) { octets = wire::octets("01 81 00 01"); };
  world.script = {answer, granted()};
  world.engine.map(world.now(), web_wish());
  world.run(1800s);
  EXPECT_THAT(world.story(), ElementsAre(ask_line, "version 1 offered, waiting 1800 s"));
  world.run(1s);
  EXPECT_EQ(world.story().back(), granted_line);
}

TEST(Engine, a_nat_pmp_server_is_told_apart) {
  World world;
  Answer answer = granted();
  answer.corrupt = [](auto& octets) { octets = wire::octets("00 00 0001 00000010"); };
  world.script = {answer};
  world.engine.map(world.now(), web_wish());
  world.run(60s);
  EXPECT_THAT(world.story(), ElementsAre(ask_line, "version 0 offered, waiting 1800 s"));
}

TEST(Engine, unsupp_version_waits_as_long_as_the_server_says_up_to_30_min) {
  for (const auto& [hex, waited] : {std::pair{"01 81 00 01 00000000", "30"},
                                    {"01 81 00 01 0000003c", "60"},
                                    {"01 81 00 01 ffffffff", "1800"}}) {
    World world;
    Answer answer = granted();
    answer.corrupt = [hex](auto& octets) { octets = wire::octets(hex); };
    world.script = {answer};
    world.engine.map(world.now(), web_wish());
    world.run(1s);
    EXPECT_EQ(world.story().back(), fmt::format("version 1 offered, waiting {} s", waited));
  }
}

TEST(Engine, unsupp_version_unasked_for_is_ignored) {
  World world;
  EXPECT_EQ(world.deliver(wire::octets("01 81 00 01")), Reception::of_no_request);
}

}  // namespace
}  // namespace portolan::client
