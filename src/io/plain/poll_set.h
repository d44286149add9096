// SPDX-License-Identifier: BSD-2-Clause
//
// Descriptors, one deadline and a wake-up behind one descriptor that somebody else's event loop can watch:
// epoll, timerfd and eventfd, and nothing but the C library.
#pragma once

#include <expected>
#include <optional>
#include <vector>

#include "base/time.h"
#include "io/file_descriptor.h"
#include "io/system.h"

namespace portolan::io {

class PollSet {
 public:
  [[nodiscard]] static auto open() -> std::expected<PollSet, SystemError>;

  /// Readable when wait() would return at once.
  [[nodiscard]] auto descriptor() const -> int { return epoll_.get(); }
  /// Watches a descriptor for reading, until it is closed.
  [[nodiscard]] auto add(int descriptor) -> std::optional<SystemError>;
  /// Sets the deadline, on io::monotonic_now()'s time line; nothing: none.
  void arm(std::optional<TimePoint> deadline);
  /// Ends the present or the next wait(). Safe in signal handlers and from any thread.
  void wake() const;

  struct Ready {
    std::vector<int> readable;
    bool is_woken = false;
  };
  /// Waits until a descriptor is readable, the deadline has come, somebody woke it or `timeout` has passed
  /// (nothing: for ever). May end early with nothing.
  [[nodiscard]] auto wait(std::optional<Nanoseconds> timeout) -> Ready;

 private:
  FileDescriptor epoll_;
  FileDescriptor timer_;
  FileDescriptor wakeup_;
  std::optional<TimePoint> armed_;
};

}  // namespace portolan::io
