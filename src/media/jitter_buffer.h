// SPDX-License-Identifier: BSD-2-Clause
//
// Makes a steady stream of samples of packets that come early, late, twice or never. Packets have their
// place by timestamp, so packets of any length may come in any order. Each is decoded when it is its turn and
// not when it comes, because decoders go by what was before; what is not there when it is its turn is left
// to the decoder to conceal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "media/codec.h"

namespace portolan::media {

class JitterBuffer {
 public:
  /// Samples from the one whose turn it is to the end of the last one that may wait: about a second.
  static constexpr std::uint32_t capacity = 8192;
  /// Packets that wait: a second of those of 2.5 ms, the shortest that Opus has, is 400.
  static constexpr std::size_t packets_max = 512;
  /// Packets that were decoded last, whose copies are known: more than a source's packets may be behind each
  /// other (RFC 3550 sA.1), so that no older copy comes here.
  static constexpr std::size_t remembered_max = 128;
  /// Samples of one packet; what it has beyond them is cut.
  static constexpr std::size_t length_max = capacity / 2;
  /// Between arrival and turn: at first, and at most.
  static constexpr std::uint32_t delay_first = sample_rate * 60 / 1000;
  static constexpr std::uint32_t delay_max = sample_rate * 300 / 1000;
  /// By how much the delay grows when packets are late.
  static constexpr std::uint32_t delay_step = sample_rate * 20 / 1000;
  /// Late packets in a row before it does.
  static constexpr unsigned late_max = 3;
  /// Packets that all come earlier than needed before the delay shrinks: five seconds' worth of 20 ms.
  static constexpr unsigned early_packets = 250;
  /// Samples in a row that are concealed, silence behind them: as many as libopus leaves out at a time when
  /// nobody speaks (RFC 7587 s3.1.3), so that the noise that fills such pauses does not come and go.
  static constexpr std::size_t concealed_max = sample_rate * 400 / 1000;

  /// In  clock_rate: of the timestamps, a multiple of the sample rate
  JitterBuffer(std::unique_ptr<Decoder> decoder, std::uint32_t clock_rate);

  /// Takes the payload of one packet. One whose turn is over is lost, and so is one too many.
  void put(std::uint32_t timestamp, std::span<const std::byte> payload);
  /// The next samples. Out  how many of them came by a packet
  auto take(std::span<std::int16_t> out) -> std::size_t;

  /// Packets that came too late, again when they were decoded, or when `packets_max` were waiting, in all.
  [[nodiscard]] auto late() const -> std::uint64_t { return late_; }
  /// Packets whose payload was none of the codec's, in all.
  [[nodiscard]] auto undecodable() const -> std::uint64_t { return undecodable_; }
  /// The delay that is aimed at, in samples.
  [[nodiscard]] auto delay() const -> std::uint32_t { return delay_; }

 private:
  struct Packet {
    std::uint32_t timestamp = 0;
    std::uint32_t length = 0;  // in samples
    std::vector<std::byte> payload;
  };

  void start(std::uint32_t timestamp);
  void keep(std::uint32_t timestamp, std::uint32_t length, std::span<const std::byte> payload);
  [[nodiscard]] auto lead_of(std::uint32_t timestamp) const -> std::int32_t;
  void decode_next(std::size_t wanted);
  void decode_first();
  void conceal(std::size_t count, std::span<const std::byte> following);

  std::unique_ptr<Decoder> decoder_;
  std::uint32_t ticks_;                   // units of timestamps to a sample
  std::deque<Packet> packets_;            // in the order of timestamps, all different
  std::deque<std::uint32_t> remembered_;  // timestamps of the packets that were decoded last
  std::vector<std::int16_t> samples_;
  std::span<const std::int16_t> decoded_;  // of samples_, what is not taken yet
  bool is_heard_ = false;                  // decoded_ came by a packet
  std::uint32_t next_ = 0;                 // timestamp of what is decoded next
  std::uint32_t delay_ = delay_first;
  bool is_started_ = false;
  std::size_t length_before_ = sample_rate * 20 / 1000;  // of the packet before
  std::size_t concealed_in_a_row_ = 0;
  std::uint64_t late_ = 0;
  std::uint64_t undecodable_ = 0;
  unsigned late_in_a_row_ = 0;
  unsigned early_in_a_row_ = 0;
  std::uint32_t lead_min_ = 0;
};

}  // namespace portolan::media
