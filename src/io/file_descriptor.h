// SPDX-License-Identifier: BSD-2-Clause
//
// A file descriptor as an owning value: moved, never copied, closed once.
#pragma once

#include <utility>

namespace portolan::io {

class FileDescriptor {
 public:
  constexpr FileDescriptor() = default;
  /// Takes ownership; a negative number is "none".
  constexpr explicit FileDescriptor(int number) : number_(number) {}
  FileDescriptor(FileDescriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  auto operator=(FileDescriptor&& other) noexcept -> FileDescriptor& {
    if (this != &other) reset(std::exchange(other.number_, -1));
    return *this;
  }
  FileDescriptor(const FileDescriptor&) = delete;
  auto operator=(const FileDescriptor&) -> FileDescriptor& = delete;
  ~FileDescriptor() { reset(); }

  /// The number, borrowed; -1 if there is none.
  [[nodiscard]] auto get() const noexcept -> int { return number_; }
  [[nodiscard]] explicit operator bool() const noexcept { return number_ >= 0; }

  /// Gives ownership away.
  [[nodiscard]] auto release() noexcept -> int { return std::exchange(number_, -1); }
  /// Closes what it holds and takes `number`; errno is kept.
  void reset(int number = -1) noexcept;

 private:
  int number_ = -1;
};

}  // namespace portolan::io
