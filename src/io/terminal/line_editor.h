// SPDX-License-Identifier: BSD-2-Clause
//
// A line typed at a terminal, with editing, completion and history. It hides libedit.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace portolan::io {

/// What TAB does to a line.
struct LineCompletion {
  /// Octets before the cursor that make way for `text`.
  std::size_t replaced = 0;
  std::string text{};
  /// Shown if `text` adds nothing.
  std::string choices{};
};

struct LineHandlers {
  /// Of the text before the cursor.
  std::function<LineCompletion(std::string_view before)> complete;
  /// What '?' shows, of the text before the cursor; none: the '?' is typed as it is.
  std::function<std::optional<std::string>(std::string_view before)> explain;
};

class LineEditor {
 public:
  static constexpr int history_lines_max = 1000;

  /// Reads standard input, which is a terminal. `history`: the file to keep lines in; empty: none.
  LineEditor(const std::string& program, std::filesystem::path history, LineHandlers handlers);
  LineEditor(const LineEditor&) = delete;
  auto operator=(const LineEditor&) -> LineEditor& = delete;
  ~LineEditor();

  struct Line {
    enum class Kind : unsigned char { typed, interrupted, end };
    Kind kind = Kind::end;
    std::string text{};
  };
  /// One line, without its end.
  [[nodiscard]] auto read(const std::string& prompt) -> Line;
  /// Keeps a line, in the file too. False if the file can't be written, which is to be told once.
  auto remember(const std::string& line) -> bool;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace portolan::io
