// SPDX-License-Identifier: BSD-2-Clause
#include "media/session.h"

#include <array>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "media/rtp.h"
#include "media/tone.h"

namespace portolan::media {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

auto endpoint(const char* address, std::uint16_t port) -> Endpoint {
  return {.address = *IpAddress::parse(address), .port = Port{port}};
}

const Endpoint left_rtp = endpoint("2001:db8::1", 7078);
const Endpoint left_rtcp = endpoint("2001:db8::1", 7091);
const Endpoint right_rtp = endpoint("2001:db8::2", 6000);
const Endpoint right_rtcp = endpoint("2001:db8::2", 6001);

/// Two sessions and a link between them, on a time line of its own.
class Call {
 public:
  Call() {
    left.begin(time(), plan_to(right_rtp, right_rtcp));
    right.begin(time(), plan_to(left_rtp, left_rtcp));
    left.record();
    right.record();
  }
  static auto plan_to(const Endpoint& rtp, const Endpoint& rtcp) -> Plan {
    Plan plan;
    plan.event_payload_type = 101;
    plan.remote_rtp = rtp;
    plan.remote_rtcp = rtcp;
    return plan;
  }
  [[nodiscard]] auto time() const -> MediaTime {
    return {.now = now_, .wall = seconds{1'700'000'000} + now_.time_since_epoch()};
  }

  void run(Nanoseconds duration) {
    const TimePoint end = now_ + duration;
    while (now_ < end) {
      now_ += milliseconds{5};
      left.advance(time());
      right.advance(time());
      move(left, right, left_rtp, left_rtcp);
      move(right, left, right_rtp, right_rtcp);
    }
  }
  /// Of each `lose_every` RTP packets one is lost, if not 0.
  unsigned lose_every = 0;
  /// Where the left side's packets seem to come from.
  std::optional<Endpoint> left_seems;
  SeededRandom random{42};
  Session left{"left", random};
  Session right{"right", random};
  std::string digits;
  unsigned byes = 0;
  std::vector<Endpoint> destinations;  // of the right side's RTP

 private:
  void move(Session& from, Session& to, const Endpoint& rtp, const Endpoint& rtcp) {
    MediaActions actions = from.take_actions();
    digits += actions.digits;
    byes += actions.is_bye ? 1U : 0U;
    for (const MediaSend& send : actions.send) {
      if (&from == &right && !send.is_rtcp) destinations.push_back(send.to);
      if (send.is_rtcp) {
        to.receive_rtcp(time(), rtcp, send.datagram);
      } else if (unsigned& count = &from == &left ? left_count_ : right_count_;
                 lose_every == 0 || ++count % lose_every != 0) {
        to.receive_rtp(time(), &from == &left && left_seems ? *left_seems : rtp, send.datagram);
      }
    }
  }
  TimePoint now_{seconds{100}};
  unsigned left_count_ = 0;
  unsigned right_count_ = 0;
};

TEST(Session, tones_are_heard_both_ways) {
  Call call;
  call.left.set_source(AudioSource::tone(440));
  call.right.set_source(AudioSource::tone(1000));
  call.run(seconds{10});
  EXPECT_GT(tone_windows(call.right.recording(), 440), 0.98);
  EXPECT_GT(tone_windows(call.left.recording(), 1000), 0.98);
  const Statistics statistics = call.left.statistics();
  EXPECT_NEAR(static_cast<double>(statistics.packets_sent), 500, 2);
  EXPECT_NEAR(static_cast<double>(statistics.packets_received), 499, 2);
  EXPECT_EQ(statistics.packets_lost, 0);
  EXPECT_EQ(statistics.packets_stray, 1U);
}

TEST(Session, reports_tell_loss_and_round_trip) {
  Call call;
  call.lose_every = 10;
  call.run(seconds{60});
  const Statistics statistics = call.left.statistics();
  EXPECT_GE(statistics.reports_sent, 8U);
  EXPECT_GE(statistics.reports_received, 8U);
  ASSERT_TRUE(statistics.told);
  EXPECT_NEAR(statistics.told->fraction_lost, 25, 13);
  EXPECT_NEAR(static_cast<double>(statistics.packets_lost), 300, 35);
  ASSERT_TRUE(statistics.round_trip);
  EXPECT_LE(*statistics.round_trip, milliseconds{20});
}

TEST(Session, digits_arrive) {
  Call call;
  ASSERT_TRUE(call.left.send_digits("42#"));
  call.run(seconds{3});
  EXPECT_EQ(call.digits, "42#");
  EXPECT_FALSE(call.left.send_digits("no digits"));
}

TEST(Session, who_is_mute_sends_nothing_and_hears) {
  Call call;
  call.left.mute(true);
  call.right.set_source(AudioSource::tone(440));
  call.run(seconds{5});
  EXPECT_EQ(call.left.statistics().packets_sent, 0U);
  EXPECT_EQ(call.right.statistics().packets_received, 0U);
  EXPECT_GT(tone_windows(call.left.recording(), 440), 0.95);
}

TEST(Session, on_hold_nothing_is_sent_and_what_comes_is_not_wanted) {
  Call call;
  call.run(seconds{1});
  Plan held = Call::plan_to(right_rtp, right_rtcp);
  held.sends = held.receives = false;
  call.left.begin(call.time(), held);
  const std::uint64_t before = call.left.statistics().packets_sent;
  call.run(seconds{1});
  EXPECT_EQ(call.left.statistics().packets_sent, before);
  EXPECT_GT(call.left.statistics().packets_unwanted, 40U);
}

TEST(Session, packets_go_where_the_other_side_s_come_from_if_none_come_from_where_it_says) {
  Call call;
  call.left_seems = endpoint("2001:db8:64::9", 12054);
  call.run(seconds{1});
  EXPECT_EQ(call.destinations.back(), *call.left_seems);
  call.left_seems.reset();
  call.run(seconds{1});
  EXPECT_EQ(call.destinations.back(), left_rtp);
  call.left_seems = endpoint("2001:db8:64::9", 12054);
  call.run(seconds{1});
  EXPECT_EQ(call.destinations.back(), left_rtp) << "it was heard where it said";
}

TEST(Session, one_stray_packet_moves_nothing) {
  Call call;
  const std::array<std::byte, 160> silence{};
  std::array<std::byte, 172> stray{};
  static_cast<void>(encode_rtp({.ssrc = 77, .payload = silence}, stray));
  call.run(seconds{1});
  call.right.receive_rtp(call.time(), endpoint("2001:db8:bad::1", 9), stray);
  call.run(seconds{1});
  EXPECT_EQ(call.destinations.back(), left_rtp);
  EXPECT_GE(call.right.statistics().packets_stray, 2U);
  EXPECT_EQ(call.right.statistics().packets_lost, 0);
}

TEST(Session, what_is_of_no_use_is_counted_by_its_reason) {
  Call call;
  const std::array<std::byte, 5> noise{};
  call.left.receive_rtp(call.time(), right_rtp, noise);
  call.left.receive_rtcp(call.time(), right_rtcp, noise);
  EXPECT_EQ(call.left.statistics().packets_malformed, 2U);
  std::array<std::byte, 12> other{};
  static_cast<void>(encode_rtp({.payload_type = 34}, other));
  call.left.receive_rtp(call.time(), right_rtp, other);
  EXPECT_EQ(call.left.statistics().packets_unknown, 1U);
}

TEST(Session, a_sender_that_begins_anew_is_counted_on) {
  Call call;
  call.run(seconds{1});
  const std::uint64_t before = call.right.statistics().packets_received;
  Session again("again", call.random);
  again.begin(call.time(), Call::plan_to(right_rtp, right_rtcp));
  again.set_source(AudioSource::tone(440));
  for (unsigned i = 0; i < 50; ++i) {
    MediaTime time = call.time();
    time.now += i * milliseconds{20};
    again.advance(time);
    for (const MediaSend& send : again.take_actions().send)
      if (!send.is_rtcp) call.right.receive_rtp(time, left_rtp, send.datagram);
  }
  EXPECT_EQ(call.right.statistics().packets_received, before + 49);
  EXPECT_EQ(call.right.statistics().packets_lost, 0);
}

TEST(Session, a_program_that_was_late_sends_what_it_missed_up_to_a_limit) {
  for (const unsigned missed :
       {Session::catch_up_max - 1, Session::catch_up_max, Session::catch_up_max + 1}) {
    SeededRandom random{1};
    Session session("late", random);
    MediaTime time{.now = TimePoint{seconds{1}}};
    session.begin(time, Call::plan_to(right_rtp, right_rtcp));
    time.now += missed * Session::packet_time;
    session.advance(time);
    EXPECT_EQ(session.statistics().packets_sent, missed > Session::catch_up_max ? 1U : missed + 1) << missed;
  }
}

TEST(Session, the_last_report_says_goodbye) {
  Call call;
  call.run(seconds{1});
  call.left.end(call.time());
  EXPECT_FALSE(call.left.next_deadline());
  call.run(milliseconds{10});
  EXPECT_EQ(call.byes, 1U);
}

}  // namespace
}  // namespace portolan::media
