// SPDX-License-Identifier: BSD-2-Clause
//
// A UNIX datagram socket in a folder of its own, that only this user's programs can send to.
#pragma once

#include <cstddef>
#include <expected>
#include <filesystem>
#include <string>
#include <vector>

#include "io/file_descriptor.h"

namespace portolan::io {

class Inbox {
 public:
  /// Longer letters are cut.
  static constexpr std::size_t letter_octets_max = 512;

  /// Makes the folder below $XDG_RUNTIME_DIR, else /tmp. Errors  text
  [[nodiscard]] static auto open() -> std::expected<Inbox, std::string>;
  Inbox(Inbox&&) noexcept = default;
  auto operator=(Inbox&&) noexcept -> Inbox& = delete;
  /// Takes socket and folder away.
  ~Inbox();

  [[nodiscard]] auto descriptor() const -> int { return socket_.get(); }
  /// Where to send to.
  [[nodiscard]] auto path() const -> const std::filesystem::path& { return path_; }
  /// All that is there.
  [[nodiscard]] auto take() -> std::vector<std::string>;

 private:
  Inbox(FileDescriptor socket, std::filesystem::path path);
  FileDescriptor socket_;
  std::filesystem::path path_;
};

}  // namespace portolan::io
