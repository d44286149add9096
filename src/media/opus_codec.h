// SPDX-License-Identifier: BSD-2-Clause
//
// Opus (RFC 6716) by libopus, in one channel and at our sample rate: its encoder sends telephone bandwidth,
// and its decoder takes every bandwidth and both channels, and gives what of it our rate can hold.
#pragma once

#include <memory>

#include "media/codec.h"

namespace portolan::media {

[[nodiscard]] auto make_opus_encoder(const OpusWishes& wishes) -> std::unique_ptr<Encoder>;
[[nodiscard]] auto make_opus_decoder() -> std::unique_ptr<Decoder>;

}  // namespace portolan::media
