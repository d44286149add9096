// SPDX-License-Identifier: BSD-2-Clause
//
// Standard output, page by page where it is a terminal.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>

#include "io/event_loop.h"
#include "io/terminal/terminal.h"
#include "portolanctl/table.h"

namespace portolan::ctl {

/// How standard output is written.
struct Screen {
  bool is_terminal = false;
  bool is_paged = false;  ///< somebody is there to press keys
  bool has_colours = false;
  bool has_utf8 = true;
};

class Pager {
 public:
  /// `resumed`: lines are wanted again, or never again.
  Pager(io::EventLoop& loop, const Screen& screen, std::function<void()> resumed);
  Pager(const Pager&) = delete;
  auto operator=(const Pager&) -> Pager& = delete;
  ~Pager() { end_pause(); }

  /// From now on nobody is asked.
  void follow() { screen_.is_paged = false; }
  /// Whether a line may be shown now; if the page is full, asks for a key first.
  [[nodiscard]] auto wants_line() -> bool;
  void show(const ShownLine& line);
  /// What comes next does not go on where the terminal has shown "^C".
  void end_line() {
    if (screen_.is_terminal && !keys_) write("\n");
  }
  /// What was shown is seen.
  void flush();
  /// Who reads does not want more.
  [[nodiscard]] auto is_over() const -> bool { return is_over_; }
  /// Why nothing can be written; empty while it can, or if just nobody reads.
  [[nodiscard]] auto trouble() const -> const std::string& { return trouble_; }
  void end() {
    end_pause();
    is_over_ = true;
  }

 private:
  void pause();
  void end_pause();
  void pressed();
  void write(std::string_view text);

  io::EventLoop& loop_;
  Screen screen_;
  std::function<void()> resumed_;
  std::size_t rows_left_ = 0;
  std::optional<io::SingleKeys> keys_;
  io::Watch watch_;
  std::string trouble_;
  bool is_over_ = false;
};

}  // namespace portolan::ctl
