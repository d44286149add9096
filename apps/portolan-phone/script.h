// SPDX-License-Identifier: BSD-2-Clause
//
// A phone that does what its options say, and what both kinds of runs share.
#pragma once

#include <expected>
#include <string>

#include "io/signals.h"
#include "portolan-phone/options.h"
#include "portolan-phone/sound.h"

namespace portolan::phone {

/// Writes what a call recorded: the first one into the file itself, others into files with their numbers.
/// Errors  text
[[nodiscard]] auto save_recording(const Options& options, const sip::PhoneEvent& ended)
    -> std::expected<void, std::string>;

/// Makes or answers calls. Out  exit status
[[nodiscard]] auto run_script(const Options& options, sip::Phone& phone, Sound sound, io::Signals& signals)
    -> int;

}  // namespace portolan::phone
