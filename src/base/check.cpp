// SPDX-License-Identifier: BSD-2-Clause
#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace portolan {

void check_failed(const char* condition, const char* file, int line) noexcept {
  std::fprintf(stderr, "%s:%d: bug: '%s' does not hold\n", file, line, condition);
  std::abort();
}

}  // namespace portolan
