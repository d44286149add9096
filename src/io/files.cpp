// SPDX-License-Identifier: BSD-2-Clause
#include "io/files.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include <fmt/format.h>

namespace portolan::io {
namespace {

/// Its number where it has no name.
auto user_name(uid_t user) -> std::string {
  std::array<char, 4096> buffer{};
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(user, &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr)
    return fmt::format("{}", user);
  return entry.pw_name;
}

}  // namespace

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

auto make_file_of_folder(const std::filesystem::path& path) -> std::expected<FileDescriptor, SystemError> {
  auto file = make_file(path);
  if (!file || ::geteuid() != 0) return file;
  struct stat folder{};
  // By the descriptor: what the path leads to may be another file by now.
  if (::stat(path.has_parent_path() ? path.parent_path().c_str() : ".", &folder) != 0 ||
      ::fchown(file->get(), folder.st_uid, folder.st_gid) != 0)
    return std::unexpected(SystemError{.number = errno, .operation = "chown"});
  return file;
}

auto ownership_advice(const std::filesystem::path& path, const SystemError& error) -> std::string {
  struct stat status{};
  if (error.number != EACCES) return {};
  const uid_t user = ::geteuid();
  if (::stat(path.c_str(), &status) == 0)
    return status.st_uid == user ? std::string()
                                 : fmt::format(": it is {}'s: chown {}: {}", user_name(status.st_uid),
                                               user_name(user), path.string());
  if (::stat(path.parent_path().c_str(), &status) != 0 || status.st_uid == user) return {};
  return fmt::format(": its folder is {}'s, where {} may make no file", user_name(status.st_uid),
                     user_name(user));
}

}  // namespace portolan::io
