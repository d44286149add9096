// SPDX-License-Identifier: BSD-2-Clause
//
// SIP and PCP side by side, as lines or as a capture file.
#pragma once

#include <expected>
#include <string>

#include "portolan-phone/options.h"

namespace portolan::phone {

/// Has `options.phone` show what they want shown. Errors  text: the file can't be written
[[nodiscard]] auto begin_trace(Options& options) -> std::expected<void, std::string>;

}  // namespace portolan::phone
