// SPDX-License-Identifier: BSD-2-Clause
#include "io/child_program.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>

#include <fmt/format.h>

#include "io/file_descriptor.h"
#include "io/system.h"

namespace portolan::io {
namespace {

constexpr std::size_t errors_max = 4096;

/// What a child starts with: its standard streams, and none of the signal settings of this program.
class Start {
 public:
  Start(int input, int errors) {
    ::posix_spawn_file_actions_init(&actions_);
    ::posix_spawn_file_actions_adddup2(&actions_, input, STDIN_FILENO);
    ::posix_spawn_file_actions_addopen(&actions_, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions_, errors, STDERR_FILENO);
    ::posix_spawnattr_init(&attributes_);
    ::posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    sigset_t signals;
    ::sigemptyset(&signals);
    ::posix_spawnattr_setsigmask(&attributes_, &signals);
    ::sigaddset(&signals, SIGPIPE);
    ::posix_spawnattr_setsigdefault(&attributes_, &signals);
  }
  Start(const Start&) = delete;
  auto operator=(const Start&) -> Start& = delete;
  ~Start() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
  }

  /// errno, or 0
  auto operator()(const std::string& name, char* const* arguments, pid_t& process) const -> int {
    int failed = ::posix_spawnp(&process, name.c_str(), &actions_, &attributes_, arguments, environ);
    for (const auto* folder : {"/usr/sbin/", "/sbin/"})
      // EACCES: PATH names a folder that this user may not look into.
      if (failed == ENOENT || failed == EACCES)
        failed =
            ::posix_spawn(&process, (folder + name).c_str(), &actions_, &attributes_, arguments, environ);
    return failed;
  }

 private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
};

/// A file that has no name: a child may read and write it at its own pace, which pipes don't let it.
auto nameless_file(const char* what) -> std::expected<FileDescriptor, std::string> {
  FileDescriptor file{::memfd_create(what, MFD_CLOEXEC)};
  if (!file) return std::unexpected(errno_text("memfd_create", errno));
  return file;
}

auto write_all(int file, std::string_view text) -> std::expected<void, std::string> {
  for (off_t at = 0; !text.empty();) {
    const auto written = ::pwrite(file, text.data(), text.size(), at);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return std::unexpected(errno_text("write", errno));
    text.remove_prefix(static_cast<std::size_t>(written));
    at += written;
  }
  return {};
}

auto beginning_of(int file) -> std::string {
  std::string text(errors_max, '\0');
  const auto got = ::pread(file, text.data(), text.size(), 0);
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  return text;
}

}  // namespace

auto run_program(const std::string& name, std::vector<std::string> arguments, std::string_view input)
    -> std::expected<ProgramEnd, std::string> {
  const auto in = nameless_file("input");
  if (!in) return std::unexpected(in.error());
  const auto errors = nameless_file("errors");
  if (!errors) return std::unexpected(errors.error());
  if (const auto written = write_all(in->get(), input); !written) return std::unexpected(written.error());

  arguments.insert(arguments.begin(), name);
  std::vector<char*> pointers;
  pointers.reserve(arguments.size() + 1);
  for (auto& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);

  ProgramEnd end;
  if (const int failed = Start{in->get(), errors->get()}(name, pointers.data(), end.process); failed != 0)
    return std::unexpected(errno_text(name, failed));
  int status = 0;
  while (::waitpid(end.process, &status, 0) < 0)
    if (errno != EINTR) return std::unexpected(errno_text(fmt::format("waiting for {}", name), errno));
  end.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  end.errors = beginning_of(errors->get());
  return end;
}

}  // namespace portolan::io
