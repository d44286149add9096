// SPDX-License-Identifier: BSD-2-Clause
//
// A phone that a person uses: commands come in by lines, what happens is told between them.
#pragma once

#include "io/signals.h"
#include "portolan-phone/options.h"
#include "portolan-phone/sound.h"

namespace portolan::phone {

/// Until "quit" or the end of the input. Out  exit status
[[nodiscard]] auto run_interactive(const Options& options, sip::Phone& phone, Sound sound,
                                   io::Signals& signals) -> int;

}  // namespace portolan::phone
