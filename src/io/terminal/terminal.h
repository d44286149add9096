// SPDX-License-Identifier: BSD-2-Clause
//
// What a terminal is asked for, and single keys read from it.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace portolan::io {

[[nodiscard]] auto is_terminal(int descriptor) noexcept -> bool;

struct ScreenSize {
  std::size_t rows = 24;
  std::size_t columns = 80;
};
/// Of a terminal as it is now; of anything else, and of one that does not know, 24 by 80.
[[nodiscard]] auto screen_size(int descriptor) noexcept -> ScreenSize;

/// Columns that UTF-8 text takes on a terminal. Octets that are no text take one.
[[nodiscard]] auto columns_of(std::string_view text) -> std::size_t;
/// How many octets at its beginning, in whole characters, take at most `columns`.
[[nodiscard]] auto octets_within(std::string_view text, std::size_t columns) -> std::size_t;

/// Has the C library take text for UTF-8. False if the user's locale has another encoding: text of other than
/// ASCII can't be shown then.
auto use_utf8() -> bool;

/// A line that was typed at a terminal, without its end; none at the end of input. Waits for it.
[[nodiscard]] auto read_typed_line(int descriptor) -> std::optional<std::string>;

/// Keeps how a descriptor blocks. A terminal is shared with the shell that started this program, and with
/// standard output: an event loop that waits for keys must not leave it changed.
class KeptBlocking {
 public:
  explicit KeptBlocking(int descriptor) noexcept;
  KeptBlocking(const KeptBlocking&) = delete;
  auto operator=(const KeptBlocking&) -> KeptBlocking& = delete;
  ~KeptBlocking();

 private:
  int descriptor_;
  int flags_;
};

enum class Key : unsigned char { none, line, page, quit };

/// While it lives, keys come at once and are not shown. Ctrl-C is still a signal.
class SingleKeys {
 public:
  /// Of a terminal; does nothing to anything else.
  explicit SingleKeys(int descriptor);
  SingleKeys(const SingleKeys&) = delete;
  auto operator=(const SingleKeys&) -> SingleKeys& = delete;
  ~SingleKeys();

  /// Reads what was pressed: Enter, 'j' or down; space, 'f' or page down; 'q' or the end of input; or what
  /// means nothing.
  [[nodiscard]] auto read() const -> Key;

 private:
  struct Saved;
  KeptBlocking kept_;
  int descriptor_;
  std::unique_ptr<Saved> saved_;
};

}  // namespace portolan::io
