// SPDX-License-Identifier: BSD-2-Clause
//
// What a=fmtp says of Opus (RFC 7587 s6.1): each side tells the other one's encoder what its decoder can use.
#pragma once

#include <string>
#include <string_view>

#include "media/codec.h"

namespace portolan::sip {

/// Of our decoder.
[[nodiscard]] auto own_opus_parameters() -> std::string;

/// In   parameters: of the other side, from anybody; those that are unknown or can't be are passed over
/// Out  with the bit rate that holds where none is named (RFC 7587 s6.1)
[[nodiscard]] auto opus_wishes(std::string_view parameters) -> media::OpusWishes;

}  // namespace portolan::sip
