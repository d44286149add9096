// SPDX-License-Identifier: BSD-2-Clause
#include "sip/opus_parameters.h"

#include <cstdint>
#include <optional>

#include <fmt/format.h>

#include "sip/text.h"

namespace portolan::sip {
namespace {

/// RFC 7587 s6.1
constexpr std::uint32_t bit_rate_min = 6000;
constexpr std::uint32_t bit_rate_max = 510'000;
constexpr std::uint32_t playback_rate_min = 8000;
constexpr std::uint32_t playback_rate_max = 48000;

/// What speech may take, at most, of those who don't say (RFC 7587 s3.1.1).
auto usual_bit_rate_max(std::uint32_t playback_rate) -> std::uint32_t {
  if (playback_rate < 16000) return 12000;
  if (playback_rate < 24000) return 20000;
  return 40000;
}

auto number_within(std::string_view text, std::uint32_t minimum, std::uint32_t maximum)
    -> std::optional<std::uint32_t> {
  const auto value = number_of<std::uint32_t>(text);
  if (!value || *value < minimum || *value > maximum) return {};
  return value;
}

}  // namespace

auto own_opus_parameters() -> std::string {
  return fmt::format("maxplaybackrate={};maxaveragebitrate={};useinbandfec=1", media::sample_rate,
                     media::opus_bit_rate);
}

auto opus_wishes(std::string_view parameters) -> media::OpusWishes {
  media::OpusWishes wishes;
  std::optional<std::uint32_t> bit_rate;
  std::uint32_t playback_rate = playback_rate_max;
  while (!parameters.empty()) {
    std::string_view piece = take_until(parameters, ';');
    std::string_view value = take_word(piece);
    const std::string_view name = take_until(value, '=');
    if (is_same_word(name, "maxaveragebitrate"))
      bit_rate = number_within(value, bit_rate_min, bit_rate_max);
    else if (is_same_word(name, "maxplaybackrate"))
      playback_rate = number_within(value, playback_rate_min, playback_rate_max).value_or(playback_rate);
    else if (is_same_word(name, "cbr"))
      wishes.constant_bit_rate = value == "1";
    else if (is_same_word(name, "useinbandfec"))
      wishes.in_band_fec = value == "1";
  }
  wishes.bit_rate_max = bit_rate.value_or(usual_bit_rate_max(playback_rate));
  return wishes;
}

}  // namespace portolan::sip
