// SPDX-License-Identifier: BSD-2-Clause
#include "media/session.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "media/rtcp.h"
#include "media/rtp.h"
#include "media/telephone_event.h"
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
  explicit Call(Codec codec = Codec::pcmu) {
    left.begin(time(), plan_to(right_rtp, right_rtcp, codec));
    right.begin(time(), plan_to(left_rtp, left_rtcp, codec));
    left.record();
    right.record();
  }
  static auto plan_to(const Endpoint& rtp, const Endpoint& rtcp, Codec codec = Codec::pcmu) -> Plan {
    Plan plan;
    plan.codec = codec;
    plan.payload_type = plan.own_payload_type = static_payload_type(codec).value_or(96);
    plan.event_payload_type = codec == Codec::opus ? 102 : 101;
    plan.event_clock_rate = clock_rate(codec);
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
  std::vector<RtpPacket> sent;         // by the left side, without payloads
  std::vector<RtcpPacket> reports;     // of the left side

 private:
  void move(Session& from, Session& to, const Endpoint& rtp, const Endpoint& rtcp) {
    MediaActions actions = from.take_actions();
    digits += actions.digits;
    byes += actions.is_bye ? 1U : 0U;
    for (const MediaSend& send : actions.send) {
      if (&from == &right && !send.is_rtcp) destinations.push_back(send.to);
      if (&from == &left) keep(send);
      if (send.is_rtcp) {
        to.receive_rtcp(time(), rtcp, send.datagram);
      } else if (unsigned& count = &from == &left ? left_count_ : right_count_;
                 lose_every == 0 || ++count % lose_every != 0) {
        to.receive_rtp(time(), &from == &left && left_seems ? *left_seems : rtp, send.datagram);
      }
    }
  }
  void keep(const MediaSend& send) {
    if (send.is_rtcp) {
      reports.push_back(decode_rtcp(send.datagram).value_or(RtcpPacket{}));
    } else {
      sent.push_back(decode_rtp(send.datagram).value_or(RtpPacket{}));
      sent.back().payload = {};
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

TEST(Session, tones_are_heard_both_ways_by_opus) {
  Call call(Codec::opus);
  call.left.set_source(AudioSource::tone(440));
  call.right.set_source(AudioSource::tone(1000));
  call.run(seconds{10});
  EXPECT_GT(tone_windows(call.right.recording(), 440), 0.97);
  EXPECT_GT(tone_windows(call.left.recording(), 1000), 0.97);
  const Statistics statistics = call.left.statistics();
  EXPECT_NEAR(static_cast<double>(statistics.packets_received), 499, 2);
  EXPECT_EQ(statistics.packets_lost, 0);
  EXPECT_EQ(statistics.packets_undecodable, 0U);
  EXPECT_LT(statistics.octets_sent, 10 * opus_bit_rate / 8 * 12 / 10);
}

TEST(Session, timestamps_and_reports_count_by_the_clock_of_the_codec) {
  for (const Codec codec : {Codec::pcma, Codec::opus}) {
    Call call(codec);
    call.run(seconds{20});
    const std::uint32_t step = clock_rate(codec) / 50;
    ASSERT_GT(call.sent.size(), 900U);
    for (std::size_t i = 1; i < call.sent.size(); ++i)
      ASSERT_EQ(call.sent[i].timestamp - call.sent[i - 1].timestamp, step);
    ASSERT_GE(call.reports.size(), 3U);
    const SenderInfo& one = call.reports[1].sender.value();
    const SenderInfo& other = call.reports[2].sender.value();
    const auto between_s = static_cast<double>(other.ntp_time - one.ntp_time) / 4294967296.0;
    EXPECT_NEAR((other.rtp_timestamp - one.rtp_timestamp) / between_s, clock_rate(codec), step);
    EXPECT_LE(call.right.statistics().jitter, milliseconds{5});
  }
}

TEST(Session, jitter_is_the_same_time_by_every_clock) {
  for (const Codec codec : {Codec::pcmu, Codec::opus}) {
    SeededRandom random{7};
    Session session("jitter", random);
    MediaTime time{.now = TimePoint{seconds{1}}};
    session.begin(time, Call::plan_to(right_rtp, right_rtcp, codec));
    const Plan plan = session.plan();
    // Every other packet is 16 ms late.
    for (std::uint16_t i = 0; i < 200; ++i) {
      const std::array<std::byte, 1> payload{std::byte{0x08}};
      std::array<std::byte, 13> packet{};
      static_cast<void>(encode_rtp({.payload_type = plan.payload_type,
                                    .sequence_number = i,
                                    .timestamp = std::uint32_t{i} * (clock_rate(codec) / 50),
                                    .ssrc = 9,
                                    .payload = payload},
                                   packet));
      MediaTime arrival = time;
      arrival.now += i * milliseconds{20} + (i % 2 == 0 ? milliseconds{16} : milliseconds{0});
      session.receive_rtp(arrival, right_rtp, packet);
    }
    EXPECT_NEAR(std::chrono::duration<double>(session.statistics().jitter).count(), 0.016, 0.002)
        << to_string(codec);
  }
}

/// Samples of the longest silence in a recording, of what is behind its first second.
auto longest_silence(const std::vector<std::int16_t>& recording) -> std::size_t {
  std::size_t longest = 0;
  std::size_t silent = 0;
  for (const std::int16_t sample : std::span(recording).subspan(sample_rate)) {
    silent = std::abs(int{sample}) < 100 ? silent + 1 : 0;
    longest = std::max(longest, silent);
  }
  return longest;
}

TEST(Session, lost_packets_are_silence_by_g711_and_concealed_by_opus) {
  for (const Codec codec : {Codec::pcmu, Codec::opus}) {
    Call call(codec);
    call.lose_every = 10;
    call.left.set_source(AudioSource::tone(440));
    call.run(seconds{10});
    EXPECT_GT(call.right.statistics().packets_lost, 40);
    const double share = tone_windows(call.right.recording(), 440);
    if (codec == Codec::pcmu) {
      EXPECT_GT(share, 0.95);
      EXPECT_GE(longest_silence(call.right.recording()), Session::packet_samples);
    } else {
      // The tone goes on behind the loss where its period does not: windows with such a seam have less of it.
      EXPECT_GT(share, 0.8);
      EXPECT_LT(longest_silence(call.right.recording()), Session::packet_samples / 2);
    }
  }
}

TEST(Session, payloads_that_are_none_of_the_codec_are_counted_and_the_call_goes_on) {
  Call call(Codec::opus);
  call.left.set_source(AudioSource::tone(440));
  call.run(seconds{2});
  ASSERT_FALSE(call.sent.empty());
  const RtpPacket last = call.sent.back();
  const std::array<std::byte, 4> odd{std::byte{0x09}, std::byte{1}, std::byte{2}, std::byte{3}};
  std::array<std::byte, 16> bad{};
  for (std::uint16_t i = 0; i < 5; ++i) {
    static_cast<void>(encode_rtp({.payload_type = 96,
                                  .sequence_number = last.sequence_number,
                                  .timestamp = last.timestamp + std::uint32_t{i},
                                  .ssrc = last.ssrc,
                                  .payload = odd},
                                 bad));
    call.right.receive_rtp(call.time(), left_rtp, bad);
  }
  EXPECT_EQ(call.right.statistics().packets_undecodable, 5U);
  call.run(seconds{2});
  EXPECT_EQ(call.right.statistics().packets_undecodable, 5U);
  EXPECT_GT(tone_windows(call.right.recording(), 440), 0.9);
}

TEST(Session, a_codec_of_another_clock_makes_it_another_source) {
  Call call;
  call.left.set_source(AudioSource::tone(440));
  call.run(seconds{6});
  const RtpPacket before = call.sent.back();
  const std::uint64_t received = call.right.statistics().packets_received;
  call.left.begin(call.time(), Call::plan_to(right_rtp, right_rtcp, Codec::opus));
  call.right.begin(call.time(), Call::plan_to(left_rtp, left_rtcp, Codec::opus));
  const std::size_t first = call.sent.size();
  call.run(seconds{8});
  EXPECT_NE(call.sent.back().ssrc, before.ssrc);
  EXPECT_TRUE(call.sent.at(first).marker);
  const RtcpPacket& report = call.reports.back();
  EXPECT_EQ(report.ssrc, call.sent.back().ssrc);
  EXPECT_LE(report.sender.value().packets, 401U) << "what went before is another source's";
  EXPECT_NEAR(static_cast<double>(call.right.statistics().packets_received - received), 399, 3);
  EXPECT_EQ(call.right.statistics().packets_lost, 0);
  EXPECT_GT(tone_windows(call.right.recording(), 440), 0.95);
  // By the same clock it stays who it was.
  const std::uint32_t ssrc = call.sent.back().ssrc;
  Plan fewer = Call::plan_to(right_rtp, right_rtcp, Codec::opus);
  fewer.opus_wishes.bit_rate_max = 8000;
  call.left.begin(call.time(), fewer);
  call.run(seconds{1});
  EXPECT_EQ(call.sent.back().ssrc, ssrc);
}

TEST(Session, our_numbers_go_before_theirs) {
  SeededRandom random{1};
  Session session("numbers", random);
  MediaTime time{.now = TimePoint{seconds{1}}};
  Plan plan = Call::plan_to(right_rtp, right_rtcp, Codec::opus);
  plan.payload_type = 101;
  plan.own_payload_type = 96;
  plan.event_payload_type = 96;
  plan.own_event_payload_types = {101, 102};
  session.begin(time, plan);
  const auto receive = [&](std::uint8_t payload_type, std::uint16_t sequence_number) {
    const std::array<std::byte, 4> digit = encode_telephone_event({.event = 5});
    std::array<std::byte, 16> packet{};
    static_cast<void>(encode_rtp({.payload_type = payload_type,
                                  .sequence_number = sequence_number,
                                  .timestamp = std::uint32_t{sequence_number} * 960,
                                  .ssrc = 9,
                                  .payload = digit},
                                 packet));
    session.receive_rtp(time, right_rtp, packet);
  };
  receive(96, 1);
  receive(96, 2);
  EXPECT_EQ(session.take_actions().digits, "");
  receive(101, 3);
  receive(102, 4);
  EXPECT_EQ(session.take_actions().digits, "55");
  EXPECT_EQ(session.statistics().packets_unknown, 0U);
}

TEST(Session, digits_last_as_long_as_their_clock_says) {
  struct Case {
    std::uint32_t clock_rate;
    std::uint16_t duration;
  };
  for (const Case& each : {Case{48000, 4800}, Case{8000, 800}}) {
    SeededRandom random{1};
    Session session("digits", random);
    MediaTime time{.now = TimePoint{seconds{1}}};
    Plan plan = Call::plan_to(right_rtp, right_rtcp, Codec::opus);
    plan.event_clock_rate = each.clock_rate;
    session.begin(time, plan);
    ASSERT_TRUE(session.send_digits("7"));
    std::uint16_t duration = 0;
    std::optional<std::uint32_t> began;
    for (unsigned i = 0; i < 20; ++i) {
      session.advance(time);
      time.now += Session::packet_time;
      for (const MediaSend& send : session.take_actions().send) {
        const auto packet = decode_rtp(send.datagram);
        if (send.is_rtcp || packet->payload_type != 102) continue;
        if (!began) began = packet->timestamp;
        EXPECT_EQ(packet->timestamp, *began);
        duration = decode_telephone_event(packet->payload)->duration;
      }
    }
    EXPECT_EQ(duration, each.duration);
  }
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
  Call other(Codec::opus);
  ASSERT_TRUE(other.left.send_digits("42#"));
  other.run(seconds{3});
  EXPECT_EQ(other.digits, "42#");
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

TEST(Session, what_is_left_out_is_whole_packets) {
  Call call(Codec::opus);
  call.run(seconds{1});
  const std::size_t before = call.sent.size();
  const RtpPacket last = call.sent.back();
  call.left.mute(true);
  call.run(milliseconds{205});
  call.left.mute(false);
  call.run(milliseconds{100});
  const RtpPacket next = call.sent.at(before);
  EXPECT_EQ(next.sequence_number, static_cast<std::uint16_t>(last.sequence_number + 1));
  EXPECT_EQ(next.timestamp - last.timestamp, 11U * 960U);
  EXPECT_TRUE(next.marker);
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
