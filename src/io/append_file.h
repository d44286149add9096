// SPDX-License-Identifier: BSD-2-Clause
//
// A file that lines are added to, which others may move away and read meanwhile.
#pragma once

#include <cstddef>
#include <expected>
#include <filesystem>
#include <string>
#include <string_view>

#include "io/file_descriptor.h"
#include "io/system.h"

namespace portolan::io {

class AppendFile {
 public:
  /// Standard output.
  AppendFile() = default;
  /// Opens the file at `path`, made if there is none: its owner may write it, its group read it.
  /// Errors  text for the operator
  [[nodiscard]] static auto open(const std::filesystem::path& path) -> std::expected<AppendFile, std::string>;

  /// Adds `text`, which is lines; with an error any first part of it, and what is added next begins a line.
  /// May wait for the disk or for who reads.
  [[nodiscard]] auto write(std::string_view text) -> std::expected<void, SystemError>;

 private:
  FileDescriptor file_;
  int descriptor_ = 1;   // standard output
  bool is_cut_ = false;  // the last line
};

}  // namespace portolan::io
