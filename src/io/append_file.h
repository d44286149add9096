// SPDX-License-Identifier: BSD-2-Clause
//
// Where lines go: a file that others may move away and read meanwhile, or a pipe, a socket or a terminal that
// somebody reads. Only a disk is ever waited for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"
#include "io/file_descriptor.h"
#include "io/system.h"

namespace portolan::io {

class AppendFile {
 public:
  /// What became of a text.
  struct Written {
    std::size_t octets = 0;                 ///< of it, in whole lines
    std::optional<SystemError> error = {};  ///< why not all; EAGAIN: who reads it has to do so first
  };

  /// Nowhere: nothing can be written.
  AppendFile() = default;
  /// Opens what is at `path`; a file is made if there is none: its owner may write it, its group read it.
  /// Errors  text for the operator; a FIFO must have a reader
  [[nodiscard]] static auto open(const std::filesystem::path& path) -> std::expected<AppendFile, std::string>;
  /// What is open already, and stays so longer than this. Nothing changes for others that write there.
  [[nodiscard]] static auto of(int descriptor) -> AppendFile;
  [[nodiscard]] static auto standard_output() -> AppendFile { return of(1); }

  /// Adds `text`, which is lines. A line that an error cut in two is not among those written, and what is
  /// added next begins a line; the rest of one that was cut for want of a reader goes before that. Without
  /// ignore_broken_pipes() a pipe's reader that went away ends the process.
  [[nodiscard]] auto write(std::string_view text) -> Written;
  /// Until it looks as if something could be written, `limit` at most.
  void wait_writable(Milliseconds limit) const;

 private:
  enum class Way : std::uint8_t {
    disk,
    nonblocking,  ///< a description of our own
    polled,       ///< one that others share, and may have blocking
    socket,
  };

  static auto way_of(int descriptor) -> Way;
  /// As write(2), of some of `text`, but -1 with EAGAIN instead of waiting for a reader.
  auto write_part(std::string_view text) const -> std::ptrdiff_t;

  FileDescriptor file_;
  int descriptor_ = -1;
  Way way_ = Way::disk;
  std::string owed_;  // the rest of a line that was begun
};

/// From now on a pipe or socket without a reader is an error of who writes, EPIPE, and not the process's end.
void ignore_broken_pipes();

}  // namespace portolan::io
