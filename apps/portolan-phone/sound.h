// SPDX-License-Identifier: BSD-2-Clause
//
// What calls send and what is done with what they hear: a file, a tone, or the sound card, which the latest
// active call has that is not held.
#pragma once

#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "media/audio.h"
#include "portolan-phone/options.h"
#include "portolan-phone/sound_card.h"
#include "sip/agent/phone.h"

namespace portolan::phone {

class Sound {
 public:
  /// Looks whether the file or the card can be had.
  /// In      options: borrowed for its life
  /// Errors  text
  [[nodiscard]] static auto open(const Options& options) -> std::expected<Sound, std::string>;

  /// Gives a new call its sound, and has it recorded where that is asked for.
  void prepare(sip::Phone& phone, unsigned number);
  /// To be called when calls came, went or were held. The card is open only while a call has it.
  /// Errors  text, once: the card can't be had now; the calls go on in silence
  [[nodiscard]] auto follow(const sip::Phone& phone) -> std::expected<void, std::string>;

 private:
  struct Desk {
    std::optional<SoundCard> card;
    unsigned call = 0;  ///< that has it; 0: none
    bool is_refused = false;
  };
  Sound(const Options& options, media::AudioSource source) : options_(options), source_(std::move(source)) {}

  const Options& options_;
  media::AudioSource source_;
  /// Shared with the calls.
  std::shared_ptr<Desk> desk_ = std::make_shared<Desk>();
};

}  // namespace portolan::phone
