// SPDX-License-Identifier: BSD-2-Clause
#include "io/system.h"

#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <span>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"

namespace portolan::io {

auto wall_now() noexcept -> Nanoseconds {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return Seconds{now.tv_sec} + Nanoseconds{now.tv_nsec};
}

auto monotonic_now() noexcept -> TimePoint {
  timespec now{};
  PORTOLAN_CHECK(::clock_gettime(CLOCK_BOOTTIME, &now) == 0);
  return TimePoint{std::chrono::seconds{now.tv_sec} + std::chrono::nanoseconds{now.tv_nsec}};
}

auto SystemRandom::next() -> std::uint64_t {
  if (left_ == 0) {
    std::span<std::byte> missing = std::as_writable_bytes(std::span(buffer_));
    while (!missing.empty()) {
      // Blocks only in the first moments of a machine's life, until the generator has been seeded.
      const auto got = ::getrandom(missing.data(), missing.size(), 0);
      // EINTR is its only failure with a valid buffer.
      if (got < 0) {
        PORTOLAN_CHECK(errno == EINTR);
        continue;
      }
      missing = missing.subspan(static_cast<std::size_t>(got));
    }
    left_ = buffer_.size();
  }
  return std::exchange(buffer_[--left_], 0);
}

auto to_string(const SystemError& error) -> std::string { return errno_text(error.operation, error.number); }

auto is_terminal(std::FILE* file) -> bool { return ::isatty(::fileno(file)) == 1; }

auto errno_text(std::string_view operation, int number) -> std::string {
  return fmt::format("{}: {}", operation, std::generic_category().message(number));
}

}  // namespace portolan::io
