// SPDX-License-Identifier: BSD-2-Clause
#include "media/tone.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "media/codec.h"

namespace portolan::media {
namespace {

constexpr double amplitude = 16384;
constexpr std::size_t window_samples = sample_rate / 20;
/// Of a window's power, for the tone to dominate it.
constexpr double dominating = 0.5;

auto angle_of(double frequency) -> double { return 2 * std::numbers::pi * frequency / sample_rate; }

}  // namespace

auto make_tone(double frequency, std::size_t count) -> std::vector<std::int16_t> {
  std::vector<std::int16_t> samples(count);
  for (std::size_t i = 0; i < count; ++i)
    samples[i] =
        static_cast<std::int16_t>(amplitude * std::sin(angle_of(frequency) * static_cast<double>(i)));
  return samples;
}

auto tone_share(std::span<const std::int16_t> samples, double frequency) -> double {
  const double coefficient = 2 * std::cos(angle_of(frequency));
  double before = 0;
  double before_that = 0;
  double power = 0;
  for (const std::int16_t sample : samples) {
    const double value = sample;
    power += value * value;
    const double now = value + coefficient * before - before_that;
    before_that = before;
    before = now;
  }
  if (power == 0) return 0;
  const double found = before * before + before_that * before_that - coefficient * before * before_that;
  return std::min(1.0, 2 * found / (power * static_cast<double>(samples.size())));
}

auto tone_windows(std::span<const std::int16_t> samples, double frequency) -> double {
  std::size_t windows = 0;
  std::size_t dominated = 0;
  for (; samples.size() >= window_samples; samples = samples.subspan(window_samples)) {
    ++windows;
    if (tone_share(samples.first(window_samples), frequency) > dominating) ++dominated;
  }
  return windows == 0 ? 0 : static_cast<double>(dominated) / static_cast<double>(windows);
}

}  // namespace portolan::media
