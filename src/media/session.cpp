// SPDX-License-Identifier: BSD-2-Clause
#include "media/session.h"

#include <algorithm>
#include <array>
#include <utility>

#include "media/rtp.h"

namespace portolan::media {
namespace {

/// From 1900, where NTP's time begins, to 1970.
constexpr std::uint64_t ntp_offset_s = 2208988800U;
constexpr std::uint64_t nanoseconds_a_second = 1'000'000'000U;
/// What randomising takes off on the average (RFC 3550 s6.3.1).
constexpr double compensation = 1.21828;
constexpr std::uint64_t ntp_middle_mask = 0xffffffffU;

auto ntp_time(Nanoseconds wall) -> std::uint64_t {
  const auto count = static_cast<std::uint64_t>(std::max(wall, Nanoseconds{0}).count());
  const std::uint64_t seconds = count / nanoseconds_a_second + ntp_offset_s;
  const std::uint64_t rest = count % nanoseconds_a_second;
  return seconds << 32U | (rest << 32U) / nanoseconds_a_second;
}

/// The middle 32 bits, which reports refer to each other by (RFC 3550 s4).
auto ntp_middle(std::uint64_t ntp) -> std::uint32_t {
  return static_cast<std::uint32_t>(ntp >> 16U & ntp_middle_mask);
}

/// Seconds apart, so that it does not overflow in a call of some days.
auto in_timestamps(Nanoseconds time, std::uint32_t clock_rate) -> std::uint32_t {
  const auto count = static_cast<std::uint64_t>(time.count());
  const std::uint64_t seconds = count / nanoseconds_a_second;
  const std::uint64_t rest = count % nanoseconds_a_second;
  return static_cast<std::uint32_t>(seconds * clock_rate + rest * clock_rate / nanoseconds_a_second);
}

auto from_timestamps(std::uint32_t units, std::uint32_t clock_rate) -> Nanoseconds {
  return Nanoseconds{static_cast<Nanoseconds::rep>(units * nanoseconds_a_second / clock_rate)};
}

auto in_65536ths(Nanoseconds time) -> std::uint32_t {
  return static_cast<std::uint32_t>((static_cast<std::uint64_t>(time.count()) << 16U) / nanoseconds_a_second);
}

auto from_65536ths(std::uint32_t units) -> Nanoseconds {
  return Nanoseconds{static_cast<Nanoseconds::rep>((std::uint64_t{units} * nanoseconds_a_second) >> 16U)};
}

/// A round trip that is longer says that a clock was set.
constexpr Nanoseconds round_trip_max = std::chrono::seconds{60};

}  // namespace

Session::Session(std::string canonical_name, Random& random)
    : canonical_name_(std::move(canonical_name)),
      random_(random),
      ssrc_(static_cast<std::uint32_t>(random.next())),
      sequence_number_(static_cast<std::uint16_t>(random.next())),
      timestamp_(static_cast<std::uint32_t>(random.next())),
      encoder_(make_encoder(plan_.codec, plan_.opus_wishes)),
      buffer_(make_decoder(plan_.codec), clock_rate(plan_.codec)) {}

void Session::begin(const MediaTime& time, const Plan& plan) {
  if (!is_begun_) {
    began_ = time.now;
    next_packet_ = time.now;
    schedule_report(time.now, true);
    is_begun_ = true;
  }
  if (plan.remote_rtp != plan_.remote_rtp || rtp_to_.port.value == 0) {
    rtp_to_ = plan.remote_rtp;
    heard_as_described_ = false;
  }
  if (plan.codec != plan_.codec || plan.opus_wishes != plan_.opus_wishes)
    encoder_ = make_encoder(plan.codec, plan.opus_wishes);
  if (plan.codec != plan_.codec) change_codec(plan.codec);
  plan_ = plan;
}

/// Before the plan does.
void Session::change_codec(Codec codec) {
  late_before_ += buffer_.late();
  undecodable_before_ += buffer_.undecodable();
  buffer_ = JitterBuffer(make_decoder(codec), clock_rate(codec));
  if (clock_rate(codec) != clock_rate(plan_.codec)) change_source();
}

/// Timestamps of one source are of one clock (RFC 7160), so by another clock we are another one; the other
/// side, if it is still the same, is to be measured anew.
void Session::change_source() {
  ssrc_ = static_cast<std::uint32_t>(random_.next());
  sequence_number_ = static_cast<std::uint16_t>(random_.next());
  timestamp_ = static_cast<std::uint32_t>(random_.next());
  sent_before_ = statistics_.packets_sent;
  octets_before_ = statistics_.octets_sent;
  is_talkspurt_ = true;
  retire();
  candidate_.reset();
  last_report_ = 0;
}

auto Session::timestamp_step() const -> std::uint32_t {
  return std::uint32_t{packet_samples} * (clock_rate(plan_.codec) / sample_rate);
}

auto Session::send_digits(std::string_view digits) -> bool {
  return plan_.event_payload_type && digits_.add(digits);
}

void Session::end(const MediaTime& time) {
  if (!is_begun_) return;
  send_report(time, true);
  is_begun_ = false;
  next_packet_.reset();
  next_report_.reset();
}

void Session::retire() {
  if (!sender_) return;
  received_before_ += sender_->received_in_all();
  expected_before_ += sender_->expected_in_all();
  sender_.reset();
}

auto Session::source_of(std::uint32_t ssrc, std::uint16_t sequence_number) -> Reception& {
  if (sender_ && sender_->ssrc() == ssrc) return *sender_;
  if (!candidate_ || candidate_->ssrc() != ssrc) candidate_.emplace(ssrc, sequence_number);
  return *candidate_;
}

void Session::follow(const Endpoint& from) {
  if (from == plan_.remote_rtp) {
    heard_as_described_ = true;
    rtp_to_ = plan_.remote_rtp;
  } else if (!heard_as_described_) {
    rtp_to_ = from;
  }
}

void Session::receive_rtp(const MediaTime& time, const Endpoint& from, std::span<const std::byte> datagram) {
  const auto packet = decode_rtp(datagram);
  if (!packet) {
    ++statistics_.packets_malformed;
    return;
  }
  if (!is_begun_ || !plan_.receives) {
    ++statistics_.packets_unwanted;
    return;
  }
  const Kind kind = kind_of(packet->payload_type);
  if (kind == Kind::other) {
    ++statistics_.packets_unknown;
    return;
  }
  Reception& source = source_of(packet->ssrc, packet->sequence_number);
  // All packets of an event have the time when it began (RFC 4733 s2.2.1).
  const bool counts = kind == Kind::event
                          ? source.receive(packet->sequence_number)
                          : source.receive(packet->sequence_number, packet->timestamp,
                                           in_timestamps(time.now - began_, clock_rate(plan_.codec)));
  if (!counts) {
    ++statistics_.packets_stray;
    return;
  }
  if (&source == (candidate_ ? &*candidate_ : nullptr)) {
    retire();
    sender_ = std::exchange(candidate_, {});
    last_report_ = 0;
  }
  follow(from);
  if (kind == Kind::audio) {
    buffer_.put(packet->timestamp, packet->payload);
  } else if (const auto digit = digit_receiver_.receive(packet->timestamp, packet->payload)) {
    actions_.digits += *digit;
  }
}

/// Our own description goes first: numbers of theirs may mean something else in it.
auto Session::kind_of(std::uint8_t payload_type) const -> Kind {
  if (payload_type == plan_.own_payload_type) return Kind::audio;
  const auto& events = plan_.own_event_payload_types;
  if (std::ranges::find(events, payload_type) != events.end()) return Kind::event;
  if (payload_type == plan_.payload_type) return Kind::audio;
  if (payload_type == plan_.event_payload_type) return Kind::event;
  return Kind::other;
}

void Session::receive_rtcp(const MediaTime& time, const Endpoint& from, std::span<const std::byte> datagram) {
  static_cast<void>(from);
  const auto packet = decode_rtcp(datagram);
  if (!packet) {
    ++statistics_.packets_malformed;
    return;
  }
  ++statistics_.reports_received;
  if (packet->sender && sender_ && sender_->ssrc() == packet->ssrc) {
    last_report_ = ntp_middle(packet->sender->ntp_time);
    last_report_at_ = time.now;
  }
  for (const ReportBlock& block : packet->blocks) {
    if (block.ssrc != ssrc_) continue;
    statistics_.told = block;
    if (block.last_report == 0) continue;
    // RFC 3550 s6.4.1: now, less when we sent it, less how long it lay there.
    const std::uint32_t took = ntp_middle(ntp_time(time.wall)) - block.last_report - block.delay;
    if (const Nanoseconds round_trip = from_65536ths(took); round_trip <= round_trip_max)
      statistics_.round_trip = round_trip;
  }
  if (packet->is_bye) actions_.is_bye = true;
}

void Session::push_rtp(std::uint8_t payload_type, bool marker, std::uint32_t timestamp,
                       std::span<const std::byte> payload) {
  MediaSend send{.is_rtcp = false,
                 .to = rtp_to_,
                 .datagram = std::vector<std::byte>(rtp_header_octets + payload.size())};
  const RtpPacket packet{.payload_type = payload_type,
                         .marker = marker,
                         .sequence_number = sequence_number_++,
                         .timestamp = timestamp,
                         .ssrc = ssrc_,
                         .payload = payload};
  static_cast<void>(encode_rtp(packet, send.datagram));
  ++statistics_.packets_sent;
  statistics_.octets_sent += payload.size();
  actions_.send.push_back(std::move(send));
}

void Session::send_packet() {
  std::array<std::int16_t, packet_samples> samples{};
  source_.read(samples);
  const std::uint32_t timestamp = timestamp_;
  timestamp_ += timestamp_step();
  if (!plan_.sends || is_mute_ || rtp_to_.port.value == 0) {
    is_talkspurt_ = true;
    return;
  }
  if (plan_.event_payload_type) {
    const auto duration =
        static_cast<std::uint16_t>(plan_.event_clock_rate / sample_rate * std::uint32_t{packet_samples});
    if (const auto digit = digits_.next(timestamp, duration)) {
      push_rtp(*plan_.event_payload_type, digit->marker, digit->timestamp,
               encode_telephone_event(digit->event));
      return;
    }
  }
  std::array<std::byte, payload_octets_max> payload{};
  const std::size_t octets = encoder_->encode(samples, payload);
  push_rtp(plan_.payload_type, std::exchange(is_talkspurt_, false), timestamp,
           std::span(payload).first(octets));
}

void Session::hear() {
  std::array<std::int16_t, packet_samples> samples{};
  static_cast<void>(buffer_.take(samples));
  if (listener_) listener_(samples);
  if (is_recording_ && recording_.size() < recording_samples_max)
    recording_.insert(recording_.end(), samples.begin(), samples.end());
}

void Session::schedule_report(TimePoint now, bool is_first) {
  const double interval_s = static_cast<double>(report_interval.count()) / 1000 * (is_first ? 0.5 : 1.0);
  const double wait_s = interval_s * random_.uniform(0.5, 1.5) / compensation;
  next_report_ = now + Nanoseconds{static_cast<Nanoseconds::rep>(wait_s * 1e9)};
}

void Session::send_report(const MediaTime& time, bool is_bye) {
  if (plan_.remote_rtcp.port.value == 0) return;
  RtcpPacket packet;
  packet.ssrc = ssrc_;
  packet.canonical_name = canonical_name_;
  packet.is_bye = is_bye;
  if (const std::uint64_t sent = statistics_.packets_sent - sent_before_; sent > 0) {
    packet.sender =
        SenderInfo{.ntp_time = ntp_time(time.wall),
                   .rtp_timestamp = timestamp_,
                   .packets = static_cast<std::uint32_t>(sent),
                   .octets = static_cast<std::uint32_t>(statistics_.octets_sent - octets_before_)};
  }
  if (sender_ && sender_->is_valid()) {
    ReportBlock block = sender_->report();
    block.last_report = last_report_;
    if (last_report_ != 0) block.delay = in_65536ths(time.now - last_report_at_);
    packet.blocks.push_back(block);
  }
  ++statistics_.reports_sent;
  actions_.send.push_back({.is_rtcp = true, .to = plan_.remote_rtcp, .datagram = encode_rtcp(packet)});
}

void Session::advance(const MediaTime& time) {
  if (!is_begun_) return;
  // After a long stop, as of a machine that slept, what should have been sent meanwhile is left out.
  if (next_packet_ && time.now - *next_packet_ > catch_up_max * packet_time) {
    const auto left_out = static_cast<std::uint64_t>((time.now - *next_packet_) / packet_time);
    timestamp_ += static_cast<std::uint32_t>(left_out) * timestamp_step();
    *next_packet_ += left_out * packet_time;
  }
  while (next_packet_ && *next_packet_ <= time.now) {
    *next_packet_ += packet_time;
    send_packet();
    hear();
  }
  if (next_report_ && *next_report_ <= time.now) {
    send_report(time, false);
    schedule_report(time.now, false);
  }
}

auto Session::next_deadline() const -> std::optional<TimePoint> {
  if (!next_packet_) return next_report_;
  if (!next_report_) return next_packet_;
  return std::min(*next_packet_, *next_report_);
}

auto Session::take_actions() -> MediaActions { return std::exchange(actions_, {}); }

auto Session::statistics() const -> Statistics {
  Statistics now = statistics_;
  now.packets_received = received_before_ + (sender_ ? sender_->received_in_all() : 0);
  now.packets_expected = expected_before_ + (sender_ ? sender_->expected_in_all() : 0);
  now.packets_lost =
      static_cast<std::int64_t>(now.packets_expected) - static_cast<std::int64_t>(now.packets_received);
  now.packets_late = late_before_ + buffer_.late();
  now.packets_undecodable = undecodable_before_ + buffer_.undecodable();
  if (sender_) now.jitter = from_timestamps(sender_->jitter(), clock_rate(plan_.codec));
  now.buffer_delay = from_timestamps(buffer_.delay(), sample_rate);
  now.remote_rtp = rtp_to_;
  return now;
}

}  // namespace portolan::media
