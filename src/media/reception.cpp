// SPDX-License-Identifier: BSD-2-Clause
#include "media/reception.h"

#include <algorithm>

namespace portolan::media {
namespace {

constexpr std::uint32_t sequence_modulus = 0x10000;
constexpr std::int32_t lost_max = 0x7fffff;
constexpr std::int32_t lost_min = -0x800000;

}  // namespace

void Reception::begin(std::uint16_t sequence_number) {
  base_sequence_ = sequence_number;
  max_sequence_ = sequence_number;
  bad_sequence_ = sequence_modulus;
  cycles_ = 0;
  received_ = 0;
  received_before_ = 0;
  expected_before_ = 0;
  has_transit_ = false;
}

auto Reception::takes(std::uint16_t sequence_number) -> bool {
  const auto ahead = static_cast<std::uint16_t>(sequence_number - max_sequence_);
  if (probation_ > 0) {
    const bool is_next = ahead == 1;
    max_sequence_ = sequence_number;
    if (!is_next) {
      probation_ = sequential_min - 1;
      return false;
    }
    if (--probation_ > 0) return false;
    begin(sequence_number);
    return true;
  }
  if (ahead < dropout_max) {
    if (sequence_number < max_sequence_) cycles_ += sequence_modulus;
    max_sequence_ = sequence_number;
  } else if (ahead <= sequence_modulus - misorder_max) {
    // A large jump: two in a row mean that the source began again.
    if (sequence_number != bad_sequence_) {
      bad_sequence_ = static_cast<std::uint16_t>(sequence_number + 1);
      return false;
    }
    received_earlier_ += received_;
    expected_earlier_ += expected();
    begin(sequence_number);
  }
  return true;
}

auto Reception::receive(std::uint16_t sequence_number) -> bool {
  if (!takes(sequence_number)) return false;
  ++received_;
  return true;
}

auto Reception::receive(std::uint16_t sequence_number, std::uint32_t timestamp, std::uint32_t arrival)
    -> bool {
  if (!receive(sequence_number)) return false;
  const std::uint32_t transit = arrival - timestamp;
  if (has_transit_) {
    const auto difference = static_cast<std::int32_t>(transit - transit_);
    const std::uint32_t distance =
        difference < 0 ? 0U - static_cast<std::uint32_t>(difference) : static_cast<std::uint32_t>(difference);
    // A source that jumps in time does not jitter by years.
    jitter_ += std::min(distance, 0xffffU) - ((jitter_ + 8U) >> 4U);
  }
  transit_ = transit;
  has_transit_ = true;
  return true;
}

auto Reception::expected() const -> std::uint32_t {
  return is_valid() ? cycles_ + max_sequence_ - base_sequence_ + 1 : 0;
}

auto Reception::lost() const -> std::int32_t {
  const std::int64_t lost = std::int64_t{expected()} - received_;
  return static_cast<std::int32_t>(std::clamp<std::int64_t>(lost, lost_min, lost_max));
}

auto Reception::report() -> ReportBlock {
  const std::uint32_t expected_now = expected();
  const std::int64_t expected_since = std::int64_t{expected_now} - expected_before_;
  const std::int64_t received_since = std::int64_t{received_} - received_before_;
  expected_before_ = expected_now;
  received_before_ = received_;
  const std::int64_t lost_since = expected_since - received_since;
  ReportBlock block;
  block.ssrc = ssrc_;
  if (expected_since > 0 && lost_since > 0)
    block.fraction_lost =
        static_cast<std::uint8_t>(std::min<std::int64_t>((lost_since << 8U) / expected_since, 255));
  block.cumulative_lost = lost();
  block.highest_sequence = cycles_ + max_sequence_;
  block.jitter = jitter();
  return block;
}

}  // namespace portolan::media
