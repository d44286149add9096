// SPDX-License-Identifier: BSD-2-Clause
#include "media/wav.h"

#include <algorithm>
#include <concepts>
#include <optional>

#include "media/codec.h"

namespace portolan::media {
namespace {

constexpr std::uint16_t format_pcm = 1;
constexpr std::uint16_t sample_bits = 16;
constexpr std::size_t format_octets = 16;
constexpr std::size_t header_octets = 44;

/// Numbers in WAV files are little-endian.
template <std::unsigned_integral Number>
auto number_at(std::span<const std::byte> octets, std::size_t place) -> Number {
  Number value = 0;
  for (std::size_t i = sizeof(Number); i-- > 0;)
    value = static_cast<Number>(value << 8U | std::to_integer<Number>(octets[place + i]));
  return value;
}

template <std::unsigned_integral Number>
void append(std::vector<std::byte>& octets, Number value) {
  for (std::size_t i = 0; i < sizeof(Number); ++i)
    octets.push_back(static_cast<std::byte>(static_cast<std::uint64_t>(value) >> (8 * i)));
}

void append(std::vector<std::byte>& octets, std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  octets.insert(octets.end(), bytes.begin(), bytes.end());
}

auto is_at(std::span<const std::byte> octets, std::size_t place, std::string_view text) -> bool {
  return octets.size() >= place + text.size() &&
         std::ranges::equal(octets.subspan(place, text.size()), std::as_bytes(std::span(text)));
}

auto error_of_format(std::span<const std::byte> format) -> std::optional<WavError> {
  if (number_at<std::uint16_t>(format, 0) != format_pcm) return WavError::not_pcm;
  if (number_at<std::uint16_t>(format, 2) != 1) return WavError::not_mono;
  if (number_at<std::uint32_t>(format, 4) != sample_rate) return WavError::not_8000_hz;
  if (number_at<std::uint16_t>(format, 14) != sample_bits) return WavError::not_16_bits;
  return {};
}

}  // namespace

auto to_string(WavError error) -> std::string_view {
  switch (error) {
    case WavError::not_wav: return "is no WAV file";
    case WavError::no_format: return "is a WAV file without a format";
    case WavError::no_samples: return "is a WAV file without samples";
    case WavError::not_pcm: return "is compressed: make it 16-bit PCM, 8000 Hz, mono";
    case WavError::not_16_bits: return "does not have 16 bits a sample: make it 16-bit PCM, 8000 Hz, mono";
    case WavError::not_mono: return "has several channels: make it 16-bit PCM, 8000 Hz, mono";
    case WavError::not_8000_hz: return "is not at 8000 Hz: make it 16-bit PCM, 8000 Hz, mono";
  }
  return "?";
}

auto parse_wav(std::span<const std::byte> file) -> std::expected<std::vector<std::int16_t>, WavError> {
  if (!is_at(file, 0, "RIFF") || !is_at(file, 8, "WAVE")) return std::unexpected(WavError::not_wav);
  bool has_format = false;
  for (std::size_t place = 12; place + 8 <= file.size();) {
    const std::size_t size = number_at<std::uint32_t>(file, place + 4);
    const auto body = file.subspan(place + 8, std::min(size, file.size() - place - 8));
    if (is_at(file, place, "fmt ")) {
      if (body.size() < format_octets) return std::unexpected(WavError::no_format);
      if (const auto error = error_of_format(body)) return std::unexpected(*error);
      has_format = true;
    } else if (is_at(file, place, "data")) {
      if (!has_format) return std::unexpected(WavError::no_format);
      std::vector<std::int16_t> samples(body.size() / 2);
      for (std::size_t i = 0; i < samples.size(); ++i)
        samples[i] = static_cast<std::int16_t>(number_at<std::uint16_t>(body, 2 * i));
      return samples;
    }
    place += 8 + body.size() + (body.size() & 1U);
  }
  return std::unexpected(has_format ? WavError::no_samples : WavError::no_format);
}

auto encode_wav(std::span<const std::int16_t> samples) -> std::vector<std::byte> {
  const auto data_octets = static_cast<std::uint32_t>(2 * samples.size());
  std::vector<std::byte> file;
  file.reserve(header_octets + data_octets);
  append(file, "RIFF");
  append(file, static_cast<std::uint32_t>(header_octets - 8 + data_octets));
  append(file, "WAVEfmt ");
  append(file, static_cast<std::uint32_t>(format_octets));
  append(file, format_pcm);
  append(file, std::uint16_t{1});
  append(file, sample_rate);
  append(file, std::uint32_t{sample_rate * sample_bits / 8});
  append(file, std::uint16_t{sample_bits / 8});
  append(file, sample_bits);
  append(file, "data");
  append(file, data_octets);
  for (const std::int16_t sample : samples) append(file, static_cast<std::uint16_t>(sample));
  return file;
}

}  // namespace portolan::media
