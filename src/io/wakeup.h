// SPDX-License-Identifier: BSD-2-Clause
//
// For a thread of its own, without the event loop: waits for one descriptor, and lets other threads end
// the wait.
#pragma once

#include <optional>

#include "base/time.h"
#include "io/file_descriptor.h"

namespace portolan::io {

class Wakeup {
 public:
  /// Throws std::system_error if the kernel has no descriptors left.
  Wakeup();

  /// Ends the present wait, or else the next one. Thread: any.
  void signal() const noexcept;
  /// Takes signals given so far; whether there were any.
  [[nodiscard]] auto take() const noexcept -> bool;
  /// Readable while a signal waits to be taken; borrowed.
  [[nodiscard]] auto descriptor() const noexcept -> int { return descriptor_.get(); }

  struct Woken {
    bool signalled = false;
    bool readable = false;  ///< the descriptor waited for is readable or broken
  };
  /// Waits for a signal, which is taken, for `descriptor` (negative: none) or for `timeout` to pass; a
  /// negative one has passed. May end early with nothing.
  [[nodiscard]] auto wait(int descriptor, std::optional<Nanoseconds> timeout) const noexcept -> Woken;

 private:
  FileDescriptor descriptor_;
};

}  // namespace portolan::io
