// SPDX-License-Identifier: BSD-2-Clause
#include "io/read_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "io/file_descriptor.h"

namespace portolan::io {

auto read_file(const std::filesystem::path& path, std::size_t octets_max)
    -> std::expected<std::vector<std::byte>, SystemError> {
  const auto fail = [](int number, const char* operation) {
    return std::unexpected(SystemError{.number = number, .operation = operation});
  };
  // O_NONBLOCK: a pipe of that name must not hold the program up.
  const FileDescriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (!file) return fail(errno, "open");
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) return fail(errno, "fstat");
  if (!S_ISREG(status.st_mode)) return fail(EINVAL, "not a regular file");
  std::vector<std::byte> octets(octets_max + 1);
  std::size_t size = 0;
  while (size < octets.size()) {
    const auto got = ::read(file.get(), octets.data() + size, octets.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(errno, "read");
    if (got == 0) {
      octets.resize(size);
      return octets;
    }
    size += static_cast<std::size_t>(got);
  }
  return fail(EFBIG, "read");
}

}  // namespace portolan::io
