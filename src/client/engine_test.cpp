// SPDX-License-Identifier: BSD-2-Clause
#include "client/engine.h"

#include <algorithm>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/test_world.h"
#include "wire/test_octets.h"

namespace portolan::client {
namespace {

using testing::ElementsAre;
using testing::SizeIs;
using wire::ResultCode;
using wire::operator+;

TEST(Engine, asks_at_once_and_reports_the_grant) {
  World world;
  world.script = {granted()};
  const Handle handle = world.engine.map(world.now(), web_wish());
  world.run(1s);
  EXPECT_THAT(world.story(), ElementsAre(ask_line, granted_line));
  const auto mapping = world.engine.mapping(handle);
  ASSERT_TRUE(mapping);
  EXPECT_EQ(to_string(mapping->internal), "[2001:db8:112::2]:8080");
  EXPECT_EQ(mapping->nonce, world.engine.nonce(handle));
  EXPECT_EQ(mapping->epoch_time_s, 1000U);
  EXPECT_EQ(mapping->expires, world.now() - world.elapsed() + 10ms + 120s);
}

TEST(Engine, sends_the_octets_of_the_rfc) {
  World world;
  Wish wish = web_wish();
  wish.nonce = Nonce::parse("00112233445566778899aabb");
  wish.prefer_failure = true;
  world.engine.map(world.now(), wish);
  world.run(0s);
  EXPECT_EQ(wire::hex(world.last_map_request),
            wire::hex(wire::octets("02 01 0000 00000078"               // version, MAP, lifetime 120
                                   "20010db8011200000000000000000002"  // client
                                   "00112233445566778899aabb"          // nonce
                                   "06 000000 1f90 1f90"               // TCP, ports 8080
                                   "00000000000000000000ffff00000000"  // any IPv4 address
                                   "02 00 0000")));                    // PREFER_FAILURE
}

TEST(Engine, draws_another_nonce_for_each_wish) {
  World world;
  const Handle first = world.engine.map(world.now(), web_wish());
  const Handle second = world.engine.map(world.now(), web_wish());
  EXPECT_NE(world.engine.nonce(first), world.engine.nonce(second));
}

TEST(Engine, retransmits_the_same_octets_until_answered) {
  World world;
  world.script = {lost(), lost(), granted()};
  world.engine.map(world.now(), web_wish());
  world.run(0s);
  const auto first_request = world.last_map_request;
  world.run(20s);
  EXPECT_EQ(world.last_map_request, first_request);
  EXPECT_THAT(world.story(), ElementsAre(ask_line, "no answer yet, sent 2 times", ask_line,
                                         "no answer yet, sent 3 times", ask_line, granted_line));
  const auto times = world.times_of("MAP");
  EXPECT_NEAR(times[1] - times[0], 3.0, 0.3);
  EXPECT_NEAR(times[2] - times[1], 2 * (times[1] - times[0]), 0.7);
}

TEST(Engine, gives_up_only_if_told_to) {
  Config config = World::default_config();
  config.retransmission.count_max = 2;
  World world(config);
  const Handle handle = world.engine.map(world.now(), web_wish());
  world.run(60s);
  EXPECT_THAT(world.story(), ElementsAre(ask_line, "no answer yet, sent 2 times", ask_line, "no answer"));
  EXPECT_FALSE(world.engine.nonce(handle));
  EXPECT_FALSE(world.engine.next_deadline());
}

TEST(Engine, renews_with_what_was_assigned_after_half_the_lifetime) {
  World world;
  world.script = {granted(), granted()};
  world.engine.map(world.now(), web_wish());
  world.run(76s);
  EXPECT_THAT(world.story(), ElementsAre(ask_line, granted_line, renew_line, renewed_line));
  EXPECT_GE(world.times_of(renew_line)[0], 60.0);
  EXPECT_LE(world.times_of(renew_line)[0], 75.1);
}

TEST(Engine, renewals_are_never_less_than_four_seconds_apart_and_then_the_mapping_is_lost) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    World world(World::default_config(), seed);
    world.script = {granted()};
    world.engine.map(world.now(), web_wish());
    world.run(120s + 11ms);
    const auto times = world.times_of("MAP");
    for (std::size_t i = 1; i < times.size(); ++i) EXPECT_GE(times[i] - times[i - 1], 4.0) << "seed " << seed;
    EXPECT_GE(times.size(), 5U) << "seed " << seed;
    EXPECT_LE(times.size(), 8U) << "seed " << seed;
    EXPECT_THAT(world.times_of("lost 192.0.2.14:40000, expired"), ElementsAre(120.01)) << "seed " << seed;
  }
}

TEST(Engine, asks_again_for_a_mapping_that_expired_suggesting_what_was_assigned) {
  World world;
  world.script = {granted(), lost(), lost(), lost(), lost(), lost(), lost(), lost()};
  world.engine.map(world.now(), web_wish());
  world.run(124s + 11ms);
  EXPECT_EQ(world.story().back(), renew_line);
  world.script = {granted(120, 50000)};
  world.run(20s);
  EXPECT_EQ(world.story().back(), "granted 192.0.2.14:50000 for 120 s");
}

TEST(Engine, survives_lifetimes_of_a_second) {
  World world;
  for (int i = 0; i < 100; ++i) world.script.push_back(granted(1));
  world.engine.map(world.now(), web_wish());
  world.run(60s);
  const auto times = world.times_of("MAP");
  for (std::size_t i = 1; i < times.size(); ++i) EXPECT_GE(times[i] - times[i - 1], 4.0);
  EXPECT_GE(times.size(), 10U);
}

TEST(Engine, takes_an_absurd_lifetime_for_a_day) {
  World world;
  world.script = {granted(UINT32_MAX), granted(UINT32_MAX)};
  world.engine.map(world.now(), web_wish());
  world.run(24h);
  EXPECT_THAT(world.story(), ElementsAre(ask_line, "granted 192.0.2.14:40000 for 86400 s", renew_line,
                                         "renewed 192.0.2.14:40000 for 86400 s"));
}

TEST(Engine, reports_a_mapping_that_moved) {
  World world;
  world.script = {granted()};
  world.engine.map(world.now(), web_wish());
  world.run(1s);
  Answer update = granted(60, 50000);
  world.deliver(world.update(update));  // RFC 6887 s14.2
  world.run(1s);
  EXPECT_THAT(world.story(),
              ElementsAre(ask_line, granted_line, "changed 192.0.2.14:40000 to 192.0.2.14:50000"));
}

TEST(Engine, deletes_with_zeros_of_the_family) {
  World world;
  world.script = {granted(), granted(0)};
  const Handle handle = world.engine.map(world.now(), web_wish());
  world.run(1s);
  world.engine.remove(world.now(), handle);
  world.run(200s);
  EXPECT_THAT(world.story(), ElementsAre(ask_line, granted_line, delete_line, "deleted, 0 s remaining"));
  EXPECT_FALSE(world.engine.next_deadline());
}

TEST(Engine, deletes_an_ipv6_mapping_with_ipv6_zeros) {
  World world;
  Wish wish = web_wish();
  wish.suggested_external_address = IpAddress{};
  wish.nonce = Nonce{};
  world.engine.remove(world.now(), wish);
  world.run(0s);
  EXPECT_THAT(world.story(), ElementsAre("MAP tcp 8080 -> [::]:0 for 0 s"));
}

TEST(Engine, deletes_what_an_earlier_run_made) {
  World world;
  world.script = {lost(), granted(29)};  // the server keeps it for its idle time
  Wish wish = web_wish();
  wish.nonce = Nonce::parse("00112233445566778899aabb");
  wish.prefer_failure = true;
  const Handle handle = world.engine.remove(world.now(), wish);
  EXPECT_EQ(world.engine.nonce(handle), wish.nonce);
  world.run(10s);
  EXPECT_THAT(world.story(), ElementsAre(delete_line, "no answer yet, sent 2 times", delete_line,
                                         "deleted, 29 s remaining"));
}

TEST(Engine, a_late_answer_to_the_wish_is_none_to_its_deletion) {
  World world;
  Answer late = granted();
  late.delay = 2s;
  Answer later = granted(0);
  later.delay = 2s;
  world.script = {late, later};
  const Handle handle = world.engine.map(world.now(), web_wish());
  world.run(1s);
  world.engine.remove(world.now(), handle);
  world.run(10s);
  EXPECT_THAT(world.story(), ElementsAre(ask_line, delete_line, "ignored: it answers nothing that was asked",
                                         "deleted, 0 s remaining"));
}

TEST(Engine, a_late_refusal_of_the_wish_is_none_of_its_deletion) {
  World world;
  Answer late = refused(ResultCode::not_authorized, 1800);
  late.delay = 2s;
  world.script = {late, lost(), granted(0)};
  const Handle handle = world.engine.map(world.now(), web_wish());
  world.run(1s);
  world.engine.remove(world.now(), handle);
  world.run(10s);
  EXPECT_THAT(world.story(),
              ElementsAre(ask_line, delete_line, "ignored: it answers nothing that was asked",
                          "no answer yet, sent 2 times", delete_line, "deleted, 0 s remaining"));
}

TEST(Engine, a_late_answer_to_a_deletion_is_none_to_a_new_wish_with_its_nonce) {
  World world;
  Wish wish = web_wish();
  wish.nonce = Nonce{};
  world.script = {granted(0)};
  world.engine.remove(world.now(), wish);
  world.run(1s);
  const auto deletion = world.update(granted(0));
  world.script = {granted()};
  world.engine.map(world.now(), wish);
  world.run(1s);
  world.deliver(deletion);
  EXPECT_EQ(world.story().back(), "ignored: it answers nothing that was asked");
}

TEST(Engine, removing_what_was_never_asked_for_sends_nothing) {
  World world;
  world.script = {refused(ResultCode::no_resources, 60)};
  world.engine.map(world.now(), web_wish());
  world.run(1s);
  const Handle held = world.engine.map(world.now(), web_wish());
  world.engine.remove(world.now(), held);
  world.run(1s);
  EXPECT_THAT(world.story(),
              ElementsAre(ask_line, "refused NO_RESOURCES for 60 s", "deleted, 0 s remaining"));
}

TEST(Engine, announce_tells_epoch_and_round_trip) {
  World world;
  world.script = {lost(), granted()};
  world.engine.announce(world.now());
  world.run(10s);
  EXPECT_THAT(world.story(), ElementsAre("ANNOUNCE for 0 s", "no answer yet, sent 2 times",
                                         "ANNOUNCE for 0 s", "announced SUCCESS after 10 ms"));
}

TEST(Engine, announce_can_be_refused) {
  World world;
  world.script = {refused(ResultCode::address_mismatch, 1800)};
  world.engine.announce(world.now());
  world.run(10s);
  EXPECT_EQ(world.story().back(), "announced ADDRESS_MISMATCH after 10 ms");
}

// Answers that must be ignored: the wish goes on asking.
TEST(Engine, ignores_answers_that_do_not_match) {
  struct Case {
    std::string_view what;
    Reception reception;
    std::function<void(Answer&)> change;
  };
  const std::vector<Case> cases = {
      {"other address", Reception::not_from_server,
       [](Answer& answer) { answer.from = Endpoint{*IpAddress::parse("2001:db8:112::3"), Port{5351}}; }},
      {"other port", Reception::not_from_server,
       [](Answer& answer) { answer.from = Endpoint{*IpAddress::parse("2001:db8:112::1"), Port{5350}}; }},
      {"3 octets", Reception::malformed,
       [](Answer& answer) { answer.corrupt = [](auto& o) { o.resize(3); }; }},
      {"23 octets", Reception::malformed,
       [](Answer& answer) { answer.corrupt = [](auto& o) { o.resize(23); }; }},
      {"62 octets", Reception::malformed,
       [](Answer& answer) { answer.corrupt = [](auto& o) { o.resize(62); }; }},
      {"1104 octets", Reception::malformed,
       [](Answer& answer) { answer.corrupt = [](auto& o) { o.resize(1104); }; }},
      {"R bit clear", Reception::malformed,
       [](Answer& answer) { answer.corrupt = [](auto& o) { o[1] = std::byte{1}; }; }},
      {"version 3 without UNSUPP_VERSION", Reception::malformed,
       [](Answer& answer) { answer.corrupt = [](auto& o) { o[0] = std::byte{3}; }; }},
      {"opcode PEER", Reception::of_no_request,
       [](Answer& answer) {
         answer.corrupt = [](auto& o) {
           o[1] = std::byte{0x82};
           o.resize(80);
         };
       }},
      {"first octet of the nonce", Reception::of_no_request,
       [](Answer& answer) { answer.corrupt = [](auto& o) { o[24] ^= std::byte{1}; }; }},
      {"last octet of the nonce", Reception::of_no_request,
       [](Answer& answer) { answer.corrupt = [](auto& o) { o[35] ^= std::byte{1}; }; }},
      {"protocol", Reception::of_no_request,
       [](Answer& answer) { answer.corrupt = [](auto& o) { o[36] = std::byte{17}; }; }},
      {"internal port", Reception::of_no_request,
       [](Answer& answer) { answer.corrupt = [](auto& o) { o[41] ^= std::byte{1}; }; }},
      {"no external address", Reception::of_no_request,
       [](Answer& answer) { answer.external = {IpAddress::unspecified(Family::ipv4), Port{0}}; }},
      {"error for another nonce", Reception::of_no_request,
       [](Answer& answer) {
         answer.result = ResultCode::not_authorized;
         answer.corrupt = [](auto& o) { o[30] ^= std::byte{1}; };
       }},
  };
  for (const auto& ignored : cases) {
    World world;
    Answer answer = granted();
    ignored.change(answer);
    world.script = {answer, granted()};
    world.engine.map(world.now(), web_wish());
    world.run(10s);
    EXPECT_THAT(world.story(), ElementsAre(ask_line, "ignored: " + std::string(to_string(ignored.reception)),
                                           "no answer yet, sent 2 times", ask_line, granted_line))
        << ignored.what;
  }
}

TEST(Engine, ignores_options_it_does_not_know) {
  World world;
  Answer answer = granted();
  answer.corrupt = [](auto& octets) { octets = octets + wire::octets("7f 00 0004 deadbeef"); };
  world.script = {answer};
  world.engine.map(world.now(), web_wish());
  world.run(1s);
  EXPECT_EQ(world.story().back(), granted_line);
}

TEST(Engine, prefer_failure_takes_nothing_but_what_was_suggested) {
  World world;
  Wish wish = web_wish();
  wish.prefer_failure = true;
  world.script = {granted(120, 40000), granted(120, 8080), granted(120, 8080)};
  world.engine.map(world.now(), wish);
  world.run(90s);
  EXPECT_THAT(world.story(), ElementsAre(ask_line + ", or nothing",
                                         "ignored: " + std::string(to_string(Reception::not_as_suggested)),
                                         "no answer yet, sent 2 times", ask_line + ", or nothing",
                                         "granted 192.0.2.14:8080 for 120 s",
                                         "MAP tcp 8080 -> 192.0.2.14:8080 for 120 s, or nothing",
                                         "renewed 192.0.2.14:8080 for 120 s"));
}

TEST(Engine, prefer_failure_compares_the_address_too) {
  World world;
  Wish wish = web_wish();
  wish.prefer_failure = true;
  wish.suggested_external_address = *IpAddress::parse("192.0.2.15");
  world.script = {granted(120, 8080)};
  world.engine.map(world.now(), wish);
  world.run(1s);
  EXPECT_EQ(world.story().back(), "ignored: " + std::string(to_string(Reception::not_as_suggested)));
}

TEST(Engine, mappings_of_both_external_families_may_share_a_nonce) {
  World world;
  Wish v4 = web_wish();
  v4.nonce = Nonce{};
  Wish v6 = v4;
  v6.suggested_external_address = IpAddress{};
  Answer v6_answer = granted(120, 8080);
  v6_answer.external.address = *IpAddress::parse("2001:db8:112::2");
  world.script = {granted(), v6_answer};
  world.engine.map(world.now(), v4);
  world.engine.map(world.now(), v6);
  world.run(1s);
  EXPECT_THAT(world.story(), ElementsAre(ask_line, "MAP tcp 8080 -> [::]:8080 for 120 s", granted_line,
                                         "granted [2001:db8:112::2]:8080 for 120 s"));
}

TEST(Engine, forgetting_sends_nothing) {
  World world;
  world.script = {granted()};
  const Handle handle = world.engine.map(world.now(), web_wish());
  world.run(1s);
  world.engine.forget(handle);
  world.run(200s);
  EXPECT_THAT(world.story(), ElementsAre(ask_line, granted_line));
}

TEST(Engine, a_long_sleep_ends_with_a_loss_and_a_new_request) {
  World world;
  world.script = {granted()};
  world.engine.map(world.now(), web_wish());
  world.run(1s);
  world.engine.advance(world.now() + 1000s);  // suspended meanwhile: no deadline was met
  const Actions actions = world.engine.take_actions();
  ASSERT_THAT(actions.events, SizeIs(1));
  EXPECT_TRUE(std::holds_alternative<Lost>(actions.events[0]));
  EXPECT_THAT(actions.send, SizeIs(1));
}

}  // namespace
}  // namespace portolan::client
