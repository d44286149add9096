// SPDX-License-Identifier: BSD-2-Clause
//
// Where the sound comes from that a call sends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace portolan::media {

/// Silence, a tone, the samples of a file over and over, or what somebody gives. A value; copies go on
/// independently.
class AudioSource {
 public:
  AudioSource() = default;
  /// `frequency` in Hz, below half the sample rate.
  [[nodiscard]] static auto tone(double frequency) -> AudioSource;
  [[nodiscard]] static auto clip(std::vector<std::int16_t> samples) -> AudioSource;
  /// `give` writes the next samples, all that it is handed, and is called when they are to be sent.
  [[nodiscard]] static auto live(std::function<void(std::span<std::int16_t>)> give) -> AudioSource;

  void read(std::span<std::int16_t> out);

 private:
  std::vector<std::int16_t> samples_;
  std::size_t next_ = 0;
  std::function<void(std::span<std::int16_t>)> give_;
};

}  // namespace portolan::media
