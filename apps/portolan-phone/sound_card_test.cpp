// SPDX-License-Identifier: BSD-2-Clause
#include "portolan-phone/sound_card.h"

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <ios>
#include <span>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "media/codec.h"
#include "media/tone.h"

namespace portolan::phone {
namespace {

using testing::HasSubstr;

constexpr std::size_t packet_samples = media::sample_rate / 50;
/// Whole periods of it are in a packet, so that what ALSA leaves out does not break it.
constexpr double tone_hz = 1000;

/// ALSA's own plugins in place of a card: the microphone takes a file, the speaker writes another.
class SoundCardOfFiles : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directory(folder);
    std::ofstream(folder / "asound.conf") << fmt::format(
        "pcm.nothing {{ type null }}\n"
        "pcm.taking {{ type file slave.pcm nothing file /dev/null infile {0}/in.raw format raw }}\n"
        "pcm.giving {{ type file slave.pcm nothing file {0}/out.raw format raw }}\n"
        "pcm.card {{ type asym capture.pcm taking playback.pcm giving }}\n"
        "pcm.deaf {{ type asym playback.pcm nothing capture.pcm missing }}\n",
        folder.string());
    write("in.raw", media::make_tone(tone_hz, std::size_t{media::sample_rate} * 60));
    setenv("ALSA_CONFIG_PATH", (folder / "asound.conf").c_str(), 1);
  }
  void TearDown() override {
    unsetenv("ALSA_CONFIG_PATH");
    std::filesystem::remove_all(folder);
  }

  void write(const std::string& name, const std::vector<std::int16_t>& samples) const {
    std::ofstream file(folder / name, std::ios::binary);
    file.write(reinterpret_cast<const char*>(samples.data()),
               static_cast<std::streamsize>(samples.size() * sizeof(std::int16_t)));
  }
  [[nodiscard]] auto read(const std::string& name) const -> std::vector<std::int16_t> {
    std::vector<std::int16_t> samples(std::filesystem::file_size(folder / name) / sizeof(std::int16_t));
    std::ifstream file(folder / name, std::ios::binary);
    file.read(reinterpret_cast<char*>(samples.data()),
              static_cast<std::streamsize>(samples.size() * sizeof(std::int16_t)));
    return samples;
  }

  std::filesystem::path folder =
      std::filesystem::path(testing::TempDir()) / fmt::format("portolan-sound-card-{}", getpid());
};

TEST_F(SoundCardOfFiles, the_microphone_is_heard) {
  auto card = SoundCard::open("card");
  ASSERT_TRUE(card) << card.error();
  std::vector<std::int16_t> heard(packet_samples * 50);
  for (std::size_t at = 0; at < heard.size(); at += packet_samples)
    card->capture(std::span(heard).subspan(at, packet_samples));
  EXPECT_GT(media::tone_share(heard, tone_hz), 0.9);
}

TEST_F(SoundCardOfFiles, what_is_played_comes_out) {
  const std::vector<std::int16_t> tone = media::make_tone(tone_hz, packet_samples * 50);
  {
    auto card = SoundCard::open("card");
    ASSERT_TRUE(card) << card.error();
    for (std::size_t at = 0; at < tone.size(); at += packet_samples)
      card->play(std::span(tone).subspan(at, packet_samples));
  }
  EXPECT_EQ(read("out.raw"), tone);
}

TEST_F(SoundCardOfFiles, one_that_is_not_there_is_named) {
  const auto missing = SoundCard::open("missing");
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error(), HasSubstr("the microphone of sound card 'missing' can't be used: "));
  EXPECT_THAT(missing.error(), HasSubstr("aplay -L"));
  EXPECT_FALSE(SoundCard::open("deaf"));
}

}  // namespace
}  // namespace portolan::phone
