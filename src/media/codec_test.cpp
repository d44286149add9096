// SPDX-License-Identifier: BSD-2-Clause
#include "media/codec.h"

#include <opus.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"
#include "media/tone.h"

namespace portolan::media {
namespace {

using Payload = std::vector<std::byte>;

constexpr std::size_t packet = sample_rate * 20 / 1000;
/// What coding and decoding delay, and how long they take to settle.
constexpr std::size_t packets_to_settle = 10;

auto encoded(Codec codec, const OpusWishes& wishes, std::span<const std::int16_t> samples)
    -> std::vector<Payload> {
  const auto encoder = make_encoder(codec, wishes);
  std::vector<Payload> payloads;
  for (; samples.size() >= packet; samples = samples.subspan(packet)) {
    Payload payload(payload_octets_max);
    payload.resize(encoder->encode(samples.first(packet), payload));
    payloads.push_back(std::move(payload));
  }
  return payloads;
}

auto encoded_tone(Codec codec, double frequency, std::size_t packets, const OpusWishes& wishes = {})
    -> std::vector<Payload> {
  return encoded(codec, wishes, make_tone(frequency, packets * packet));
}

/// All of them, each of which has to be decodable and of 20 ms.
auto decoded(Decoder& decoder, std::span<const Payload> payloads) -> std::vector<std::int16_t> {
  std::vector<std::int16_t> samples;
  for (const Payload& payload : payloads) {
    std::array<std::int16_t, packet> out{};
    EXPECT_EQ(decoder.length_of(payload), packet);
    EXPECT_TRUE(decoder.decode(payload, out));
    samples.insert(samples.end(), out.begin(), out.end());
  }
  return samples;
}

/// Once it has settled.
auto share_of_tone(std::span<const std::int16_t> samples, double frequency) -> double {
  return tone_share(samples.subspan(packets_to_settle * packet), frequency);
}

auto power_of(std::span<const std::int16_t> samples) -> double {
  double power = 0;
  for (const double each : samples) power += each * each;
  return power / static_cast<double>(samples.size());
}

auto octets_in_all(const std::vector<Payload>& payloads) -> std::size_t {
  std::size_t octets = 0;
  for (const Payload& each : payloads) octets += each.size();
  return octets;
}

TEST(Codec, names_clocks_and_payload_types_are_those_of_the_rfcs) {
  EXPECT_EQ(to_string(Codec::pcmu), "PCMU");
  EXPECT_EQ(to_string(Codec::pcma), "PCMA");
  EXPECT_EQ(to_string(Codec::opus), "opus");
  EXPECT_EQ(clock_rate(Codec::pcma), 8000U);
  EXPECT_EQ(clock_rate(Codec::opus), 48000U);
  EXPECT_EQ(channels(Codec::pcmu), 1U);
  EXPECT_EQ(channels(Codec::opus), 2U);
  EXPECT_EQ(static_payload_type(Codec::pcmu), 0);
  EXPECT_EQ(static_payload_type(Codec::pcma), 8);
  EXPECT_FALSE(static_payload_type(Codec::opus));
}

TEST(Codec, a_tone_comes_back_by_each) {
  for (const Codec codec : {Codec::pcmu, Codec::pcma, Codec::opus}) {
    for (const double frequency : {440.0, 1000.0}) {
      const auto decoder = make_decoder(codec);
      const auto samples = decoded(*decoder, encoded_tone(codec, frequency, 60));
      EXPECT_GT(share_of_tone(samples, frequency), 0.9) << to_string(codec) << " " << frequency;
      EXPECT_LT(share_of_tone(samples, 2 * frequency), 0.05) << to_string(codec) << " " << frequency;
      EXPECT_GT(power_of(samples), 0.2 * power_of(make_tone(frequency, samples.size()))) << to_string(codec);
    }
  }
}

TEST(G711Payload, has_an_octet_for_each_sample_and_silence_for_what_is_lost) {
  const auto decoder = make_decoder(Codec::pcmu);
  EXPECT_FALSE(decoder->length_of({}));
  EXPECT_EQ(decoder->length_of(Payload(333)), 333U);
  std::array<std::int16_t, packet> lost{};
  lost.fill(7);
  decoder->conceal(lost, Payload(packet));
  EXPECT_EQ(lost, (std::array<std::int16_t, packet>{}));
}

TEST(Opus, keeps_to_the_bit_rate_that_the_other_side_can_take) {
  constexpr std::size_t packets = 100;
  constexpr std::size_t bits_of_octet = 8;
  for (const std::uint32_t bit_rate : {8000U, 12000U, opus_bit_rate, 64000U}) {
    const auto payloads = encoded_tone(Codec::opus, 440, packets, {.bit_rate_max = bit_rate});
    const std::size_t bits_a_second = octets_in_all(payloads) * bits_of_octet / (packets / 50);
    EXPECT_LT(static_cast<double>(bits_a_second), 1.1 * std::min(bit_rate, opus_bit_rate)) << bit_rate;
  }
}

TEST(Opus, has_packets_of_one_length_if_the_other_side_wants_that) {
  auto samples = make_tone(440, 25 * packet);
  samples.resize(50 * packet);
  const auto payloads = encoded(Codec::opus, {.constant_bit_rate = true}, samples);
  for (const Payload& each : payloads) EXPECT_EQ(each.size(), payloads.front().size());
}

TEST(Opus, packets_have_telephone_bandwidth_one_channel_and_20_ms_whatever_is_wished) {
  const auto decoder = make_decoder(Codec::opus);
  for (const OpusWishes& wishes : {OpusWishes{}, OpusWishes{.bit_rate_max = 6000},
                                   OpusWishes{.constant_bit_rate = true}, OpusWishes{.in_band_fec = true}}) {
    for (const Payload& each : encoded_tone(Codec::opus, 3000, 50, wishes)) {
      const auto toc = std::to_integer<unsigned>(each.at(0));
      const unsigned configuration = toc >> 3U;
      EXPECT_TRUE(configuration < 4 || (configuration >= 16 && configuration < 20)) << configuration;
      EXPECT_EQ(toc & 4U, 0U);
      EXPECT_EQ(decoder->length_of(each), packet);
    }
  }
}

TEST(Opus, silence_is_sent_as_all_else_is) {
  // A packet of two octets or fewer would be a pause (DTX).
  for (const Payload& each : encoded(Codec::opus, {}, std::vector<std::int16_t>(100 * packet)))
    EXPECT_GT(each.size(), 2U);
}

struct DestroyEncoder {
  void operator()(OpusEncoder* encoder) const { opus_encoder_destroy(encoder); }
};

/// As a phone of 48000 samples a second sends it; of two channels the first one is silent.
auto encoded_elsewhere(std::span<const std::int16_t> samples, int signal, int bandwidth, int channels)
    -> std::vector<Payload> {
  constexpr int frame = 960;
  constexpr unsigned faster = frame / packet;
  int error = OPUS_OK;
  const std::unique_ptr<OpusEncoder, DestroyEncoder> encoder(
      opus_encoder_create(48000, channels, OPUS_APPLICATION_VOIP, &error));
  EXPECT_EQ(error, OPUS_OK);
  const auto set = [&](int what, opus_int32 value) {
    EXPECT_EQ(opus_encoder_ctl(encoder.get(), what, value), OPUS_OK);
  };
  const opus_int32 bit_rate = 24000 * channels;
  set(OPUS_SET_BITRATE(bit_rate));
  set(OPUS_SET_SIGNAL(signal));
  set(OPUS_SET_BANDWIDTH(bandwidth));
  set(OPUS_SET_FORCE_CHANNELS(channels));
  std::vector<Payload> payloads;
  for (; samples.size() >= packet; samples = samples.subspan(packet)) {
    std::vector<std::int16_t> given;
    for (const std::int16_t each : samples.first(packet)) {
      for (unsigned i = 0; i < faster; ++i) {
        if (channels == 2) given.push_back(0);
        given.push_back(each);
      }
    }
    Payload payload(payload_octets_max);
    const opus_int32 octets =
        opus_encode(encoder.get(), given.data(), frame, reinterpret_cast<unsigned char*>(payload.data()),
                    static_cast<opus_int32>(payload.size()));
    EXPECT_GT(octets, 0);
    payload.resize(static_cast<std::size_t>(std::max(octets, 0)));
    payloads.push_back(std::move(payload));
  }
  return payloads;
}

TEST(Opus, every_bandwidth_and_both_channels_are_heard) {
  const auto tone = make_tone(440, 40 * packet);
  for (const int channels : {1, 2}) {
    for (const int signal : {OPUS_SIGNAL_VOICE, OPUS_SIGNAL_MUSIC}) {
      for (const int bandwidth :
           {OPUS_BANDWIDTH_NARROWBAND, OPUS_BANDWIDTH_MEDIUMBAND, OPUS_BANDWIDTH_WIDEBAND,
            OPUS_BANDWIDTH_SUPERWIDEBAND, OPUS_BANDWIDTH_FULLBAND}) {
        const auto payloads = encoded_elsewhere(tone, signal, bandwidth, channels);
        const auto* last = reinterpret_cast<const unsigned char*>(payloads.back().data());
        // Music has no medium band (RFC 6716 s2).
        const bool is_wider = signal == OPUS_SIGNAL_MUSIC && bandwidth == OPUS_BANDWIDTH_MEDIUMBAND;
        EXPECT_EQ(opus_packet_get_bandwidth(last), is_wider ? OPUS_BANDWIDTH_WIDEBAND : bandwidth);
        EXPECT_EQ(opus_packet_get_nb_channels(last), channels);
        const auto decoder = make_decoder(Codec::opus);
        EXPECT_GT(share_of_tone(decoded(*decoder, payloads), 440), 0.9) << signal << " " << bandwidth;
      }
    }
  }
}

TEST(Opus, a_lost_packet_sounds_like_the_one_before) {
  const auto decoder = make_decoder(Codec::opus);
  const auto payloads = encoded_tone(Codec::opus, 440, 40);
  const auto before = decoded(*decoder, std::span(payloads).first(30));
  std::array<std::int16_t, packet> lost{};
  decoder->conceal(lost, {});
  EXPECT_GT(tone_share(lost, 440), 0.7);
  EXPECT_GT(power_of(lost), 0.1 * power_of(std::span(before).last(packet)));
  // And what comes behind two of them soon is as if nothing were.
  const auto behind = decoded(*decoder, std::span(payloads).subspan(32));
  EXPECT_GT(tone_share(std::span(behind).last(5 * packet), 440), 0.8);
}

/// What is heard in place of the first packet of 1200 Hz behind 400 Hz, with the packet behind it at hand:
/// only who is told can know.
auto concealed_onset(const OpusWishes& wishes) -> std::array<std::int16_t, packet> {
  constexpr std::size_t lost = 30;
  auto samples = make_tone(400, lost * packet);
  const auto other = make_tone(1200, 10 * packet);
  samples.insert(samples.end(), other.begin(), other.end());
  const auto payloads = encoded(Codec::opus, wishes, samples);
  const auto decoder = make_decoder(Codec::opus);
  decoded(*decoder, std::span(payloads).first(lost));
  std::array<std::int16_t, packet> heard{};
  decoder->conceal(heard, payloads[lost + 1]);
  return heard;
}

TEST(Opus, packets_tell_of_the_one_before_if_the_other_side_can_use_that) {
  const double told = tone_share(concealed_onset({.in_band_fec = true}), 1200);
  const double not_told = tone_share(concealed_onset({.in_band_fec = false}), 1200);
  EXPECT_GT(told, 0.2);
  EXPECT_LT(not_told, told / 5);
}

TEST(Opus, silence_that_no_frame_can_fill_is_concealed_as_far_as_frames_go) {
  const auto decoder = make_decoder(Codec::opus);
  decoded(*decoder, encoded_tone(Codec::opus, 440, 20));
  for (const std::size_t size : {1UZ, 19UZ, 20UZ, 21UZ, 159UZ, 960UZ, 4096UZ}) {
    std::vector<std::int16_t> lost(size, 7);
    decoder->conceal(lost, {});
    const std::size_t rest = size % 20;
    EXPECT_TRUE(std::ranges::all_of(std::span(lost).last(rest), [](std::int16_t each) { return each == 0; }))
        << size;
  }
}

TEST(Opus, every_length_that_packets_may_have_is_known) {
  const auto decoder = make_decoder(Codec::opus);
  struct Case {
    unsigned char toc;
    std::size_t samples;
  };
  // Of one frame without octets: speech of 10 to 60 ms, both at once of 10 and 20, and music of 2.5 to 20.
  for (const Case& each :
       {Case{0 << 3, 80}, Case{1 << 3, 160}, Case{2 << 3, 320}, Case{3 << 3, 480}, Case{12 << 3, 80},
        Case{13 << 3, 160}, Case{28 << 3, 20}, Case{29 << 3, 40}, Case{30 << 3, 80}, Case{31 << 3, 160}}) {
    EXPECT_EQ(decoder->length_of(Payload{std::byte{each.toc}}), each.samples) << int{each.toc};
    std::vector<std::int16_t> samples(each.samples);
    EXPECT_TRUE(decoder->decode(Payload{std::byte{each.toc}}, samples)) << int{each.toc};
  }
  // 48 frames of 2.5 ms, the longest that there is; and one more.
  EXPECT_EQ(decoder->length_of(Payload{std::byte{0xe3}, std::byte{48}}), 960U);
  EXPECT_FALSE(decoder->length_of(Payload{std::byte{0xe3}, std::byte{49}}));
}

TEST(Opus, payloads_that_break_a_rule_are_none) {
  const auto decoder = make_decoder(Codec::opus);
  const auto payload = [](std::initializer_list<unsigned char> octets) {
    Payload made;
    for (const unsigned char each : octets) made.push_back(std::byte{each});
    return made;
  };
  EXPECT_FALSE(decoder->length_of({}));
  // Two frames of one length, in an odd number of octets (RFC 6716 s3.2.3).
  EXPECT_FALSE(decoder->length_of(payload({0x09, 1, 2, 3})));
  // Two frames, the first of which is longer than the packet, or has no length (RFC 6716 s3.2.4).
  EXPECT_FALSE(decoder->length_of(payload({0x0a, 200, 1})));
  EXPECT_FALSE(decoder->length_of(payload({0x0a})));
  // No number of frames, no frame, padding beyond the end, too few octets (RFC 6716 s3.2.5).
  EXPECT_FALSE(decoder->length_of(payload({0x0b})));
  EXPECT_FALSE(decoder->length_of(payload({0x0b, 0})));
  EXPECT_FALSE(decoder->length_of(payload({0x0b, 0x41, 200, 1, 2})));
  EXPECT_FALSE(decoder->length_of(payload({0x0b, 0x82, 100, 1})));
  // A frame of more than 1275 octets (RFC 6716 s3.4).
  EXPECT_FALSE(decoder->length_of(Payload(1277, std::byte{0x08})));
  EXPECT_EQ(decoder->length_of(Payload(1276, std::byte{0x08})), packet);
}

TEST(Opus, a_decoder_takes_any_octets_and_works_behind_them) {
  constexpr std::uint64_t seed = 4711;
  SeededRandom random(seed);
  const auto decoder = make_decoder(Codec::opus);
  unsigned taken = 0;
  for (unsigned i = 0; i < 2000; ++i) {
    Payload payload(random.below(200));
    random.fill(payload);
    const auto length = decoder->length_of(payload);
    if (!length) continue;
    ASSERT_LE(*length, 960U) << "seed " << seed;
    ASSERT_EQ(*length % 20, 0U) << "seed " << seed;
    std::vector<std::int16_t> samples(*length);
    taken += decoder->decode(payload, samples) ? 1U : 0U;
    std::array<std::int16_t, packet> lost{};
    decoder->conceal(lost, payload);
  }
  EXPECT_GT(taken, 500U);
  decoder->reset();
  EXPECT_GT(share_of_tone(decoded(*decoder, encoded_tone(Codec::opus, 440, 30)), 440), 0.9);
}

}  // namespace
}  // namespace portolan::media
