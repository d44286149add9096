// SPDX-License-Identifier: BSD-2-Clause
//
// Timers are a sorted set in front of one timerfd of CLOCK_BOOTTIME: Asio's own timers follow
// CLOCK_MONOTONIC, which stands still during suspend.
#include "io/event_loop.h"

#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <optional>
#include <set>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>

#include "base/check.h"
#include "io/file_descriptor.h"
#include "io/system.h"

namespace portolan::io {
namespace {
namespace asio = boost::asio;
}

namespace detail {

/// A registration. Asio's pending operation shares it, so it outlives its Watch until that operation
/// has been called off; the members hold the borrowed descriptor only while the Watch is active.
struct WatchState {
  explicit WatchState(LoopState& owner) : loop(&owner) {}

  LoopState* loop;
  std::optional<asio::posix::stream_descriptor> descriptor;
  std::optional<asio::signal_set> signals;
  Handler on_ready;
  std::function<void(int)> on_signal;

  [[nodiscard]] auto is_active() const noexcept -> bool { return loop != nullptr; }
  void cancel() noexcept;
};

struct TimerState {
  TimerState(LoopState& owner, Handler handler) : loop(&owner), on_fire(std::move(handler)) {}

  LoopState* loop;
  Handler on_fire;
  std::optional<TimePoint> deadline;
  std::uint64_t order = 0;  ///< among equal deadlines: the order of arming
};

struct LoopState {
  struct Earlier {
    using is_transparent = void;
    auto operator()(const std::shared_ptr<TimerState>& a, const std::shared_ptr<TimerState>& b) const
        -> bool {
      return std::tie(*a->deadline, a->order) < std::tie(*b->deadline, b->order);
    }
  };

  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> work = asio::make_work_guard(context);
  std::set<WatchState*> watches;
  std::set<TimerState*> timers;                          ///< all that live
  std::set<std::shared_ptr<TimerState>, Earlier> armed;  ///< those waiting
  std::uint64_t arm_count = 0;
  FileDescriptor timer_descriptor;
  Watch timer_watch;
  std::optional<TimePoint> kernel_deadline;  ///< what the timerfd is set to

  void wait_readable(const std::shared_ptr<WatchState>& watch);
  void wait_signal(const std::shared_ptr<WatchState>& watch);
  void arm(const std::shared_ptr<TimerState>& timer, TimePoint deadline);
  void disarm(const std::shared_ptr<TimerState>& timer) noexcept;
  void set_kernel_timer();
  void fire_timers();
};

void WatchState::cancel() noexcept {
  if (!is_active()) return;
  loop->watches.erase(this);
  loop = nullptr;
  // The descriptor is borrowed: release() forgets it where close() would close it. Both call off the
  // pending operation, whose completion then finds the watch inactive.
  if (descriptor) static_cast<void>(descriptor->release());
  descriptor.reset();
  signals.reset();
}

/// Waits for the next event of `watch` once its handler is done, even if that throws. Not sooner: the
/// descriptor is still readable then, and the loop would wake a second time for nothing.
struct WaitAgain {
  const std::shared_ptr<WatchState>& watch;
  void (LoopState::*wait)(const std::shared_ptr<WatchState>&);
  ~WaitAgain() {
    if (watch->is_active()) (watch->loop->*wait)(watch);
  }
};

// The completion holds the watch, and so the handler it calls, even if the handler destroys its Watch.
void LoopState::wait_readable(const std::shared_ptr<WatchState>& watch) {
  watch->descriptor->async_wait(asio::posix::stream_descriptor::wait_read,
                                [watch](const boost::system::error_code&) {
                                  if (!watch->is_active()) return;
                                  const WaitAgain again{watch, &LoopState::wait_readable};
                                  watch->on_ready();
                                });
}

void LoopState::wait_signal(const std::shared_ptr<WatchState>& watch) {
  watch->signals->async_wait([watch](const boost::system::error_code&, int signal) {
    if (!watch->is_active()) return;
    const WaitAgain again{watch, &LoopState::wait_signal};
    watch->on_signal(signal);
  });
}

void LoopState::arm(const std::shared_ptr<TimerState>& timer, TimePoint deadline) {
  if (timer->deadline) armed.erase(timer);
  timer->deadline = deadline;
  timer->order = ++arm_count;
  armed.insert(timer);
  set_kernel_timer();
}

void LoopState::disarm(const std::shared_ptr<TimerState>& timer) noexcept {
  if (!timer->deadline) return;
  armed.erase(timer);
  timer->deadline.reset();
  // The timerfd stays as it is: at worst it wakes the loop once for nothing.
}

void LoopState::set_kernel_timer() {
  if (armed.empty()) return;
  const TimePoint earliest = *(*armed.begin())->deadline;
  if (kernel_deadline && *kernel_deadline <= earliest) return;
  // An absolute time of zero would disarm the timerfd; any time in the past fires at once.
  const auto since_boot = std::max(earliest.time_since_epoch(), Nanoseconds{1});
  const auto whole = std::chrono::duration_cast<Seconds>(since_boot);
  itimerspec setting{};
  setting.it_value.tv_sec = whole.count();
  setting.it_value.tv_nsec = (since_boot - whole).count();
  PORTOLAN_CHECK(::timerfd_settime(timer_descriptor.get(), TFD_TIMER_ABSTIME, &setting, nullptr) == 0);
  kernel_deadline = earliest;
}

void LoopState::fire_timers() {
  std::uint64_t expirations = 0;
  [[maybe_unused]] const auto taken = ::read(timer_descriptor.get(), &expirations, sizeof expirations);
  kernel_deadline.reset();
  struct SetAgain {
    LoopState& loop;
    ~SetAgain() { loop.set_kernel_timer(); }  // also when a handler throws
  } const set_again{*this};
  // The due ones are listed first: a timer that a handler arms for "now" waits for the next turn, and
  // cannot keep descriptors from being served.
  const TimePoint now = monotonic_now();
  std::vector<std::pair<std::shared_ptr<TimerState>, std::uint64_t>> due;
  for (const auto& timer : armed) {
    if (*timer->deadline > now) break;
    due.emplace_back(timer, timer->order);
  }
  for (const auto& [timer, order] : due) {
    if (!timer->deadline || timer->order != order) continue;  // disarmed or moved by an earlier handler
    armed.erase(timer);
    timer->deadline.reset();
    timer->on_fire();
  }
}

}  // namespace detail

using detail::LoopState;
using detail::TimerState;
using detail::WatchState;

Watch::Watch() noexcept = default;
Watch::Watch(std::shared_ptr<WatchState> state) noexcept : state_(std::move(state)) {}
Watch::Watch(Watch&&) noexcept = default;
auto Watch::operator=(Watch&& other) noexcept -> Watch& {
  if (this != &other) {
    cancel();
    state_ = std::move(other.state_);
  }
  return *this;
}
Watch::~Watch() { cancel(); }

void Watch::cancel() noexcept {
  if (const auto state = std::move(state_)) state->cancel();
}

auto Watch::is_active() const noexcept -> bool { return state_ && state_->is_active(); }

Timer::Timer() noexcept = default;
Timer::Timer(std::shared_ptr<TimerState> state) noexcept : state_(std::move(state)) {}
Timer::Timer(Timer&&) noexcept = default;
auto Timer::operator=(Timer&& other) noexcept -> Timer& {
  if (this != &other) {
    Timer old{std::move(state_)};
    state_ = std::move(other.state_);
  }
  return *this;
}
Timer::~Timer() {
  if (!state_ || state_->loop == nullptr) return;
  disarm();
  state_->loop->timers.erase(state_.get());
  state_->loop = nullptr;
}

void Timer::arm(TimePoint deadline) {
  if (state_ && state_->loop != nullptr) state_->loop->arm(state_, deadline);
}

void Timer::disarm() noexcept {
  if (state_ && state_->loop != nullptr) state_->loop->disarm(state_);
}

auto Timer::is_armed() const noexcept -> bool { return state_ && state_->deadline.has_value(); }

EventLoop::EventLoop() : state_(std::make_unique<LoopState>()) {
  state_->timer_descriptor.reset(::timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC));
  if (!state_->timer_descriptor)
    throw std::system_error(errno, std::generic_category(), "timerfd_create(CLOCK_BOOTTIME)");
  state_->timer_watch = on_readable(state_->timer_descriptor.get(), [this] { state_->fire_timers(); });
}

EventLoop::~EventLoop() {
  // Watches and timers are cut off before Asio goes: their handlers may own others, so each set is
  // emptied from the front.
  while (!state_->watches.empty()) (*state_->watches.begin())->cancel();
  while (!state_->timers.empty()) {
    TimerState* timer = *state_->timers.begin();
    state_->timers.erase(state_->timers.begin());
    timer->loop = nullptr;
    timer->deadline.reset();
  }
  state_->armed.clear();
}

auto EventLoop::on_readable(int descriptor, Handler handler) -> Watch {
  // A file or folder is never waited for; Asio would take it and report each wait as failed.
  struct stat status{};
  if (::fstat(descriptor, &status) != 0)
    throw std::system_error(errno, std::generic_category(), "watching a descriptor");
  if (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode))
    throw std::system_error(EPERM, std::generic_category(), "watching a file");
  auto watch = std::make_shared<WatchState>(*state_);
  boost::system::error_code error;
  watch->descriptor.emplace(state_->context);
  if (watch->descriptor->assign(descriptor, error)) throw std::system_error(error, "watching a descriptor");
  watch->on_ready = std::move(handler);
  state_->watches.insert(watch.get());
  state_->wait_readable(watch);
  return Watch{std::move(watch)};
}

auto EventLoop::on_signal(std::initializer_list<int> signals, std::function<void(int)> handler) -> Watch {
  auto watch = std::make_shared<WatchState>(*state_);
  watch->signals.emplace(state_->context);
  for (const int signal : signals) {
    boost::system::error_code error;
    if (watch->signals->add(signal, error)) throw std::system_error(error, "watching a signal");
  }
  watch->on_signal = std::move(handler);
  state_->watches.insert(watch.get());
  state_->wait_signal(watch);
  return Watch{std::move(watch)};
}

auto EventLoop::at(TimePoint deadline, Handler handler) -> Timer {
  Timer made = timer(std::move(handler));
  made.arm(deadline);
  return made;
}

auto EventLoop::timer(Handler handler) -> Timer {
  auto state = std::make_shared<TimerState>(*state_, std::move(handler));
  state_->timers.insert(state.get());
  return Timer{std::move(state)};
}

void EventLoop::post(Handler handler) { asio::post(state_->context, std::move(handler)); }

void EventLoop::run() {
  state_->context.run();
  // Only after a regular end, so that a stop() made before run() is not lost.
  state_->context.restart();
}

void EventLoop::stop() { state_->context.stop(); }

auto EventLoop::context() noexcept -> boost::asio::io_context& { return state_->context; }

}  // namespace portolan::io
