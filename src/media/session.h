// SPDX-License-Identifier: BSD-2-Clause
//
// The audio of one call: RTP and RTCP with one other participant. An engine: datagrams and time come in,
// datagrams to send come out.
//
//   session.begin(now, plan);                    and again after each new offer and answer
//   loop: carry out session.take_actions(); wait until session.next_deadline() or a datagram;
//         session.receive_rtp(now, ...) / session.receive_rtcp(now, ...) / session.advance(now)
//
// Timestamps, jitter and reports count by the clock of the codec, samples by the rate of all audio here.
//
// Where a sender's packets come from is where ours go (symmetric RTP, RFC 4961), if nothing comes from where
// its description says. A participant may echo our own packets, so one with our SSRC is no collision
// (RFC 3550 s8.2 would have it so) but a sender like others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/random.h"
#include "base/time.h"
#include "media/audio.h"
#include "media/codec.h"
#include "media/jitter_buffer.h"
#include "media/reception.h"
#include "media/rtcp.h"
#include "media/telephone_event.h"

namespace portolan::media {

/// What both sides agreed on.
struct Plan {
  Codec codec = Codec::pcmu;
  /// As the other side's description has it, and as ours has it. What comes should have ours
  /// (RFC 3264 s5.1), and may have either.
  std::uint8_t payload_type = 0;
  std::uint8_t own_payload_type = 0;
  /// Of their decoder, if the codec is Opus.
  OpusWishes opus_wishes;
  /// Of telephone-event; nothing: digits can't be sent.
  std::optional<std::uint8_t> event_payload_type;
  /// What its durations count. Its timestamps are the audio's, whatever that is (RFC 4733 s2.1).
  std::uint32_t event_clock_rate = sample_rate;
  /// As our description has it; first the one that goes with `event_payload_type`.
  std::vector<std::uint8_t> own_event_payload_types;
  Endpoint remote_rtp;
  Endpoint remote_rtcp;
  bool sends = true;
  bool receives = true;
  auto operator==(const Plan&) const -> bool = default;
};

struct Statistics {
  std::uint64_t packets_sent = 0;
  std::uint64_t octets_sent = 0;
  std::uint64_t packets_received = 0;
  std::uint64_t packets_expected = 0;
  std::int64_t packets_lost = 0;
  std::uint64_t packets_late = 0;         ///< for the jitter buffer
  std::uint64_t packets_malformed = 0;    ///< no RTP, or no RTCP
  std::uint64_t packets_unknown = 0;      ///< RTP of a payload type that was not agreed on
  std::uint64_t packets_undecodable = 0;  ///< RTP whose payload is none of its codec's
  std::uint64_t packets_stray = 0;        ///< RTP of a source that did not send two in a row yet
  std::uint64_t packets_unwanted = 0;     ///< RTP while nothing is to be received
  std::uint64_t reports_sent = 0;
  std::uint64_t reports_received = 0;
  Nanoseconds jitter{0};
  Nanoseconds buffer_delay{0};
  std::optional<Nanoseconds> round_trip;
  /// What the other side last told of our packets.
  std::optional<ReportBlock> told;
  /// Where packets go.
  Endpoint remote_rtp;
};

struct MediaSend {
  bool is_rtcp = false;
  Endpoint to;
  std::vector<std::byte> datagram;
};

struct MediaActions {
  std::vector<MediaSend> send;
  /// Digits that were heard.
  std::string digits;
  bool is_bye = false;  ///< the other side's media ended
};

/// Both clocks of one moment.
struct MediaTime {
  TimePoint now;
  Nanoseconds wall{0};  ///< since 1970, for senders' reports
};

class Session {
 public:
  /// A packet carries this much.
  static constexpr Milliseconds packet_time{20};
  static constexpr std::size_t packet_samples = sample_rate * 20 / 1000;
  /// Packets that are sent at once at most, when the program was late; older ones are left out.
  static constexpr unsigned catch_up_max = 5;
  /// With two participants, bandwidth never asks for more than the minimum (RFC 3550 s6.2, s6.3.1).
  static constexpr Milliseconds report_interval{5000};
  /// Samples that are recorded at most: an hour; what comes then is not kept.
  static constexpr std::size_t recording_samples_max = std::size_t{sample_rate} * 3600;

  /// `random` is borrowed for the session's life. `canonical_name` tells us apart (RFC 3550 s6.5.1).
  Session(std::string canonical_name, Random& random);

  /// Begins, or goes on by another plan.
  void begin(const MediaTime& time, const Plan& plan);
  void set_source(AudioSource source) { source_ = std::move(source); }
  /// `listener` is called with what is heard, a packet's time of it each.
  void set_listener(std::function<void(std::span<const std::int16_t>)> listener) {
    listener_ = std::move(listener);
  }
  /// Keeps what is heard from now on.
  void record() { is_recording_ = true; }
  /// Silence goes out in place of the source, or with `mutes` nothing at all.
  void mute(bool mutes) { is_mute_ = mutes; }
  /// Out  false: no telephone-event was agreed on, one is no digit, or too many wait
  auto send_digits(std::string_view digits) -> bool;
  /// Sends a last report that says that we leave (RFC 3550 s6.6).
  void end(const MediaTime& time);

  void receive_rtp(const MediaTime& time, const Endpoint& from, std::span<const std::byte> datagram);
  void receive_rtcp(const MediaTime& time, const Endpoint& from, std::span<const std::byte> datagram);
  void advance(const MediaTime& time);
  [[nodiscard]] auto next_deadline() const -> std::optional<TimePoint>;
  [[nodiscard]] auto take_actions() -> MediaActions;

  [[nodiscard]] auto statistics() const -> Statistics;
  [[nodiscard]] auto recording() const -> const std::vector<std::int16_t>& { return recording_; }
  [[nodiscard]] auto plan() const -> const Plan& { return plan_; }

 private:
  enum class Kind : std::uint8_t { audio, event, other };

  [[nodiscard]] auto kind_of(std::uint8_t payload_type) const -> Kind;
  /// Of timestamps, from one packet of ours to the next.
  [[nodiscard]] auto timestamp_step() const -> std::uint32_t;
  void change_codec(Codec codec);
  void change_source();
  void send_packet();
  void hear();
  void send_report(const MediaTime& time, bool is_bye);
  void schedule_report(TimePoint now, bool is_first);
  auto source_of(std::uint32_t ssrc, std::uint16_t sequence_number) -> Reception&;
  void retire();
  void follow(const Endpoint& from);
  void push_rtp(std::uint8_t payload_type, bool marker, std::uint32_t timestamp,
                std::span<const std::byte> payload);

  std::string canonical_name_;
  Random& random_;
  Plan plan_;
  bool is_begun_ = false;
  std::uint32_t ssrc_;
  std::uint16_t sequence_number_;
  std::uint32_t timestamp_;
  bool is_talkspurt_ = true;
  std::optional<TimePoint> next_packet_;
  std::optional<TimePoint> next_report_;
  TimePoint began_;

  AudioSource source_;
  std::unique_ptr<Encoder> encoder_;
  DigitSender digits_;
  DigitReceiver digit_receiver_;
  JitterBuffer buffer_;
  bool is_mute_ = false;
  std::function<void(std::span<const std::int16_t>)> listener_;
  bool is_recording_ = false;
  std::vector<std::int16_t> recording_;

  /// The sender that counts, and another one that may take its place.
  std::optional<Reception> sender_;
  std::optional<Reception> candidate_;
  bool heard_as_described_ = false;
  Endpoint rtp_to_;
  /// Of the sender's last report.
  std::uint32_t last_report_ = 0;
  TimePoint last_report_at_;

  Statistics statistics_;
  /// Of senders before this one.
  std::uint64_t received_before_ = 0;
  std::uint64_t expected_before_ = 0;
  /// Of jitter buffers before this one.
  std::uint64_t late_before_ = 0;
  std::uint64_t undecodable_before_ = 0;
  /// By SSRCs of ours before this one.
  std::uint64_t sent_before_ = 0;
  std::uint64_t octets_before_ = 0;
  MediaActions actions_;
};

}  // namespace portolan::media
