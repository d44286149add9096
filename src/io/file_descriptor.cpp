// SPDX-License-Identifier: BSD-2-Clause
#include "io/file_descriptor.h"

#include <unistd.h>

#include <cerrno>

namespace portolan::io {

void FileDescriptor::reset(int number) noexcept {
  const int old = std::exchange(number_, number);
  if (old < 0) return;
  // After close() the number is free even if it reports an error, so there is nothing to repeat.
  const int saved = errno;
  static_cast<void>(::close(old));
  errno = saved;
}

}  // namespace portolan::io
