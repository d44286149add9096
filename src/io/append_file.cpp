// SPDX-License-Identifier: BSD-2-Clause
#include "io/append_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include <fmt/format.h>

namespace portolan::io {

auto AppendFile::open(const std::filesystem::path& path) -> std::expected<AppendFile, std::string> {
  constexpr int mode = 0640;
  AppendFile opened;
  opened.file_ =
      FileDescriptor(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, mode));
  if (!opened.file_) return std::unexpected(errno_text(fmt::format("open {}", path.string()), errno));
  opened.descriptor_ = opened.file_.get();
  return opened;
}

auto AppendFile::write(std::string_view text) -> std::expected<void, SystemError> {
  const auto write_all = [this](std::string_view rest) -> std::expected<void, SystemError> {
    while (!rest.empty()) {
      const ssize_t written = ::write(descriptor_, rest.data(), rest.size());
      if (written < 0) {
        if (errno == EINTR) continue;
        return std::unexpected(SystemError{.number = errno, .operation = "write"});
      }
      if (written > 0) is_cut_ = rest[static_cast<std::size_t>(written) - 1] != '\n';
      rest.remove_prefix(static_cast<std::size_t>(written));
    }
    return {};
  };
  if (is_cut_)
    if (const auto ended = write_all("\n"); !ended) return ended;
  return write_all(text);
}

}  // namespace portolan::io
