// SPDX-License-Identifier: BSD-2-Clause
#include "media/audio.h"

#include <utility>

#include "media/codec.h"
#include "media/tone.h"

namespace portolan::media {

auto AudioSource::tone(double frequency) -> AudioSource {
  // A second of it: a whole number of Hz has no seam.
  return clip(make_tone(frequency, sample_rate));
}

auto AudioSource::clip(std::vector<std::int16_t> samples) -> AudioSource {
  AudioSource source;
  source.samples_ = std::move(samples);
  return source;
}

auto AudioSource::live(std::function<void(std::span<std::int16_t>)> give) -> AudioSource {
  AudioSource source;
  source.give_ = std::move(give);
  return source;
}

void AudioSource::read(std::span<std::int16_t> out) {
  if (give_) return give_(out);
  for (std::int16_t& sample : out) {
    if (samples_.empty()) {
      sample = 0;
      continue;
    }
    sample = samples_[next_];
    next_ = (next_ + 1) % samples_.size();
  }
}

}  // namespace portolan::media
