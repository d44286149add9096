// SPDX-License-Identifier: BSD-2-Clause
#include "media/reception.h"

#include <cstdint>

#include <gtest/gtest.h>

namespace portolan::media {
namespace {

constexpr std::uint32_t packet = 160;

/// Sends packets without jitter.
class Source {
 public:
  explicit Source(std::uint16_t first) : reception(1, first), next_(first) {}
  auto send(unsigned count = 1) -> bool {
    bool counts = false;
    for (unsigned i = 0; i < count; ++i) {
      counts = reception.receive(next_, timestamp_, timestamp_ + 7);
      ++next_;
      timestamp_ += packet;
    }
    return counts;
  }
  void lose(unsigned count) {
    next_ = static_cast<std::uint16_t>(next_ + count);
    timestamp_ += count * packet;
  }
  Reception reception;

 private:
  std::uint16_t next_;
  std::uint32_t timestamp_ = 0;
};

TEST(Reception, a_source_counts_from_its_second_packet_in_a_row_on) {
  Source source(100);
  EXPECT_FALSE(source.send());
  EXPECT_FALSE(source.reception.is_valid());
  source.lose(1);
  EXPECT_FALSE(source.send());
  EXPECT_TRUE(source.send());
  EXPECT_EQ(source.reception.received(), 1U);
  EXPECT_EQ(source.reception.expected(), 1U);
}

TEST(Reception, a_packet_whose_timestamp_is_no_time_counts_and_does_not_jitter) {
  Reception reception(1, 100);
  reception.receive(100, 0, 0);
  reception.receive(101, packet, packet);
  for (std::uint16_t i = 0; i < 10; ++i) EXPECT_TRUE(reception.receive(static_cast<std::uint16_t>(102 + i)));
  reception.receive(112, 12 * packet, 12 * packet);
  EXPECT_EQ(reception.received(), 12U);
  EXPECT_EQ(reception.lost(), 0);
  EXPECT_EQ(reception.jitter(), 0U);
}

TEST(Reception, losses_are_counted_over_the_wrap_of_sequence_numbers) {
  Source source(65530);
  source.send(6);
  source.lose(3);
  source.send(10);
  EXPECT_EQ(source.reception.received(), 15U);
  EXPECT_EQ(source.reception.expected(), 18U);
  EXPECT_EQ(source.reception.lost(), 3);
  const ReportBlock block = source.reception.report();
  EXPECT_EQ(block.highest_sequence, 0x10000U + 12U);
  EXPECT_EQ(block.cumulative_lost, 3);
  EXPECT_EQ(block.fraction_lost, 3 * 256 / 18);
}

TEST(Reception, the_next_report_tells_of_what_came_since) {
  Source source(0);
  source.send(5);
  source.lose(5);
  source.send(5);
  static_cast<void>(source.reception.report());
  source.send(10);
  EXPECT_EQ(source.reception.report().fraction_lost, 0);
  EXPECT_EQ(source.reception.report().cumulative_lost, 5);
}

TEST(Reception, duplicates_make_the_loss_negative) {
  Source source(0);
  source.send(3);
  EXPECT_TRUE(source.reception.receive(2, 2 * packet, 2 * packet + 7));
  EXPECT_TRUE(source.reception.receive(1, packet, packet + 7));
  EXPECT_EQ(source.reception.lost(), -2);
  EXPECT_EQ(source.reception.report().fraction_lost, 0);
}

TEST(Reception, gaps_up_to_the_limit_are_losses_and_larger_ones_a_new_beginning) {
  for (const unsigned gap : {Reception::dropout_max - 2U, Reception::dropout_max - 1U}) {
    Source source(0);
    source.send(10);
    source.lose(gap);
    const bool is_taken = gap + 1 < Reception::dropout_max;
    EXPECT_EQ(source.send(), is_taken) << gap;
    EXPECT_TRUE(source.send());
    EXPECT_EQ(source.reception.lost(), is_taken ? static_cast<int>(gap) : 0) << gap;
  }
}

TEST(Reception, jitter_is_zero_for_a_steady_source_and_grows_towards_the_mean_difference) {
  Source source(0);
  source.send(50);
  EXPECT_EQ(source.reception.jitter(), 0U);
  Reception reception(1, 0);
  std::uint16_t sequence = 0;
  for (unsigned i = 0; i < 500; ++i)
    reception.receive(sequence++, i * packet, i * packet + (i % 2 == 0 ? 0 : 80));
  // Each transit differs by 80 from the one before.
  EXPECT_GE(reception.jitter(), 70U);
  EXPECT_LE(reception.jitter(), 80U);
}

}  // namespace
}  // namespace portolan::media
