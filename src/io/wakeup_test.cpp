// SPDX-License-Identifier: BSD-2-Clause
#include "io/wakeup.h"

#include <thread>

#include <gtest/gtest.h>

namespace portolan::io {
namespace {

TEST(Wakeup, a_signal_ends_the_next_wait_once) {
  Wakeup wakeup;
  const Wakeup other;
  wakeup.signal();
  wakeup.signal();
  EXPECT_TRUE(wakeup.wait(other.descriptor(), std::nullopt).signalled);
  const auto second = wakeup.wait(other.descriptor(), Nanoseconds{0});
  EXPECT_FALSE(second.signalled || second.readable);
}

TEST(Wakeup, a_readable_descriptor_ends_the_wait) {
  Wakeup wakeup;
  Wakeup other;
  other.signal();
  const auto woken = wakeup.wait(other.descriptor(), std::nullopt);
  EXPECT_TRUE(woken.readable);
  EXPECT_FALSE(woken.signalled);
}

TEST(Wakeup, a_signal_from_another_thread_ends_a_wait_without_deadline) {
  Wakeup wakeup;
  const Wakeup other;
  std::thread caller([&] { wakeup.signal(); });
  EXPECT_TRUE(wakeup.wait(other.descriptor(), std::nullopt).signalled);
  caller.join();
}

TEST(Wakeup, a_deadline_ends_the_wait) {
  Wakeup wakeup;
  const Wakeup other;
  const auto woken = wakeup.wait(other.descriptor(), Milliseconds{5});
  EXPECT_FALSE(woken.signalled || woken.readable);
}

}  // namespace
}  // namespace portolan::io
