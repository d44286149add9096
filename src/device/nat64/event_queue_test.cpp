// SPDX-License-Identifier: BSD-2-Clause
#include "device/nat64/event_queue.h"

#include <array>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "io/system.h"

namespace portolan::device {
namespace {

auto event(std::uint32_t number) -> nat::Event {
  return {.kind = nat::EventKind::binding_created, .packets = number};
}

TEST(EventQueue, holds_as_many_as_its_limit_and_counts_what_is_lost) {
  constexpr std::size_t limit = 4;
  for (const std::size_t count : {limit - 1, limit, limit + 1}) {
    EventQueue queue(limit);
    for (std::uint32_t i = 0; i < count; ++i) queue.put(event(i));
    EXPECT_EQ(queue.lost(), count > limit ? 1U : 0U);
    std::array<EventQueue::Entry, limit + 1> taken{};
    ASSERT_EQ(queue.take(taken), std::min(count, limit));
    for (std::uint32_t i = 0; i < std::min(count, limit); ++i) EXPECT_EQ(taken[i].event.packets, i);
    queue.put(event(77));
    ASSERT_EQ(queue.take(taken), 1U);
    EXPECT_EQ(taken[0].event.packets, 77U);
  }
}

TEST(EventQueue, events_have_the_time_of_day) {
  EventQueue queue(1);
  const auto before = io::wall_now().count();
  queue.put(event(0));
  const auto after = io::wall_now().count();
  std::array<EventQueue::Entry, 1> taken{};
  ASSERT_EQ(queue.take(taken), 1U);
  EXPECT_LE(before, taken[0].time);
  EXPECT_LE(taken[0].time, after);
}

TEST(EventQueue, its_descriptor_speaks_of_events_only_while_they_are_awaited) {
  EventQueue queue(8);
  const io::Wakeup nobody;
  const auto speaks = [&] { return nobody.wait(queue.descriptor(), Nanoseconds{0}).readable; };
  queue.put(event(0));
  EXPECT_FALSE(speaks());
  queue.wait();
  EXPECT_TRUE(speaks());
  queue.rest();
  EXPECT_FALSE(speaks());
  std::array<EventQueue::Entry, 8> taken{};
  ASSERT_EQ(queue.take(taken), 1U);
  queue.wait();
  EXPECT_FALSE(speaks());
  queue.put(event(1));
  EXPECT_TRUE(speaks());
}

TEST(EventQueue, every_event_arrives_once_and_in_order_or_is_counted) {
  constexpr std::uint32_t count = 200'000;
  EventQueue queue(64);
  std::thread writer([&] {
    for (std::uint32_t i = 1; i <= count; ++i) queue.put(event(i));
  });
  const io::Wakeup nobody;
  std::array<EventQueue::Entry, 16> taken{};
  std::uint64_t received = 0;
  std::uint32_t last = 0;
  while (received + queue.lost() < count) {
    queue.wait();
    static_cast<void>(nobody.wait(queue.descriptor(), Nanoseconds{1'000'000'000}));
    queue.rest();
    for (std::size_t got = queue.take(taken); got != 0; got = queue.take(taken))
      for (std::size_t i = 0; i < got; ++i) {
        ASSERT_GT(taken[i].event.packets, last);
        last = taken[i].event.packets;
        ++received;
      }
  }
  writer.join();
  EXPECT_EQ(received + queue.lost(), count);
}

}  // namespace
}  // namespace portolan::device
