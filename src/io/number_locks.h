// SPDX-License-Identifier: BSD-2-Clause
//
// Numbers that processes share out among themselves.
#pragma once

#include <cstdint>
#include <expected>
#include <filesystem>
#include <utility>

#include "io/file_descriptor.h"
#include "io/system.h"

namespace portolan::io {

/// By a file that they all have open: each number is one object's at a time, until that gives it up or its
/// process ends, however it ends.
class NumberLocks {
 public:
  /// The file is made, for its owner alone, if it does not exist. Errors  those of open(2)
  [[nodiscard]] static auto open(const std::filesystem::path& path)
      -> std::expected<NumberLocks, SystemError>;

  /// False: another object has it, or it cannot be had. What this object has it may take again.
  [[nodiscard]] auto take(std::uint32_t number) const -> bool;
  /// Waits for it. Errors  those of fcntl(2)
  [[nodiscard]] auto wait_for(std::uint32_t number) const -> std::expected<void, SystemError>;
  void give_up(std::uint32_t number) const;

 private:
  explicit NumberLocks(FileDescriptor file) : file_(std::move(file)) {}

  FileDescriptor file_;
};

}  // namespace portolan::io
