// SPDX-License-Identifier: BSD-2-Clause
#include "media/jitter_buffer.h"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace portolan::media {
namespace {

constexpr std::size_t frame = 160;
constexpr std::byte broken{0xff};
constexpr std::byte deceiving{0xfe};

/// What a decoder was asked.
struct Asked {
  std::vector<int> decoded;  // the value of each payload
  std::vector<std::pair<std::size_t, int>>
      concealed;  // samples, and the value of the payload behind; 0: none
  unsigned resets = 0;
};

/// A sample for each octet, of its value; what is missing is silence. Some payloads it does not take, and of
/// some it finds out late.
class FakeDecoder final : public Decoder {
 public:
  explicit FakeDecoder(Asked& asked) : asked_(asked) {}

  [[nodiscard]] auto length_of(std::span<const std::byte> payload) const
      -> std::optional<std::size_t> override {
    if (payload.empty() || payload[0] == broken) return {};
    return payload.size();
  }
  auto decode(std::span<const std::byte> payload, std::span<std::int16_t> samples) -> bool override {
    asked_.decoded.push_back(std::to_integer<int>(payload[0]));
    if (payload[0] == deceiving) return false;
    std::ranges::fill(samples, std::to_integer<std::int16_t>(payload[0]));
    return true;
  }
  void conceal(std::span<std::int16_t> samples, std::span<const std::byte> following) override {
    asked_.concealed.emplace_back(samples.size(), following.empty() ? 0 : std::to_integer<int>(following[0]));
    std::ranges::fill(samples, std::int16_t{0});
  }
  void reset() override { ++asked_.resets; }

 private:
  Asked& asked_;
};

/// A buffer, and the ends of it: packets of 20 ms by their values, and what comes out of 20 ms.
class Buffered {
 public:
  explicit Buffered(std::uint32_t clock_rate = sample_rate)
      : buffer(std::make_unique<FakeDecoder>(asked), clock_rate) {}

  void put(std::uint32_t timestamp, int value, std::size_t length = frame) {
    buffer.put(timestamp, std::vector<std::byte>(length, static_cast<std::byte>(value)));
  }
  /// As the value that all of it has; nothing if it is not of one value.
  auto next_value() -> std::optional<int> {
    std::array<std::int16_t, frame> out{};
    static_cast<void>(buffer.take(out));
    if (!std::ranges::all_of(out, [&](std::int16_t each) { return each == out[0]; })) return {};
    return out[0];
  }
  void pass_delay() {
    for (std::uint32_t waited = 0; waited < JitterBuffer::delay_first; waited += frame)
      EXPECT_EQ(next_value(), 0);
  }

  Asked asked;
  JitterBuffer buffer;
};

TEST(JitterBuffer, packets_come_out_in_order_after_the_delay) {
  Buffered b;
  b.put(1000, 1);
  b.put(1000 + 2 * frame, 3);
  b.put(1000 + frame, 2);
  b.pass_delay();
  for (int expected = 1; expected <= 3; ++expected) EXPECT_EQ(b.next_value(), expected);
  EXPECT_EQ(b.next_value(), 0);
  EXPECT_EQ(b.asked.decoded, (std::vector{1, 2, 3}));
}

TEST(JitterBuffer, before_the_first_packet_nothing_is_decoded) {
  Buffered b;
  for (unsigned i = 0; i < 10; ++i) EXPECT_EQ(b.next_value(), 0);
  EXPECT_TRUE(b.asked.concealed.empty());
}

TEST(JitterBuffer, timestamps_may_count_by_a_faster_clock) {
  Buffered b(48000);
  constexpr std::uint32_t step = 6 * frame;
  b.put(0U - step, 1);
  b.put(0, 2);
  b.put(2 * step, 4);
  b.pass_delay();
  EXPECT_EQ(b.next_value(), 1);
  EXPECT_EQ(b.next_value(), 2);
  EXPECT_EQ(b.next_value(), 0);
  EXPECT_EQ(b.next_value(), 4);
}

TEST(JitterBuffer, a_lost_packet_is_concealed_with_the_one_behind_it_at_hand) {
  Buffered b;
  b.put(0, 1);
  b.put(2 * frame, 3);
  b.pass_delay();
  b.asked.concealed.clear();
  EXPECT_EQ(b.next_value(), 1);
  EXPECT_EQ(b.next_value(), 0);
  EXPECT_EQ(b.next_value(), 3);
  EXPECT_EQ(b.asked.concealed, (std::vector{std::pair{frame, 3}}));
}

TEST(JitterBuffer, of_several_lost_packets_only_the_last_one_is_told_of_and_the_others_may_still_come) {
  Buffered b;
  b.put(0, 1);
  b.put(4 * frame, 5);
  b.pass_delay();
  b.asked.concealed.clear();
  EXPECT_EQ(b.next_value(), 1);
  EXPECT_EQ(b.next_value(), 0);
  b.put(2 * frame, 3);
  EXPECT_EQ(b.next_value(), 3);
  EXPECT_EQ(b.next_value(), 0);
  EXPECT_EQ(b.next_value(), 5);
  EXPECT_EQ(b.asked.concealed, (std::vector{std::pair{frame, 0}, std::pair{frame, 5}}));
}

TEST(JitterBuffer, a_long_packet_that_is_lost_is_concealed_as_one) {
  Buffered b;
  b.put(0, 1, 3 * frame);
  b.put(6 * frame, 3, 3 * frame);
  b.pass_delay();
  b.asked.concealed.clear();
  for (const int expected : {1, 1, 1, 0, 0, 0, 3, 3, 3}) EXPECT_EQ(b.next_value(), expected);
  EXPECT_EQ(b.asked.concealed, (std::vector{std::pair{3 * frame, 3}}));
}

TEST(JitterBuffer, a_pause_is_concealed_up_to_the_limit_and_silent_beyond) {
  Buffered b;
  b.put(0, 1);
  b.pass_delay();
  b.asked.concealed.clear();
  EXPECT_EQ(b.next_value(), 1);
  const std::size_t packets = JitterBuffer::concealed_max / frame;
  for (std::size_t i = 0; i < packets + 5; ++i) EXPECT_EQ(b.next_value(), 0);
  EXPECT_EQ(b.asked.concealed.size(), packets);
}

TEST(JitterBuffer, a_packet_that_comes_twice_is_decoded_once) {
  Buffered b;
  b.put(0, 1);
  b.put(0, 1);
  b.put(frame, 2);
  b.put(frame, 9);
  b.pass_delay();
  EXPECT_EQ(b.next_value(), 1);
  b.put(0, 1);
  EXPECT_EQ(b.next_value(), 2);
  EXPECT_EQ(b.asked.decoded, (std::vector{1, 2}));
  EXPECT_EQ(b.buffer.late(), 1U);
}

TEST(JitterBuffer, copies_in_a_row_of_a_decoded_packet_are_late_and_begin_nothing_up_to_the_limit) {
  for (const std::size_t count :
       {JitterBuffer::remembered_max - 1, JitterBuffer::remembered_max, JitterBuffer::remembered_max + 1}) {
    Buffered b;
    std::uint32_t timestamp = 0;
    for (std::size_t i = 0; i < count; ++i) {
      b.put(timestamp += frame, 1);
      b.next_value();
    }
    for (unsigned i = 0; i < 3; ++i) b.next_value();  // what the delay left to decode
    ASSERT_EQ(b.asked.decoded.size(), count);
    for (unsigned i = 0; i < JitterBuffer::late_max; ++i) b.put(frame, 1);
    EXPECT_EQ(b.buffer.late(), JitterBuffer::late_max);
    for (unsigned i = 0; i < 10; ++i) b.next_value();
    // One that is forgotten is taken for a source that began again.
    EXPECT_EQ(b.asked.decoded.size(), count > JitterBuffer::remembered_max ? count + 1 : count);
  }
}

TEST(JitterBuffer, payloads_that_are_none_are_counted_and_leave_a_gap) {
  Buffered b;
  b.put(0, 1);
  b.put(frame, std::to_integer<int>(broken));
  b.put(2 * frame, std::to_integer<int>(deceiving));
  b.put(3 * frame, 4);
  b.buffer.put(4 * frame, {});
  EXPECT_EQ(b.buffer.undecodable(), 2U);
  b.pass_delay();
  for (const int expected : {1, 0, 0, 4}) EXPECT_EQ(b.next_value(), expected);
  EXPECT_EQ(b.buffer.undecodable(), 3U);
}

TEST(JitterBuffer, of_packets_that_overlap_the_later_one_goes_on_where_the_other_ends) {
  Buffered b;
  b.put(0, 1, frame);
  b.put(frame / 2, 2, 2 * frame);
  b.pass_delay();
  EXPECT_EQ(b.next_value(), 1);
  std::array<std::int16_t, 3 * frame / 2> out{};
  EXPECT_EQ(b.buffer.take(out), out.size());
  EXPECT_TRUE(std::ranges::all_of(out, [](std::int16_t each) { return each == 2; }));
}

TEST(JitterBuffer, timestamps_may_wrap) {
  Buffered b;
  b.put(static_cast<std::uint32_t>(0U - frame), 1);
  b.put(0, 2);
  b.pass_delay();
  EXPECT_EQ(b.next_value(), 1);
  EXPECT_EQ(b.next_value(), 2);
}

TEST(JitterBuffer, packets_that_keep_coming_late_make_the_delay_longer_up_to_its_limit) {
  Buffered b;
  std::uint32_t timestamp = 0;
  b.put(timestamp, 1);
  for (unsigned round = 0; round < 100; ++round) {
    for (unsigned i = 0; i < 40; ++i) b.next_value();  // 800 ms pass, one packet comes
    b.put(timestamp += frame, 1);
  }
  EXPECT_GT(b.buffer.late(), 90U);
  EXPECT_EQ(b.buffer.delay(), JitterBuffer::delay_max);
}

TEST(JitterBuffer, a_stock_that_is_never_needed_is_left_out) {
  Buffered b;
  std::uint32_t timestamp = 0;
  for (unsigned i = 0; i < 20; ++i) b.put(timestamp += frame, 1);  // a burst of 400 ms
  unsigned empty = 0;
  for (unsigned i = 0; i < 2 * JitterBuffer::early_packets; ++i) {
    b.put(timestamp += frame, 1);
    b.next_value();
  }
  for (unsigned i = 0; i < 20; ++i) empty += b.next_value() == 0 ? 1U : 0U;
  // Without, 23 packets would wait here: the burst and the delay.
  EXPECT_GE(empty, 15U);
}

TEST(JitterBuffer, a_source_that_begins_elsewhere_is_heard_by_a_decoder_as_new) {
  Buffered b;
  b.put(0, 1);
  const unsigned before = b.asked.resets;
  b.put(0x40000000, 2);
  EXPECT_EQ(b.asked.resets, before + 1);
  b.pass_delay();
  EXPECT_EQ(b.next_value(), 2);
}

TEST(JitterBuffer, a_packet_longer_than_it_holds_is_cut) {
  for (const std::size_t size :
       {JitterBuffer::length_max - 1, JitterBuffer::length_max, JitterBuffer::length_max + 1}) {
    Buffered b;
    b.put(0, 1, size);
    std::vector<std::int16_t> out(JitterBuffer::delay_first + size);
    EXPECT_EQ(b.buffer.take(out), std::min(size, JitterBuffer::length_max));
  }
}

TEST(JitterBuffer, no_more_packets_wait_than_the_limit) {
  for (const std::size_t count :
       {JitterBuffer::packets_max - 1, JitterBuffer::packets_max, JitterBuffer::packets_max + 1}) {
    Buffered b;
    for (std::uint32_t i = 0; i < count; ++i) b.put(i, 1, 1);
    EXPECT_EQ(b.buffer.late(), count > JitterBuffer::packets_max ? 1U : 0U);
    std::vector<std::int16_t> out(JitterBuffer::capacity);
    EXPECT_EQ(b.buffer.take(out), std::min(count, JitterBuffer::packets_max));
  }
}

}  // namespace
}  // namespace portolan::media
