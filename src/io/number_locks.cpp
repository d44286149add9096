// SPDX-License-Identifier: BSD-2-Clause
#include "io/number_locks.h"

#include <fcntl.h>

#include <cerrno>

namespace portolan::io {
namespace {

/// Of the octet of that number, which need not be there. The lock is the open file's, not the process's.
auto set_lock(const FileDescriptor& file, int command, short type, std::uint32_t number) -> bool {
  struct flock lock{};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = number;
  lock.l_len = 1;
  while (::fcntl(file.get(), command, &lock) != 0)
    if (errno != EINTR) return false;
  return true;
}

}  // namespace

auto NumberLocks::open(const std::filesystem::path& path) -> std::expected<NumberLocks, SystemError> {
  FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!file) return std::unexpected(SystemError{.number = errno, .operation = "open"});
  return NumberLocks(std::move(file));
}

auto NumberLocks::take(std::uint32_t number) const -> bool {
  return set_lock(file_, F_OFD_SETLK, F_WRLCK, number);
}

auto NumberLocks::wait_for(std::uint32_t number) const -> std::expected<void, SystemError> {
  if (!set_lock(file_, F_OFD_SETLKW, F_WRLCK, number))
    return std::unexpected(SystemError{.number = errno, .operation = "fcntl"});
  return {};
}

void NumberLocks::give_up(std::uint32_t number) const { set_lock(file_, F_OFD_SETLK, F_UNLCK, number); }

}  // namespace portolan::io
