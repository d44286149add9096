// SPDX-License-Identifier: BSD-2-Clause
#include "io/files.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>

namespace portolan::io {

auto lock_file(const std::filesystem::path& path) -> std::expected<FileDescriptor, SystemError> {
  FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  const int refused = errno;
  if (!file) file.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return std::unexpected(SystemError{.number = refused, .operation = "open"});
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0)
    return std::unexpected(SystemError{.number = errno, .operation = "flock"});
  return file;
}

auto make_file(const std::filesystem::path& path) -> std::expected<FileDescriptor, SystemError> {
  FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file) return std::unexpected(SystemError{.number = errno, .operation = "open"});
  return file;
}

}  // namespace portolan::io
