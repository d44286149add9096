// SPDX-License-Identifier: BSD-2-Clause
#include "media/g711.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace portolan::media {
namespace {

/// µ-law: sign, exponent and mantissa of the biased magnitude, all inverted.
constexpr int mu_bias = 0x84;
constexpr int mu_clip = 32635;

auto encode_mu(std::int16_t sample) -> std::uint8_t {
  const unsigned sign = sample < 0 ? 0x80U : 0U;
  const auto magnitude =
      static_cast<unsigned>(std::min(sample < 0 ? -int{sample} : int{sample}, mu_clip) + mu_bias);
  const auto exponent = static_cast<unsigned>(std::bit_width(magnitude)) - 8U;
  const unsigned mantissa = magnitude >> (exponent + 3U) & 0x0fU;
  return static_cast<std::uint8_t>(~(sign | exponent << 4U | mantissa));
}

auto decode_mu(std::uint8_t octet) -> std::int16_t {
  const unsigned bits = ~unsigned{octet};
  const auto magnitude =
      static_cast<int>((((bits & 0x0fU) << 3U) + unsigned{mu_bias}) << (bits >> 4U & 7U)) - mu_bias;
  return static_cast<std::int16_t>((bits & 0x80U) != 0 ? -magnitude : magnitude);
}

/// A-law: every other bit is inverted, the sign bit says "positive".
constexpr unsigned a_inverted = 0x55;

auto encode_a(std::int16_t sample) -> std::uint8_t {
  const auto magnitude = static_cast<unsigned>(sample < 0 ? ~int{sample} : int{sample}) >> 4U;
  unsigned bits = magnitude;
  if (magnitude > 15) {
    const auto exponent = static_cast<unsigned>(std::bit_width(magnitude)) - 4U;
    bits = exponent << 4U | (magnitude >> (exponent - 1U) & 0x0fU);
  }
  return static_cast<std::uint8_t>((bits | (sample < 0 ? 0U : 0x80U)) ^ a_inverted);
}

auto decode_a(std::uint8_t octet) -> std::int16_t {
  const unsigned bits = octet ^ a_inverted;
  const unsigned exponent = bits >> 4U & 7U;
  unsigned magnitude = ((bits & 0x0fU) << 4U) + 8U;
  if (exponent > 0) magnitude = (magnitude + 0x100U) << (exponent - 1U);
  return static_cast<std::int16_t>((bits & 0x80U) != 0 ? static_cast<int>(magnitude)
                                                       : -static_cast<int>(magnitude));
}

}  // namespace

auto encode_sample(Law law, std::int16_t sample) -> std::byte {
  return std::byte{law == Law::mu ? encode_mu(sample) : encode_a(sample)};
}

auto decode_sample(Law law, std::byte octet) -> std::int16_t {
  const auto bits = std::to_integer<std::uint8_t>(octet);
  return law == Law::mu ? decode_mu(bits) : decode_a(bits);
}

void encode(Law law, std::span<const std::int16_t> samples, std::span<std::byte> octets) {
  PORTOLAN_CHECK(samples.size() == octets.size());
  std::ranges::transform(samples, octets.begin(),
                         [law](std::int16_t each) { return encode_sample(law, each); });
}

void decode(Law law, std::span<const std::byte> octets, std::span<std::int16_t> samples) {
  PORTOLAN_CHECK(samples.size() == octets.size());
  std::ranges::transform(octets, samples.begin(), [law](std::byte each) { return decode_sample(law, each); });
}

}  // namespace portolan::media
