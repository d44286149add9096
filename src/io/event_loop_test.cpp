// SPDX-License-Identifier: BSD-2-Clause
#include "io/event_loop.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/file_descriptor.h"
#include "io/system.h"

namespace portolan::io {
namespace {

using ::testing::ElementsAre;
using namespace std::chrono_literals;

class EventLoopTest : public ::testing::Test {
 protected:
  /// Runs until a handler calls loop.stop(); a loop nobody stops fails the test instead of hanging it.
  void run() {
    const Timer limit = loop.at(monotonic_now() + 20s, [this] {
      ADD_FAILURE() << "nothing stopped the loop";
      loop.stop();
    });
    loop.run();
  }
  /// Runs what is ready, and stops behind it.
  void run_ready() {
    // Through a timer that is due: descriptors and posted work already waiting come first or with it.
    const Timer turn = loop.at(monotonic_now(), [this] { loop.post([this] { loop.stop(); }); });
    run();
  }

  EventLoop loop;
};

struct Pipe {
  Pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC) != 0) ADD_FAILURE() << "pipe2 fails";
    out.reset(ends[0]);
    in.reset(ends[1]);
  }
  void put() const { EXPECT_EQ(::write(in.get(), "x", 1), 1); }
  [[nodiscard]] auto take() const -> bool {
    char octet = 0;
    return ::read(out.get(), &octet, 1) == 1;
  }
  FileDescriptor out;
  FileDescriptor in;
};

TEST_F(EventLoopTest, timers_fire_in_the_order_of_their_deadlines_then_of_arming) {
  std::vector<int> fired;
  const TimePoint now = monotonic_now();
  const Timer c = loop.at(now + 3ms, [&] {
    fired.push_back(3);
    loop.stop();
  });
  const Timer a = loop.at(now + 1ms, [&] { fired.push_back(1); });
  const Timer b1 = loop.at(now + 2ms, [&] { fired.push_back(20); });
  const Timer b2 = loop.at(now + 2ms, [&] { fired.push_back(21); });
  run();
  EXPECT_THAT(fired, ElementsAre(1, 20, 21, 3));
  EXPECT_GE(monotonic_now(), now + 3ms);
}

TEST_F(EventLoopTest, deadline_in_the_past_fires_from_run_and_not_from_at) {
  bool has_fired = false;
  const Timer timer = loop.at(TimePoint{}, [&] {
    has_fired = true;
    loop.stop();
  });
  EXPECT_FALSE(has_fired);
  EXPECT_TRUE(timer.is_armed());
  run();
  EXPECT_TRUE(has_fired);
  EXPECT_FALSE(timer.is_armed());
}

TEST_F(EventLoopTest, timer_arms_itself_again_without_starving_descriptors) {
  const Pipe pipe;
  pipe.put();
  int turns = 0;
  Timer timer;
  timer = loop.at(monotonic_now(), [&] {
    ++turns;
    timer.arm(monotonic_now());
  });
  const Watch watch = loop.on_readable(pipe.out.get(), [&] {
    EXPECT_TRUE(pipe.take());
    if (turns >= 3) {
      loop.stop();
    } else {
      pipe.put();
    }
  });
  run();
  EXPECT_GE(turns, 3);
}

TEST_F(EventLoopTest, moved_deadline_counts_alone) {
  int fired = 0;
  const TimePoint now = monotonic_now();
  Timer timer = loop.at(now + 1ms, [&] {
    ++fired;
    EXPECT_GE(monotonic_now(), now + 5ms);
  });
  timer.arm(now + 5ms);
  const Timer end = loop.at(now + 8ms, [&] { loop.stop(); });
  run();
  EXPECT_EQ(fired, 1);
}

TEST_F(EventLoopTest, due_timer_cancelled_by_an_earlier_one_stays_silent) {
  Timer destroyed;
  Timer disarmed;
  const TimePoint due = monotonic_now();
  const Timer first = loop.at(due, [&] {
    destroyed = Timer{};
    disarmed.disarm();
    loop.post([&] { loop.stop(); });
  });
  destroyed = loop.at(due, [] { ADD_FAILURE() << "destroyed timer fires"; });
  disarmed = loop.at(due, [] { ADD_FAILURE() << "disarmed timer fires"; });
  run();
}

TEST_F(EventLoopTest, timer_may_destroy_itself) {
  auto timer = std::make_unique<Timer>();
  const auto held = std::make_shared<int>(7);
  *timer = loop.at(monotonic_now(), [&timer, &loop = loop, held] {
    timer.reset();
    EXPECT_EQ(*held, 7);  // the handler outlives its timer until it returns
    loop.stop();
  });
  run();
  EXPECT_EQ(timer, nullptr);
}

TEST_F(EventLoopTest, handler_is_called_while_data_is_left) {
  const Pipe pipe;
  for (int i = 0; i < 3; ++i) pipe.put();
  int calls = 0;
  const Watch watch = loop.on_readable(pipe.out.get(), [&] {
    EXPECT_TRUE(pipe.take());
    if (++calls == 3) loop.stop();
  });
  run();
  EXPECT_EQ(calls, 3);
}

TEST_F(EventLoopTest, drained_descriptor_wakes_nobody) {
  const Pipe pipe;
  pipe.put();
  int calls = 0;
  const Watch watch = loop.on_readable(pipe.out.get(), [&] {
    ++calls;
    EXPECT_TRUE(pipe.take()) << "called without data";
  });
  run_ready();
  run_ready();
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, closed_other_end_counts_as_readable) {
  Pipe pipe;
  pipe.in.reset();
  const Watch watch = loop.on_readable(pipe.out.get(), [&] { loop.stop(); });
  run();
}

TEST_F(EventLoopTest, destroyed_watch_stays_silent_and_leaves_the_descriptor_open) {
  const Pipe pipe;
  pipe.put();
  {
    const Watch watch = loop.on_readable(pipe.out.get(), [] { ADD_FAILURE() << "destroyed watch called"; });
  }
  run_ready();
  EXPECT_TRUE(pipe.take());
  // and may be watched anew
  pipe.put();
  const Watch again = loop.on_readable(pipe.out.get(), [&] { loop.stop(); });
  run();
}

TEST_F(EventLoopTest, watch_may_destroy_itself_and_another_that_is_ready) {
  const Pipe a;
  const Pipe b;
  a.put();
  b.put();
  Watch watch_a;
  Watch watch_b;
  int calls = 0;
  const auto handler = [&] {
    ++calls;
    watch_a = Watch{};
    watch_b.cancel();
    EXPECT_FALSE(watch_b.is_active());
  };
  watch_a = loop.on_readable(a.out.get(), handler);
  watch_b = loop.on_readable(b.out.get(), handler);
  run_ready();
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, watching_twice_or_a_regular_file_throws) {
  const Pipe pipe;
  const Watch watch = loop.on_readable(pipe.out.get(), [] {});
  EXPECT_THROW(static_cast<void>(loop.on_readable(pipe.out.get(), [] {})), std::system_error);
  const FileDescriptor file{::open("/proc/self/exe", O_RDONLY | O_CLOEXEC)};
  EXPECT_THROW(static_cast<void>(loop.on_readable(file.get(), [] {})), std::system_error);
}

TEST_F(EventLoopTest, signals_reach_their_handler_each_time) {
  std::vector<int> seen;
  const Watch watch = loop.on_signal({SIGUSR1, SIGUSR2}, [&](int signal) {
    seen.push_back(signal);
    if (seen.size() == 3) return loop.stop();
    ::raise(SIGUSR1);
  });
  ::raise(SIGUSR2);
  run();
  EXPECT_THAT(seen, ElementsAre(SIGUSR2, SIGUSR1, SIGUSR1));
}

TEST_F(EventLoopTest, cancelled_signal_watch_gives_back_the_default_action) {
  Watch watch;
  watch = loop.on_signal({SIGUSR1}, [&](int) {
    watch.cancel();
    loop.stop();
  });
  ::raise(SIGUSR1);
  run();
  EXPECT_EXIT(::raise(SIGUSR1), ::testing::KilledBySignal(SIGUSR1), "");
}

TEST_F(EventLoopTest, work_posted_by_many_threads_runs_here_in_each_thread_s_order) {
  constexpr int threads = 4;
  constexpr int items = 2000;
  std::array<int, threads> next{};
  int done = 0;
  const auto here = std::this_thread::get_id();
  std::vector<std::jthread> posting;
  posting.reserve(threads);
  for (int thread = 0; thread < threads; ++thread) {
    posting.emplace_back([&, thread] {
      for (int item = 0; item < items; ++item) {
        loop.post([&, thread, item] {
          EXPECT_EQ(std::this_thread::get_id(), here);
          EXPECT_EQ(next.at(static_cast<std::size_t>(thread))++, item);
          if (++done == threads * items) loop.stop();
        });
      }
    });
  }
  run();
  EXPECT_EQ(done, threads * items);
}

TEST_F(EventLoopTest, another_thread_stops_a_sleeping_loop) {
  std::optional<std::jthread> other;
  const Timer start = loop.at(monotonic_now(), [&] { other.emplace([this] { loop.stop(); }); });
  run();
}

TEST_F(EventLoopTest, stop_before_run_ends_one_run) {
  bool has_run = false;
  loop.post([&] {
    has_run = true;
    loop.stop();
  });
  loop.stop();
  loop.run();
  EXPECT_FALSE(has_run);
  run();
  EXPECT_TRUE(has_run);
}

TEST_F(EventLoopTest, handler_that_throws_leaves_run_and_stays_registered) {
  const Pipe pipe;
  pipe.put();
  int calls = 0;
  const Watch watch = loop.on_readable(pipe.out.get(), [&] {
    if (++calls == 1) throw std::runtime_error("handler");
    EXPECT_TRUE(pipe.take());
    loop.stop();
  });
  EXPECT_THROW(run(), std::runtime_error);
  run();
  EXPECT_EQ(calls, 2);

  const Timer throws = loop.at(monotonic_now(), [] { throw std::runtime_error("timer"); });
  const Timer after = loop.at(monotonic_now(), [&] { loop.stop(); });
  EXPECT_THROW(run(), std::runtime_error);
  run();
}

TEST(EventLoop, watches_and_timers_may_outlive_the_loop) {
  const Pipe pipe;
  Watch watch;
  Watch signal;
  Timer timer;
  auto held = std::make_shared<int>(1);
  {
    EventLoop loop;
    watch = loop.on_readable(pipe.out.get(), [held] {});
    signal = loop.on_signal({SIGUSR1}, [held](int) {});
    timer = loop.at(monotonic_now(), [held] {});
    loop.post([held] {});
  }
  EXPECT_FALSE(watch.is_active());
  EXPECT_FALSE(signal.is_active());
  EXPECT_FALSE(timer.is_armed());
  timer.arm(monotonic_now());
  watch.cancel();
  watch = Watch{};
  signal = Watch{};
  timer = Timer{};
  EXPECT_EQ(held.use_count(), 1);
}

}  // namespace
}  // namespace portolan::io
