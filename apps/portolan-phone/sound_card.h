// SPDX-License-Identifier: BSD-2-Clause
//
// The sound card, by ALSA: 16-bit samples at 8000 Hz in one channel, which ALSA converts if the card can't.
// Neither side ever waits: what the microphone has not yet is silence, and what the speaker has no room for
// is dropped, so that a card whose clock is not the network's costs a click now and then and no delay.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>

// ALSA's, whose header no other file needs.
struct _snd_pcm;  // NOLINT(bugprone-reserved-identifier): its name there

namespace portolan::phone {

class SoundCard {
 public:
  /// In      device: as ALSA names it, such as "default" or "plughw:1"
  /// Errors  text: there is none, somebody else has it, or it can't do this
  [[nodiscard]] static auto open(const std::string& device) -> std::expected<SoundCard, std::string>;

  /// What the microphone took next.
  void capture(std::span<std::int16_t> out);
  void play(std::span<const std::int16_t> samples);

 private:
  struct Close {
    void operator()(_snd_pcm* stream) const;
  };
  using Stream = std::unique_ptr<_snd_pcm, Close>;
  SoundCard(Stream microphone, Stream speaker);

  Stream microphone_;
  Stream speaker_;
  /// The microphone is ahead by enough for its clock to be a little slow.
  bool is_ahead_ = false;
};

}  // namespace portolan::phone
