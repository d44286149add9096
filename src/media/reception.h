// SPDX-License-Identifier: BSD-2-Clause
//
// What is known of one source's packets: whether they are in sequence, how many were lost, how much they
// jitter.
#pragma once

#include <cstdint>

#include "media/rtcp.h"

namespace portolan::media {

class Reception {
 public:
  /// Packets in a row before a source counts; permissible gap; permissible misorder (RFC 3550 sA.1).
  static constexpr unsigned sequential_min = 2;
  static constexpr std::uint16_t dropout_max = 3000;
  static constexpr std::uint16_t misorder_max = 100;

  Reception(std::uint32_t ssrc, std::uint16_t sequence_number)
      : ssrc_(ssrc), max_sequence_(static_cast<std::uint16_t>(sequence_number - 1)) {}

  /// Takes a packet that came `arrival` units of timestamps after any fixed moment.
  /// Out   whether it counts
  /// Spec  RFC 3550 sA.1, sA.8
  auto receive(std::uint16_t sequence_number, std::uint32_t timestamp, std::uint32_t arrival) -> bool;
  /// Takes one whose timestamp is not the time it stands for, and so tells nothing of jitter.
  /// Out   whether it counts
  auto receive(std::uint16_t sequence_number) -> bool;

  [[nodiscard]] auto ssrc() const -> std::uint32_t { return ssrc_; }
  [[nodiscard]] auto is_valid() const -> bool { return probation_ == 0; }
  /// Since the source began, or began again.
  [[nodiscard]] auto received() const -> std::uint32_t { return received_; }
  [[nodiscard]] auto expected() const -> std::uint32_t;
  /// With what was before it began again.
  [[nodiscard]] auto received_in_all() const -> std::uint64_t { return received_earlier_ + received_; }
  [[nodiscard]] auto expected_in_all() const -> std::uint64_t { return expected_earlier_ + expected(); }
  /// Negative if more came than were expected: there were duplicates.
  [[nodiscard]] auto lost() const -> std::int32_t;
  /// In units of timestamps.
  [[nodiscard]] auto jitter() const -> std::uint32_t { return jitter_ >> 4U; }

  /// The block of the next report, which starts a new interval. Its times are the caller's.
  /// Spec  RFC 3550 sA.3
  [[nodiscard]] auto report() -> ReportBlock;

 private:
  void begin(std::uint16_t sequence_number);
  auto takes(std::uint16_t sequence_number) -> bool;

  std::uint32_t ssrc_;
  std::uint16_t max_sequence_;
  unsigned probation_ = sequential_min;
  std::uint32_t cycles_ = 0;
  std::uint16_t base_sequence_ = 0;
  std::uint32_t bad_sequence_ = 0x10000;  // no sequence number is equal to it
  std::uint32_t received_ = 0;
  std::uint64_t received_earlier_ = 0;
  std::uint64_t expected_earlier_ = 0;
  std::uint32_t received_before_ = 0;
  std::uint32_t expected_before_ = 0;
  std::uint32_t transit_ = 0;
  bool has_transit_ = false;
  std::uint32_t jitter_ = 0;  // in 16ths, as RFC 3550 sA.8 does it
};

}  // namespace portolan::media
