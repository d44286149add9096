// SPDX-License-Identifier: BSD-2-Clause
#include "io/append_file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <system_error>
#include <utility>

#include <fmt/format.h>

namespace portolan::io {
namespace {

constexpr int open_flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;

auto is_ready(int descriptor, Milliseconds limit) -> bool {
  pollfd asked{.fd = descriptor, .events = POLLOUT, .revents = 0};
  return ::poll(&asked, 1, static_cast<int>(limit.count())) == 1;
}

/// The first lines of `text` that a pipe takes together or not at all, or the first part of a longer one.
auto first_part(std::string_view text) -> std::string_view {
  if (text.size() <= PIPE_BUF) return text;
  const auto end = text.rfind('\n', PIPE_BUF - 1);
  return text.substr(0, end == std::string_view::npos ? PIPE_BUF : end + 1);
}

}  // namespace

auto AppendFile::open(const std::filesystem::path& path) -> std::expected<AppendFile, std::string> {
  constexpr int mode = 0640;
  AppendFile opened;
  opened.file_ = FileDescriptor(::open(path.c_str(), open_flags | O_CREAT, mode));
  if (!opened.file_) {
    const int number = errno;
    auto text = errno_text(fmt::format("open {}", path.string()), number);
    std::error_code ignored;
    if (number == ENXIO && std::filesystem::is_fifo(path, ignored))
      text += ": nobody reads this FIFO; start its reader first";
    return std::unexpected(std::move(text));
  }
  opened.descriptor_ = opened.file_.get();
  opened.way_ = way_of(opened.descriptor_) == Way::disk ? Way::disk : Way::nonblocking;
  return opened;
}

auto AppendFile::of(int descriptor) -> AppendFile {
  AppendFile opened;
  opened.descriptor_ = descriptor;
  opened.way_ = way_of(descriptor);
  if (opened.way_ != Way::polled) return opened;
  // O_NONBLOCK belongs to the description: setting it would change it for all who have the same standard
  // output. A description of our own may not be had, for want of rights, a reader, or /proc.
  opened.file_ = FileDescriptor(::open(fmt::format("/proc/self/fd/{}", descriptor).c_str(), open_flags));
  if (!opened.file_) return opened;
  opened.descriptor_ = opened.file_.get();
  opened.way_ = Way::nonblocking;
  return opened;
}

auto AppendFile::way_of(int descriptor) -> Way {
  struct stat status{};
  if (::fstat(descriptor, &status) != 0 || S_ISREG(status.st_mode)) return Way::disk;
  return S_ISSOCK(status.st_mode) ? Way::socket : Way::polled;
}

auto AppendFile::write_part(std::string_view text) const -> std::ptrdiff_t {
  // All but a disk's file takes less at a time: after poll(2) a pipe has room for no more without waiting.
  const auto part = way_ == Way::disk ? text : first_part(text);
  if (way_ == Way::socket) return ::send(descriptor_, part.data(), part.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (way_ == Way::polled && !is_ready(descriptor_, Milliseconds{0})) {
    errno = EAGAIN;
    return -1;
  }
  return ::write(descriptor_, part.data(), part.size());
}

auto AppendFile::write(std::string_view text) -> Written {
  const auto write_all = [this](std::string_view all) -> Written {
    std::size_t done = 0;
    while (done != all.size()) {
      const auto written = write_part(all.substr(done));
      if (written >= 0)
        done += static_cast<std::size_t>(written);
      else if (errno != EINTR)
        return {.octets = done, .error = SystemError{.number = errno, .operation = "write"}};
    }
    return {.octets = done};
  };
  const auto is_passing = [](const std::optional<SystemError>& error) {
    return error && error->number == EAGAIN;
  };

  if (!owed_.empty()) {
    const auto paid = write_all(owed_);
    owed_.erase(0, paid.octets);
    if (paid.error) {
      // Of a line that is lost anyway its end is enough.
      if (!is_passing(paid.error)) owed_ = "\n";
      return {.octets = 0, .error = paid.error};
    }
  }
  auto written = write_all(text);
  if (!written.error) return written;
  const auto whole = text.substr(0, written.octets).rfind('\n') + 1;  // npos + 1 is 0
  if (whole == written.octets) return written;
  if (is_passing(written.error)) {
    const auto end = std::min(text.find('\n', written.octets), text.size() - 1) + 1;
    owed_ = text.substr(written.octets, end - written.octets);
    written.octets = end;
  } else {
    owed_ = "\n";
    written.octets = whole;
  }
  return written;
}

void AppendFile::wait_writable(Milliseconds limit) const { static_cast<void>(is_ready(descriptor_, limit)); }

void ignore_broken_pipes() { static_cast<void>(::signal(SIGPIPE, SIG_IGN)); }

}  // namespace portolan::io
