// SPDX-License-Identifier: BSD-2-Clause
#include "media/audio.h"

#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "media/g711.h"
#include "media/telephone_event.h"
#include "media/tone.h"
#include "media/wav.h"

namespace portolan::media {
namespace {

TEST(G711, known_values_of_both_laws) {
  EXPECT_EQ(encode_sample(Law::mu, 0), std::byte{0xff});
  EXPECT_EQ(decode_sample(Law::mu, std::byte{0xff}), 0);
  EXPECT_EQ(decode_sample(Law::mu, std::byte{0x00}), -32124);
  EXPECT_EQ(decode_sample(Law::mu, std::byte{0x80}), 32124);
  EXPECT_EQ(encode_sample(Law::a, 0), std::byte{0xd5});
  EXPECT_EQ(decode_sample(Law::a, std::byte{0xd5}), 8);
  EXPECT_EQ(decode_sample(Law::a, std::byte{0x55}), -8);
  EXPECT_EQ(decode_sample(Law::a, std::byte{0xaa}), 32256);
  EXPECT_EQ(decode_sample(Law::a, std::byte{0x2a}), -32256);
}

TEST(G711, every_octet_comes_back_from_its_sample) {
  for (const Law law : {Law::mu, Law::a}) {
    for (unsigned octet = 0; octet < 256; ++octet) {
      if (law == Law::mu && octet == 0x7f) continue;  // minus zero becomes zero
      const auto byte = static_cast<std::byte>(octet);
      EXPECT_EQ(encode_sample(law, decode_sample(law, byte)), byte) << octet;
    }
  }
}

TEST(G711, a_sample_comes_back_within_the_step_of_its_segment) {
  for (const Law law : {Law::mu, Law::a}) {
    for (int sample = std::numeric_limits<std::int16_t>::min();
         sample <= std::numeric_limits<std::int16_t>::max(); ++sample) {
      const int back = decode_sample(law, encode_sample(law, static_cast<std::int16_t>(sample)));
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
  for (const Law law : {Law::mu, Law::a}) {
    auto samples = make_tone(700, 8000);
    for (std::int16_t& sample : samples) sample = decode_sample(law, encode_sample(law, sample));
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

}  // namespace
}  // namespace portolan::media
