// SPDX-License-Identifier: BSD-2-Clause
//
// The clock and the randomness a running program hands to its engines, and errors of system calls as
// values.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include "base/random.h"
#include "base/time.h"

namespace portolan::io {

/// Now on the program's time line, which starts at boot.
///
/// The clock is CLOCK_BOOTTIME: a mapping's lifetime runs on at the other side while this machine is
/// suspended, so a clock that stands still meanwhile (CLOCK_MONOTONIC) would show a client mappings the
/// server dropped long ago. Timers of EventLoop follow the same clock and fire at once on resume.
/// Cost  a vDSO call        Thread  any
[[nodiscard]] auto monotonic_now() noexcept -> TimePoint;

/// Time since 1970 by the host's clock, which may be set to anything at any time. Cost a vDSO call. Thread:
/// any
[[nodiscard]] auto wall_now() noexcept -> Nanoseconds;

/// The kernel's random generator, read in blocks. Fit for nonces and secrets.
/// Bits handed out are wiped from the buffer. Thread: one object per thread; do not share across fork().
class SystemRandom final : public Random {
 public:
  auto next() -> std::uint64_t override;

 private:
  std::array<std::uint64_t, 32> buffer_{};
  std::size_t left_ = 0;
};

/// A failed system call: which, and errno. Costs no allocation, unlike its text.
struct SystemError {
  int number = 0;
  const char* operation = "";  ///< static storage
  auto operator==(const SystemError& other) const -> bool { return number == other.number; }
};

/// "recvmmsg: Connection refused".
[[nodiscard]] auto to_string(const SystemError& error) -> std::string;

/// Whether somebody looks at what is written there.
[[nodiscard]] auto is_terminal(std::FILE* file) -> bool;

/// "OPERATION: text of errno value `number`".
[[nodiscard]] auto errno_text(std::string_view operation, int number) -> std::string;

}  // namespace portolan::io
