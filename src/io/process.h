// SPDX-License-Identifier: BSD-2-Clause
//
// What this process has used so far, by the kernel's count.
#pragma once

#include <cstdint>

namespace portolan::io {

/// Zero where the kernel does not say.
struct ProcessUse {
  double cpu_seconds = 0;
  std::uint64_t resident_octets = 0;
  std::uint64_t open_descriptors = 0;
  std::uint64_t descriptors_max = 0;
};

/// Cost: some system calls, and one for each hundred open descriptors.
[[nodiscard]] auto process_use() -> ProcessUse;

}  // namespace portolan::io
