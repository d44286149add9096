// SPDX-License-Identifier: BSD-2-Clause
//
// One thread's event loop: descriptors, timers, signals, and work posted by other threads. It hides
// Boost.Asio, which takes seconds to compile per file that includes it.
//
// Rules
//   - Handlers run on the thread inside run(), one at a time, never from within the call that registers
//     them.
//   - Everything but post() and stop() is called on that thread, or while no thread is in run().
//   - A Watch or Timer that is destroyed, assigned over or cancelled never calls its handler again, not
//     even for an event that had already happened. A handler may destroy its own Watch or Timer.
//   - A Watch is destroyed before its descriptor is closed.
//   - Watches and Timers may outlive their EventLoop; they are dead then.
//   - An exception thrown by a handler leaves run(); the loop stays usable.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>

#include "base/time.h"

namespace boost::asio {
class io_context;
}

namespace portolan::io {

namespace detail {
struct LoopState;
struct WatchState;
struct TimerState;
}  // namespace detail

using Handler = std::function<void()>;

/// Registration of a descriptor or of signals; cancels on destruction.
class [[nodiscard]] Watch {
 public:
  Watch() noexcept;
  Watch(Watch&&) noexcept;
  auto operator=(Watch&&) noexcept -> Watch&;
  ~Watch();

  void cancel() noexcept;
  [[nodiscard]] auto is_active() const noexcept -> bool;

 private:
  friend class EventLoop;
  explicit Watch(std::shared_ptr<detail::WatchState> state) noexcept;
  std::shared_ptr<detail::WatchState> state_;
};

/// A deadline; cancels on destruction. Fires once per arm().
class [[nodiscard]] Timer {
 public:
  Timer() noexcept;
  Timer(Timer&&) noexcept;
  auto operator=(Timer&&) noexcept -> Timer&;
  ~Timer();

  /// Sets or moves the deadline; one in the past fires on the next turn of the loop. No effect on a
  /// Timer without a loop. Cost O(log timers).
  void arm(TimePoint deadline);
  /// Takes the deadline away; arm() may follow.
  void disarm() noexcept;
  [[nodiscard]] auto is_armed() const noexcept -> bool;

 private:
  friend class EventLoop;
  explicit Timer(std::shared_ptr<detail::TimerState> state) noexcept;
  std::shared_ptr<detail::TimerState> state_;
};

class EventLoop {
 public:
  /// Throws std::system_error if the kernel has no descriptors left.
  EventLoop();
  EventLoop(const EventLoop&) = delete;
  auto operator=(const EventLoop&) -> EventLoop& = delete;
  /// Destroys handlers, also posted ones that never ran.
  ~EventLoop();

  /// Calls `handler` while `descriptor` (borrowed, one Watch each) is readable or broken, once per turn
  /// of the loop: a handler that leaves data behind is called again.
  /// Throws std::system_error if the descriptor cannot be watched (a regular file, one watched already).
  auto on_readable(int descriptor, Handler handler) -> Watch;

  /// Calls `handler` with the signal's number each time one of `signals` arrives. Cancelling the Watch
  /// gives them back their default action, so a handler that cancels lets a second Ctrl-C kill.
  auto on_signal(std::initializer_list<int> signals, std::function<void(int)> handler) -> Watch;

  /// A timer armed for `deadline` (of monotonic_now()). Timers fire in the order of their deadlines.
  auto at(TimePoint deadline, Handler handler) -> Timer;

  /// A timer not armed yet.
  auto timer(Handler handler) -> Timer;

  /// Runs `handler` on the loop's thread, in the order a thread posted them. What is posted before run()
  /// waits for it. Thread: any, while the loop exists.
  void post(Handler handler);

  /// Serves events until stop(). May be called again.
  void run();

  /// Makes run() return after the handler at work; if no thread is in run(), the next run() returns at once.
  /// Thread: any, while the loop exists.
  void stop();

  /// Asio's side of the loop, for the files that speak Asio themselves (HTTP, TLS).
  [[nodiscard]] auto context() noexcept -> boost::asio::io_context&;

 private:
  std::unique_ptr<detail::LoopState> state_;
};

}  // namespace portolan::io
