// SPDX-License-Identifier: BSD-2-Clause
//
// WAV files of 16-bit samples at 8000 Hz and one channel, in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string_view>
#include <vector>

namespace portolan::media {

enum class WavError : std::uint8_t {
  not_wav,
  no_format,
  no_samples,
  not_pcm,
  not_16_bits,
  not_mono,
  not_8000_hz,
};
/// What is wrong and what to do, as a sentence without end.
[[nodiscard]] auto to_string(WavError error) -> std::string_view;

/// Takes a file whose header promises more samples than there are: recordings that were not ended have it so.
[[nodiscard]] auto parse_wav(std::span<const std::byte> file)
    -> std::expected<std::vector<std::int16_t>, WavError>;
[[nodiscard]] auto encode_wav(std::span<const std::int16_t> samples) -> std::vector<std::byte>;

}  // namespace portolan::media
