// SPDX-License-Identifier: BSD-2-Clause
//
// Rows as aligned lines, while they come in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "control/management/schema/schema.h"
#include "portolanctl/answer.h"

namespace portolan::ctl {

enum class Style : std::uint8_t { plain, heading, added, removed };

struct ShownLine {
  std::string text{};
  Style style = Style::plain;
};

/// The listed columns of rows. Widths come from titles, types and the first rows; a longer value that comes
/// later widens its column from there on, so that memory has a bound. On a screen too narrow for a row its
/// last columns go on in further lines.
class Table {
 public:
  /// Rows that are held back to see how wide they are.
  static constexpr std::size_t sampled_rows_max = 100;
  /// What a screen shows of a text at most: one of 1016 octets would hide its row.
  static constexpr std::size_t text_columns_max = 48;

  /// `sampled_rows`: 0 for rows that are to be seen at once. `screen_columns`: 0 for output that is no
  /// screen: rows are whole, and one line each.
  Table(const std::vector<management::Column>& columns, std::size_t sampled_rows, std::size_t screen_columns);

  /// Lines that are ready.
  [[nodiscard]] auto add(const Row& row) -> std::vector<ShownLine>;
  /// What was held back.
  [[nodiscard]] auto finish() -> std::vector<ShownLine>;

 private:
  struct Place {
    management::Column column;
    std::vector<std::string> title;  ///< lines
    std::size_t width = 0;
    bool is_right = false;
    bool begins_line = false;
  };
  using Cells = std::vector<std::string>;

  auto cells_of(const Row& row) -> Cells;
  /// Where lines end, by the widths that are known.
  void fold();
  /// One for each line of a row.
  [[nodiscard]] auto lines_of(const Cells& cells) const -> std::vector<std::string>;
  void show(const Cells& cells, Style style, std::vector<ShownLine>& lines) const;
  void show_heading(std::vector<ShownLine>& lines) const;

  std::vector<Place> places_;
  std::vector<std::pair<Cells, Style>> held_;
  std::size_t sampled_rows_;
  std::size_t screen_columns_;
  bool is_begun_ = false;
};

/// One object: a line for each member, what the columns don't know included.
[[nodiscard]] auto object_lines(const std::vector<management::Column>& columns, const Row& row)
    -> std::vector<ShownLine>;

/// A value for people: "41m14s", "yes". Nothing in it steers a terminal.
[[nodiscard]] auto shown_value(management::Type type, const std::string& text) -> std::string;

}  // namespace portolan::ctl
