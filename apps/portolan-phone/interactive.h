// SPDX-License-Identifier: BSD-2-Clause
//
// A phone that a person uses: commands come in by lines, what happens is told between them.
#pragma once

#include "portolan-phone/options.h"

namespace portolan::phone {

/// Until "quit" or the end of the input. Out  exit status
[[nodiscard]] auto run_interactive(const Options& options, sip::Phone& phone) -> int;

}  // namespace portolan::phone
