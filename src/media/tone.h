// SPDX-License-Identifier: BSD-2-Clause
//
// Tones: made, and found again in what was received.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace portolan::media {

/// Samples of a tone at half of full scale.
[[nodiscard]] auto make_tone(double frequency, std::size_t count) -> std::vector<std::int16_t>;

/// Which part of the power of `samples` is at `frequency`, from 0 to 1 (Goertzel's algorithm); silence has
/// none. The resolution is the sample rate divided by their number.
[[nodiscard]] auto tone_share(std::span<const std::int16_t> samples, double frequency) -> double;

/// Which part of windows of 50 ms the tone dominates, from 0 to 1: sound that slips by a few samples now and
/// then, as recordings do, keeps its tone.
[[nodiscard]] auto tone_windows(std::span<const std::int16_t> samples, double frequency) -> double;

}  // namespace portolan::media
