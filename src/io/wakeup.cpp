// SPDX-License-Identifier: BSD-2-Clause
#include "io/wakeup.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <ctime>
#include <system_error>

namespace portolan::io {

Wakeup::Wakeup() : descriptor_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (!descriptor_) throw std::system_error(errno, std::generic_category(), "eventfd");
}

void Wakeup::signal() const noexcept {
  const std::uint64_t one = 1;
  // Fails only if the counter is at its limit, and then the descriptor is readable anyway.
  [[maybe_unused]] const auto written = ::write(descriptor_.get(), &one, sizeof one);
}

auto Wakeup::take() const noexcept -> bool {
  std::uint64_t count = 0;
  return ::read(descriptor_.get(), &count, sizeof count) == sizeof count;
}

auto Wakeup::wait(int descriptor, std::optional<Nanoseconds> timeout) const noexcept -> Woken {
  std::array<pollfd, 2> polled{{{.fd = descriptor_.get(), .events = POLLIN, .revents = 0},
                                {.fd = descriptor, .events = POLLIN, .revents = 0}}};
  const Nanoseconds left = std::max(timeout.value_or(Nanoseconds{0}), Nanoseconds{0});
  const auto seconds = std::chrono::floor<Seconds>(left);
  const timespec until{.tv_sec = seconds.count(), .tv_nsec = (left - seconds).count()};
  if (::ppoll(polled.data(), polled.size(), timeout ? &until : nullptr, nullptr) <= 0) return {};
  return {.signalled = polled[0].revents != 0 && take(), .readable = polled[1].revents != 0};
}

}  // namespace portolan::io
