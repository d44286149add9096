// SPDX-License-Identifier: BSD-2-Clause
#include "io/write_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "io/file_descriptor.h"

namespace portolan::io {
namespace {

auto write_all(int descriptor, std::string_view text) -> bool {
  while (!text.empty()) {
    const auto written = ::write(descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

}  // namespace

auto replace_file(const std::filesystem::path& path, std::string_view text)
    -> std::expected<void, SystemError> {
  const auto fail = [](const char* operation) {
    return std::unexpected(SystemError{.number = errno, .operation = operation});
  };
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (error) return std::unexpected(SystemError{.number = error.value(), .operation = "mkdir"});
  auto beside = path;
  beside += ".new";
  FileDescriptor file{::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, S_IRUSR | S_IWUSR)};
  if (!file) return fail("open");
  if (!write_all(file.get(), text)) return fail("write");
  if (::fsync(file.get()) != 0) return fail("fsync");
  file.reset();
  if (::rename(beside.c_str(), path.c_str()) != 0) return fail("rename");
  const FileDescriptor folder{::open(path.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (!folder || ::fsync(folder.get()) != 0) return fail("fsync folder");
  return {};
}

}  // namespace portolan::io
