// SPDX-License-Identifier: BSD-2-Clause
//
// Makes a steady stream of samples of packets that come early, late, twice or never. Samples have their
// place by timestamp, so packets of any length may come in any order; what is not there when it is its turn
// is silence.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "media/g711.h"

namespace portolan::media {

class JitterBuffer {
 public:
  /// Samples it holds: one second, a power of two.
  static constexpr std::uint32_t capacity = 8192;
  /// Between arrival and turn: at first, and at most.
  static constexpr std::uint32_t delay_first = sample_rate * 60 / 1000;
  static constexpr std::uint32_t delay_max = sample_rate * 300 / 1000;
  /// By how much the delay grows when packets are late.
  static constexpr std::uint32_t delay_step = sample_rate * 20 / 1000;
  /// Late packets in a row before it does.
  static constexpr unsigned late_max = 3;
  /// Packets that all come earlier than needed before the delay shrinks: five seconds' worth of 20 ms.
  static constexpr unsigned early_packets = 250;

  JitterBuffer() : samples_(capacity), is_present_(capacity) {}

  /// Takes the samples of one packet, at most `capacity`; more are cut. Samples whose turn is over are lost.
  void put(std::uint32_t timestamp, std::span<const std::int16_t> samples);
  /// The next samples. Out  how many of them came by a packet
  auto take(std::span<std::int16_t> out) -> std::size_t;

  /// Packets that came too late, in all.
  [[nodiscard]] auto late() const -> std::uint64_t { return late_; }
  /// The delay that is aimed at, in samples.
  [[nodiscard]] auto delay() const -> std::uint32_t { return delay_; }

 private:
  void start(std::uint32_t timestamp);
  void skip(std::uint32_t count);

  std::vector<std::int16_t> samples_;
  std::vector<bool> is_present_;
  std::uint32_t next_ = 0;  // timestamp whose turn it is
  std::uint32_t delay_ = delay_first;
  bool is_started_ = false;
  std::uint64_t late_ = 0;
  unsigned late_in_a_row_ = 0;
  unsigned early_in_a_row_ = 0;
  std::uint32_t lead_min_ = 0;
};

}  // namespace portolan::media
