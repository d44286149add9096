// SPDX-License-Identifier: BSD-2-Clause
//
// A phone that does what its options say, and what both kinds of runs share.
#pragma once

#include <expected>
#include <string>

#include "io/signals.h"
#include "media/audio.h"
#include "portolan-phone/options.h"

namespace portolan::phone {

/// What the options say to play.
/// Errors  text: the file can't be read, or is no WAV file that can be played
[[nodiscard]] auto sound_of(const Options& options) -> std::expected<media::AudioSource, std::string>;

/// Writes what a call recorded: the first one into the file itself, others into files with their numbers.
/// Errors  text
[[nodiscard]] auto save_recording(const Options& options, const sip::PhoneEvent& ended)
    -> std::expected<void, std::string>;

/// Makes or answers calls. Out  exit status
[[nodiscard]] auto run_script(const Options& options, sip::Phone& phone, media::AudioSource sound,
                              io::Signals& signals) -> int;

}  // namespace portolan::phone
