// SPDX-License-Identifier: BSD-2-Clause
#include "media/jitter_buffer.h"

#include <algorithm>

namespace portolan::media {
namespace {

constexpr std::uint32_t index_mask = JitterBuffer::capacity - 1;
static_assert((JitterBuffer::capacity & index_mask) == 0);

}  // namespace

void JitterBuffer::start(std::uint32_t timestamp) {
  is_present_.assign(capacity, false);
  next_ = timestamp - delay_;
  is_started_ = true;
  late_in_a_row_ = 0;
  early_in_a_row_ = 0;
}

void JitterBuffer::skip(std::uint32_t count) {
  for (std::uint32_t i = 0; i < count; ++i) is_present_[next_++ & index_mask] = false;
}

void JitterBuffer::put(std::uint32_t timestamp, std::span<const std::int16_t> samples) {
  samples = samples.first(std::min<std::size_t>(samples.size(), capacity / 2));
  if (!is_started_) start(timestamp);
  auto lead = static_cast<std::int32_t>(timestamp - next_);
  if (lead < 0) {
    ++late_;
    if (++late_in_a_row_ >= late_max) {
      delay_ = std::min(delay_ + delay_step, delay_max);
      start(timestamp);
      lead = static_cast<std::int32_t>(delay_);
    }
  } else if (static_cast<std::size_t>(lead) + samples.size() > capacity) {
    start(timestamp);  // the source began again elsewhere
    lead = static_cast<std::int32_t>(delay_);
  } else {
    late_in_a_row_ = 0;
    const auto ahead = static_cast<std::uint32_t>(lead);
    lead_min_ = early_in_a_row_ == 0 ? ahead : std::min(lead_min_, ahead);
    if (++early_in_a_row_ >= early_packets) {
      early_in_a_row_ = 0;
      if (lead_min_ > delay_ + delay_step) skip(lead_min_ - delay_);
    }
  }
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const std::uint32_t place = timestamp + static_cast<std::uint32_t>(i);
    if (static_cast<std::int32_t>(place - next_) < 0) continue;
    samples_[place & index_mask] = samples[i];
    is_present_[place & index_mask] = true;
  }
}

auto JitterBuffer::take(std::span<std::int16_t> out) -> std::size_t {
  std::size_t present = 0;
  for (std::int16_t& sample : out) {
    sample = 0;
    if (!is_started_) continue;
    const std::uint32_t index = next_++ & index_mask;
    if (!is_present_[index]) continue;
    sample = samples_[index];
    is_present_[index] = false;
    ++present;
  }
  return present;
}

}  // namespace portolan::media
