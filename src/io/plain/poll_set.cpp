// SPDX-License-Identifier: BSD-2-Clause
#include "io/plain/poll_set.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>

namespace portolan::io {
namespace {

constexpr std::size_t events_at_once = 16;
constexpr Milliseconds longest_wait = std::chrono::hours{24};

void drain(int descriptor) {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto got = ::read(descriptor, &count, sizeof count);
}

}  // namespace

auto PollSet::open() -> std::expected<PollSet, SystemError> {
  PollSet set;
  set.epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!set.epoll_) return std::unexpected(SystemError{.number = errno, .operation = "epoll_create1"});
  set.timer_.reset(::timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC));
  if (!set.timer_) return std::unexpected(SystemError{.number = errno, .operation = "timerfd_create"});
  set.wakeup_.reset(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!set.wakeup_) return std::unexpected(SystemError{.number = errno, .operation = "eventfd"});
  for (const int descriptor : {set.timer_.get(), set.wakeup_.get()})
    if (const auto error = set.add(descriptor)) return std::unexpected(*error);
  return set;
}

auto PollSet::add(int descriptor) -> std::optional<SystemError> {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = descriptor;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, descriptor, &event) == 0) return {};
  return SystemError{.number = errno, .operation = "epoll_ctl"};
}

void PollSet::arm(std::optional<TimePoint> deadline) {
  if (deadline == armed_) return;
  armed_ = deadline;
  itimerspec when{};
  if (deadline) {
    // All zeros would disarm it.
    const Nanoseconds at = std::max(deadline->time_since_epoch(), Nanoseconds{1});
    const auto seconds = std::chrono::floor<Seconds>(at);
    when.it_value = {.tv_sec = seconds.count(), .tv_nsec = (at - seconds).count()};
  }
  ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &when, nullptr);
}

void PollSet::wake() const {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(wakeup_.get(), &one, sizeof one);
}

auto PollSet::wait(std::optional<Nanoseconds> timeout) -> Ready {
  std::array<epoll_event, events_at_once> events{};
  int milliseconds = -1;
  if (timeout) {
    const auto bounded = std::clamp(std::chrono::ceil<Milliseconds>(*timeout), Milliseconds{0}, longest_wait);
    milliseconds = static_cast<int>(bounded.count());
  }
  const int count = ::epoll_wait(epoll_.get(), events.data(), events.size(), milliseconds);
  Ready ready;
  for (int i = 0; i < count; ++i) {
    const int descriptor = events[static_cast<std::size_t>(i)].data.fd;
    if (descriptor == timer_.get()) {
      drain(descriptor);
      armed_.reset();
    } else if (descriptor == wakeup_.get()) {
      drain(descriptor);
      ready.is_woken = true;
    } else {
      ready.readable.push_back(descriptor);
    }
  }
  return ready;
}

}  // namespace portolan::io
