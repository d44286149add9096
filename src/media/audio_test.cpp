// SPDX-License-Identifier: BSD-2-Clause
#include "media/audio.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "media/g711.h"
#include "media/jitter_buffer.h"
#include "media/telephone_event.h"
#include "media/tone.h"
#include "media/wav.h"

namespace portolan::media {
namespace {

TEST(G711, known_values_of_both_laws) {
  EXPECT_EQ(encode_sample(Codec::pcmu, 0), std::byte{0xff});
  EXPECT_EQ(decode_sample(Codec::pcmu, std::byte{0xff}), 0);
  EXPECT_EQ(decode_sample(Codec::pcmu, std::byte{0x00}), -32124);
  EXPECT_EQ(decode_sample(Codec::pcmu, std::byte{0x80}), 32124);
  EXPECT_EQ(encode_sample(Codec::pcma, 0), std::byte{0xd5});
  EXPECT_EQ(decode_sample(Codec::pcma, std::byte{0xd5}), 8);
  EXPECT_EQ(decode_sample(Codec::pcma, std::byte{0x55}), -8);
  EXPECT_EQ(decode_sample(Codec::pcma, std::byte{0xaa}), 32256);
  EXPECT_EQ(decode_sample(Codec::pcma, std::byte{0x2a}), -32256);
}

TEST(G711, every_octet_comes_back_from_its_sample) {
  for (const Codec codec : {Codec::pcmu, Codec::pcma}) {
    for (unsigned octet = 0; octet < 256; ++octet) {
      if (codec == Codec::pcmu && octet == 0x7f) continue;  // minus zero becomes zero
      const auto byte = static_cast<std::byte>(octet);
      EXPECT_EQ(encode_sample(codec, decode_sample(codec, byte)), byte) << octet;
    }
  }
}

TEST(G711, a_sample_comes_back_within_the_step_of_its_segment) {
  for (const Codec codec : {Codec::pcmu, Codec::pcma}) {
    for (int sample = std::numeric_limits<std::int16_t>::min();
         sample <= std::numeric_limits<std::int16_t>::max(); ++sample) {
      const int back = decode_sample(codec, encode_sample(codec, static_cast<std::int16_t>(sample)));
      EXPECT_LE(std::abs(back - sample), 16 + std::abs(sample) / 16) << sample;
    }
  }
}

TEST(Tone, is_found_at_its_frequency_and_at_no_other) {
  const auto samples = make_tone(1000, 8000);
  EXPECT_GT(tone_share(samples, 1000), 0.99);
  EXPECT_LT(tone_share(samples, 440), 0.01);
  EXPECT_EQ(tone_share(std::vector<std::int16_t>(800), 1000), 0);
  EXPECT_EQ(tone_windows(samples, 1000), 1);
  EXPECT_EQ(tone_windows({}, 1000), 0);
}

TEST(Tone, windows_bear_slips_and_count_silence) {
  auto samples = make_tone(440, 8000);
  samples.erase(samples.begin() + 1000, samples.begin() + 1009);
  samples.resize(16000);
  EXPECT_NEAR(tone_windows(samples, 440), 0.5, 0.03);
}

TEST(Tone, survives_both_laws) {
  for (const Codec codec : {Codec::pcmu, Codec::pcma}) {
    auto samples = make_tone(700, 8000);
    for (std::int16_t& sample : samples) sample = decode_sample(codec, encode_sample(codec, sample));
    EXPECT_GT(tone_share(samples, 700), 0.98);
  }
}

TEST(AudioSource, repeats_its_samples_without_a_seam_and_is_silent_without_any) {
  AudioSource clip = AudioSource::clip({1, 2, 3});
  std::array<std::int16_t, 4> out{};
  clip.read(out);
  EXPECT_EQ(out, (std::array<std::int16_t, 4>{1, 2, 3, 1}));
  clip.read(out);
  EXPECT_EQ(out, (std::array<std::int16_t, 4>{2, 3, 1, 2}));
  AudioSource silence;
  silence.read(out);
  EXPECT_EQ(out, (std::array<std::int16_t, 4>{}));
}

TEST(Wav, samples_come_back_from_the_file) {
  const std::vector<std::int16_t> samples{0, 1, -1, 32767, -32768};
  const auto file = encode_wav(samples);
  const auto read = parse_wav(file);
  ASSERT_TRUE(read) << to_string(read.error());
  EXPECT_EQ(*read, samples);
}

TEST(Wav, a_recording_that_was_not_ended_has_the_samples_that_are_there) {
  auto file = encode_wav(std::vector<std::int16_t>{1, 2, 3});
  file.resize(file.size() - 3);
  EXPECT_EQ(parse_wav(file), (std::vector<std::int16_t>{1}));
}

TEST(Wav, other_files_are_refused_with_a_remedy) {
  const auto good = encode_wav(std::vector<std::int16_t>{1, 2, 3});
  EXPECT_EQ(parse_wav({}).error(), WavError::not_wav);
  EXPECT_EQ(parse_wav(std::span(good).first(12)).error(), WavError::no_format);
  EXPECT_EQ(parse_wav(std::span(good).first(36)).error(), WavError::no_samples);
  struct Case {
    std::size_t place;
    std::byte value;
    WavError error;
  };
  for (const Case& each :
       {Case{20, std::byte{7}, WavError::not_pcm}, Case{22, std::byte{2}, WavError::not_mono},
        Case{25, std::byte{0}, WavError::not_8000_hz}, Case{34, std::byte{8}, WavError::not_16_bits}}) {
    auto file = good;
    file[each.place] = each.value;
    const auto read = parse_wav(file);
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error(), each.error) << to_string(read.error());
  }
}

TEST(TelephoneEvent, is_read_as_it_was_written) {
  const TelephoneEvent event{.event = 11, .is_end = true, .volume = 63, .duration = 0xfedc};
  EXPECT_EQ(decode_telephone_event(encode_telephone_event(event)), event);
  EXPECT_FALSE(decode_telephone_event(std::array<std::byte, 3>{}));
}

TEST(TelephoneEvent, digits_have_the_codes_of_the_table) {
  EXPECT_EQ(event_of('0'), 0);
  EXPECT_EQ(event_of('*'), 10);
  EXPECT_EQ(event_of('#'), 11);
  EXPECT_EQ(event_of('D'), 15);
  EXPECT_FALSE(event_of('x'));
  EXPECT_EQ(digit_of(15), 'D');
  EXPECT_FALSE(digit_of(16));
}

TEST(TelephoneEvent, digits_that_are_sent_are_heard_once_each_though_packets_are_lost) {
  DigitSender sender;
  ASSERT_TRUE(sender.add("5#5"));
  DigitReceiver receiver;
  std::string heard;
  unsigned packets = 0;
  for (std::uint32_t timestamp = 0; !sender.is_idle(); timestamp += 160) {
    const auto packet = sender.next(timestamp, 160);
    if (!packet || packets++ % 2 == 0) continue;
    if (const auto digit = receiver.receive(packet->timestamp, encode_telephone_event(packet->event)))
      heard += *digit;
  }
  EXPECT_EQ(heard, "5#5");
  EXPECT_EQ(packets, 3 * (DigitSender::packets_of_digit + DigitSender::packets_of_end));
}

TEST(TelephoneEvent, no_more_digits_wait_than_the_limit) {
  DigitSender sender;
  EXPECT_TRUE(sender.add(std::string(DigitSender::digits_max - 1, '1')));
  EXPECT_TRUE(sender.add("1"));
  EXPECT_FALSE(sender.add("1"));
  DigitSender other;
  EXPECT_FALSE(other.add("12x"));
  EXPECT_TRUE(other.is_idle());
}

constexpr std::size_t frame = 160;

auto frame_of(std::int16_t value) -> std::vector<std::int16_t> {
  return std::vector<std::int16_t>(frame, value);
}

/// The next 20 ms, as the value that all of it has; nothing if it is not of one value.
auto next_value(JitterBuffer& buffer) -> std::optional<int> {
  std::array<std::int16_t, frame> out{};
  static_cast<void>(buffer.take(out));
  if (!std::ranges::all_of(out, [&](std::int16_t each) { return each == out[0]; })) return {};
  return out[0];
}

TEST(JitterBuffer, packets_come_out_in_order_after_the_delay) {
  JitterBuffer buffer;
  buffer.put(1000, frame_of(1));
  buffer.put(1000 + 2 * frame, frame_of(3));
  buffer.put(1000 + frame, frame_of(2));
  for (std::uint32_t waited = 0; waited < JitterBuffer::delay_first; waited += frame)
    EXPECT_EQ(next_value(buffer), 0);
  for (int expected = 1; expected <= 3; ++expected) EXPECT_EQ(next_value(buffer), expected);
  EXPECT_EQ(next_value(buffer), 0);
}

TEST(JitterBuffer, a_lost_packet_is_silence_of_its_length) {
  JitterBuffer buffer;
  buffer.put(0, frame_of(1));
  buffer.put(2 * frame, frame_of(3));
  for (std::uint32_t waited = 0; waited < JitterBuffer::delay_first; waited += frame) next_value(buffer);
  EXPECT_EQ(next_value(buffer), 1);
  EXPECT_EQ(next_value(buffer), 0);
  EXPECT_EQ(next_value(buffer), 3);
}

TEST(JitterBuffer, timestamps_may_wrap) {
  JitterBuffer buffer;
  const auto first = static_cast<std::uint32_t>(0U - frame);
  buffer.put(first, frame_of(1));
  buffer.put(0, frame_of(2));
  for (std::uint32_t waited = 0; waited < JitterBuffer::delay_first; waited += frame) next_value(buffer);
  EXPECT_EQ(next_value(buffer), 1);
  EXPECT_EQ(next_value(buffer), 2);
}

TEST(JitterBuffer, packets_that_keep_coming_late_make_the_delay_longer_up_to_its_limit) {
  JitterBuffer buffer;
  std::uint32_t timestamp = 0;
  buffer.put(timestamp, frame_of(1));
  for (unsigned round = 0; round < 100; ++round) {
    for (unsigned i = 0; i < 40; ++i) next_value(buffer);  // 800 ms pass, one packet comes
    buffer.put(timestamp += frame, frame_of(1));
  }
  EXPECT_GT(buffer.late(), 90U);
  EXPECT_EQ(buffer.delay(), JitterBuffer::delay_max);
}

TEST(JitterBuffer, a_stock_that_is_never_needed_is_left_out) {
  JitterBuffer buffer;
  std::uint32_t timestamp = 0;
  for (unsigned i = 0; i < 20; ++i) buffer.put(timestamp += frame, frame_of(1));  // a burst of 400 ms
  unsigned empty = 0;
  for (unsigned i = 0; i < 2 * JitterBuffer::early_packets; ++i) {
    buffer.put(timestamp += frame, frame_of(1));
    next_value(buffer);
  }
  for (unsigned i = 0; i < 20; ++i) empty += next_value(buffer) == 0 ? 1U : 0U;
  // Without, 23 packets would wait here: the burst and the delay.
  EXPECT_GE(empty, 15U);
}

TEST(JitterBuffer, a_source_that_begins_elsewhere_is_heard) {
  JitterBuffer buffer;
  buffer.put(0, frame_of(1));
  buffer.put(0x40000000, frame_of(2));
  for (std::uint32_t waited = 0; waited < JitterBuffer::delay_first; waited += frame) next_value(buffer);
  EXPECT_EQ(next_value(buffer), 2);
}

TEST(JitterBuffer, a_packet_longer_than_it_holds_is_cut) {
  for (const std::size_t size :
       {JitterBuffer::capacity / 2 - 1, JitterBuffer::capacity / 2, JitterBuffer::capacity / 2 + 1}) {
    JitterBuffer buffer;
    buffer.put(0, std::vector<std::int16_t>(size, 1));
    std::vector<std::int16_t> out(JitterBuffer::delay_first + size);
    EXPECT_EQ(buffer.take(out), std::min<std::size_t>(size, JitterBuffer::capacity / 2));
  }
}

}  // namespace
}  // namespace portolan::media
