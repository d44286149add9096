// SPDX-License-Identifier: BSD-2-Clause
#include "portolan-phone/sound_card.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "media/codec.h"

#include <alsa/asoundlib.h>

namespace portolan::phone {
namespace {

/// Buffers of the card. The speaker begins when its is full, so this is what playing adds to a call's delay.
constexpr unsigned buffer_us = 80'000;
/// Packets that the microphone is ahead by when reading begins, and at most.
constexpr std::size_t ahead_begin = 2;
constexpr std::size_t ahead_max = 4;

/// ALSA would write what is wrong to standard error besides saying it.
void say_nothing(const char* /*file*/, int /*line*/, const char* /*function*/, int /*error*/,
                 const char* /*format*/, ...) {}

auto problem(std::string_view what, const std::string& device, int error) -> std::string {
  return fmt::format("{} of sound card '{}' can't be used: {}; aplay -L lists those that there are", what,
                     device, snd_strerror(error));
}

}  // namespace

void SoundCard::Close::operator()(_snd_pcm* stream) const { snd_pcm_close(stream); }

SoundCard::SoundCard(Stream microphone, Stream speaker)
    : microphone_(std::move(microphone)), speaker_(std::move(speaker)) {}

auto SoundCard::open(const std::string& device) -> std::expected<SoundCard, std::string> {
  snd_lib_error_set_handler(say_nothing);
  const auto open_stream = [&](snd_pcm_stream_t direction) -> std::expected<Stream, int> {
    snd_pcm_t* opened = nullptr;
    if (const int error = snd_pcm_open(&opened, device.c_str(), direction, SND_PCM_NONBLOCK); error < 0)
      return std::unexpected(error);
    Stream stream(opened);
    constexpr unsigned channels = 1;
    constexpr int may_resample = 1;
    if (const int error = snd_pcm_set_params(opened, SND_PCM_FORMAT_S16, SND_PCM_ACCESS_RW_INTERLEAVED,
                                             channels, media::sample_rate, may_resample, buffer_us);
        error < 0)
      return std::unexpected(error);
    return stream;
  };
  auto microphone = open_stream(SND_PCM_STREAM_CAPTURE);
  if (!microphone) return std::unexpected(problem("the microphone", device, microphone.error()));
  auto speaker = open_stream(SND_PCM_STREAM_PLAYBACK);
  if (!speaker) return std::unexpected(problem("the speaker", device, speaker.error()));
  if (const int error = snd_pcm_start(microphone->get()); error < 0)
    return std::unexpected(problem("the microphone", device, error));
  return SoundCard(*std::move(microphone), *std::move(speaker));
}

void SoundCard::capture(std::span<std::int16_t> out) {
  std::ranges::fill(out, std::int16_t{0});
  const snd_pcm_sframes_t there = snd_pcm_avail(microphone_.get());
  if (there < 0) {
    // It ran full while nobody read, or the machine slept.
    is_ahead_ = false;
    if (snd_pcm_recover(microphone_.get(), static_cast<int>(there), 1) == 0) snd_pcm_start(microphone_.get());
    return;
  }
  const auto available = static_cast<std::size_t>(there);
  is_ahead_ = available >= (is_ahead_ ? 1 : ahead_begin) * out.size();
  if (!is_ahead_) return;
  if (available > ahead_max * out.size())
    snd_pcm_forward(microphone_.get(), available - ahead_begin * out.size());
  // What it fails to read stays silence; the next call learns why.
  snd_pcm_readi(microphone_.get(), out.data(), out.size());
}

void SoundCard::play(std::span<const std::int16_t> samples) {
  const snd_pcm_sframes_t written = snd_pcm_writei(speaker_.get(), samples.data(), samples.size());
  if (written >= 0 || written == -EAGAIN) return;
  // It ran empty.
  if (snd_pcm_recover(speaker_.get(), static_cast<int>(written), 1) == 0)
    snd_pcm_writei(speaker_.get(), samples.data(), samples.size());
}

}  // namespace portolan::phone
