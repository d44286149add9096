// SPDX-License-Identifier: BSD-2-Clause
#include "media/jitter_buffer.h"

#include <algorithm>
#include <utility>

namespace portolan::media {

JitterBuffer::JitterBuffer(std::unique_ptr<Decoder> decoder, std::uint32_t clock_rate)
    : decoder_(std::move(decoder)), ticks_(clock_rate / sample_rate), samples_(length_max) {}

void JitterBuffer::start(std::uint32_t timestamp) {
  packets_.clear();
  decoded_ = {};
  decoder_->reset();
  next_ = timestamp - delay_ * ticks_;
  is_started_ = true;
  concealed_in_a_row_ = 0;
  late_in_a_row_ = 0;
  early_in_a_row_ = 0;
}

/// In samples, from what is decoded next; negative: its turn is over, or has begun.
auto JitterBuffer::lead_of(std::uint32_t timestamp) const -> std::int32_t {
  return static_cast<std::int32_t>(timestamp - next_) / static_cast<std::int32_t>(ticks_);
}

void JitterBuffer::put(std::uint32_t timestamp, std::span<const std::byte> payload) {
  const auto whole = decoder_->length_of(payload);
  if (!whole) {
    ++undecodable_;
    return;
  }
  // A decoder gets each packet once, however often it comes (RFC 7587 s4.1): late copies in a row do not make
  // it begin again with them.
  const bool was_decoded = std::ranges::find(remembered_, timestamp) != remembered_.end();
  if (was_decoded || packets_.size() >= packets_max) {
    ++late_;
    return;
  }
  const auto length = static_cast<std::uint32_t>(std::min(*whole, length_max));
  if (!is_started_) start(timestamp);
  const std::int32_t lead = lead_of(timestamp);
  if (lead < 0) {
    ++late_;
    if (++late_in_a_row_ >= late_max) {
      delay_ = std::min(delay_ + delay_step, delay_max);
      start(timestamp);
    }
  } else if (static_cast<std::uint32_t>(lead) + length > capacity) {
    start(timestamp);  // the source began again elsewhere
  } else {
    late_in_a_row_ = 0;
    const auto ahead = static_cast<std::uint32_t>(lead);
    lead_min_ = early_in_a_row_ == 0 ? ahead : std::min(lead_min_, ahead);
    if (++early_in_a_row_ >= early_packets) {
      early_in_a_row_ = 0;
      if (lead_min_ > delay_ + delay_step) next_ += (lead_min_ - delay_) * ticks_;
    }
  }
  keep(timestamp, length, payload);
}

void JitterBuffer::keep(std::uint32_t timestamp, std::uint32_t length, std::span<const std::byte> payload) {
  if (lead_of(timestamp) + static_cast<std::int32_t>(length) <= 0) return;
  const auto place = std::ranges::partition_point(packets_, [timestamp](const Packet& each) {
    return static_cast<std::int32_t>(each.timestamp - timestamp) < 0;
  });
  // A copy of one that waits.
  if (place != packets_.end() && place->timestamp == timestamp) return;
  packets_.insert(place, Packet{.timestamp = timestamp,
                                .length = length,
                                .payload = std::vector<std::byte>(payload.begin(), payload.end())});
}

auto JitterBuffer::take(std::span<std::int16_t> out) -> std::size_t {
  std::size_t heard = 0;
  while (!out.empty()) {
    if (decoded_.empty()) decode_next(out.size());
    const std::size_t count = std::min(decoded_.size(), out.size());
    std::ranges::copy(decoded_.first(count), out.begin());
    if (is_heard_) heard += count;
    decoded_ = decoded_.subspan(count);
    out = out.subspan(count);
  }
  return heard;
}

/// At least one sample, and no more than are wanted unless they come by a packet or stand for one.
void JitterBuffer::decode_next(std::size_t wanted) {
  const std::size_t room = std::min(wanted, samples_.size());
  if (!is_started_) {
    const auto silence = std::span(samples_).first(room);
    std::ranges::fill(silence, std::int16_t{0});
    is_heard_ = false;
    decoded_ = silence;
    return;
  }
  while (!packets_.empty() &&
         lead_of(packets_.front().timestamp) + static_cast<std::int32_t>(packets_.front().length) <= 0)
    packets_.pop_front();
  if (packets_.empty()) {
    conceal(room, {});
    return;
  }
  const std::int32_t lead = lead_of(packets_.front().timestamp);
  if (lead <= 0) {
    decode_first();
    return;
  }
  // No more at a time than a packet has: those behind it may still come.
  const auto gap = static_cast<std::size_t>(lead);
  if (gap > length_before_)
    conceal(length_before_, {});
  else
    conceal(gap, packets_.front().payload);
}

void JitterBuffer::decode_first() {
  const Packet packet = std::move(packets_.front());
  packets_.pop_front();
  remembered_.push_back(packet.timestamp);
  if (remembered_.size() > remembered_max) remembered_.pop_front();
  const auto over = static_cast<std::size_t>(-lead_of(packet.timestamp));
  const auto whole = std::span(samples_).first(packet.length);
  is_heard_ = decoder_->decode(packet.payload, whole);
  if (!is_heard_) {
    ++undecodable_;
    decoder_->conceal(whole, {});
  }
  concealed_in_a_row_ = 0;
  length_before_ = packet.length;
  decoded_ = whole.subspan(over);
  next_ = packet.timestamp + packet.length * ticks_;
}

void JitterBuffer::conceal(std::size_t count, std::span<const std::byte> following) {
  const auto made = std::span(samples_).first(count);
  if (following.empty() && concealed_in_a_row_ >= concealed_max)
    std::ranges::fill(made, std::int16_t{0});
  else
    decoder_->conceal(made, following);
  concealed_in_a_row_ = std::min(concealed_in_a_row_ + count, concealed_max);
  is_heard_ = false;
  decoded_ = made;
  next_ += static_cast<std::uint32_t>(count) * ticks_;
}

}  // namespace portolan::media
