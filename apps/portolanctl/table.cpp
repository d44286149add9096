// SPDX-License-Identifier: BSD-2-Clause
#include "portolanctl/table.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <initializer_list>
#include <utility>

#include <fmt/format.h>

#include "io/terminal/terminal.h"
#include "wire/escape.h"

namespace portolan::ctl {
namespace {

using management::Column;
using management::Type;

constexpr std::string_view absent = "-";
constexpr std::string_view gap = "  ";
/// Before what goes on in another line.
constexpr std::string_view further_indent = "    ";

/// "1d2h3m4s", without parts that are 0.
auto duration_text(const std::string& text) -> std::string {
  std::uint64_t seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc{} || end != text.data() + text.size()) return text;
  std::string made;
  for (const auto& [unit, size] : {std::pair{'d', 86400U}, {'h', 3600U}, {'m', 60U}, {'s', 1U}}) {
    const std::uint64_t count = seconds / size;
    seconds %= size;
    if (count > 0) made += fmt::format("{}{}", count, unit);
  }
  return made.empty() ? "0s" : made;
}

auto is_number(Type type) -> bool {
  return type == Type::number || type == Type::port || type == Type::seconds;
}

/// What values of the type need, most of them.
auto usual_width(Type type) -> std::size_t {
  switch (type) {
    case Type::port: return 5;
    case Type::protocol: return 4;
    case Type::address: return 15;
    case Type::prefix: return 18;
    case Type::port_range: return 11;
    case Type::time: return 20;
    case Type::choice: return 15;
    case Type::seconds: return 6;
    default: return 0;
  }
}

auto style_of(const Row& row) -> Style {
  const std::string* const event = row.find("event");
  if (event == nullptr) return Style::plain;
  const auto ends_with_one_of = [event](std::initializer_list<std::string_view> ends) {
    return std::ranges::any_of(ends, [event](std::string_view end) { return event->ends_with(end); });
  };
  if (ends_with_one_of({"-added", "-created"})) return Style::added;
  return ends_with_one_of({"-deleted", "-expired", "-lost", "gap"}) ? Style::removed : Style::plain;
}

auto padded(const std::string& text, std::size_t width, bool is_right) -> std::string {
  const std::size_t columns = io::columns_of(text);
  const std::string padding(width - std::min(width, columns), ' ');
  return is_right ? padding + text : text + padding;
}

/// Leaves at most `width` columns of the text, and says if that is not all.
void clip(std::string& text, std::size_t width) {
  constexpr std::string_view more = "...";
  if (io::columns_of(text) <= width) return;
  text.resize(io::octets_within(text, width - more.size()));
  text += more;
}

void trim_end(std::string& line) { line.erase(line.find_last_not_of(' ') + 1); }

}  // namespace

auto shown_value(Type type, const std::string& text) -> std::string {
  if (type == Type::flag && text == "true") return "yes";
  if (type == Type::flag && text == "false") return "no";
  if (type == Type::seconds) return duration_text(wire::printable(text));
  return wire::printable(text);
}

Table::Table(const std::vector<Column>& columns, std::size_t sampled_rows, std::size_t screen_columns)
    : sampled_rows_(sampled_rows), screen_columns_(screen_columns) {
  for (const Column& column : columns) {
    if (!column.is_listed) continue;
    Place place{.column = column, .title = {}, .width = 0, .is_right = is_number(column.type)};
    // In two lines a title takes no more room than what it is about.
    const std::size_t space = column.title.rfind(' ');
    place.title.push_back(space == std::string::npos ? "" : column.title.substr(0, space));
    place.title.push_back(space == std::string::npos ? column.title : column.title.substr(space + 1));
    place.width = std::max(place.title[0].size(), place.title[1].size());
    if (sampled_rows == 0) place.width = std::max(place.width, usual_width(column.type));
    places_.push_back(std::move(place));
  }
}

auto Table::cells_of(const Row& row) -> Cells {
  Cells cells;
  for (Place& place : places_) {
    const std::string* const text = row.find(place.column.name);
    cells.push_back(text == nullptr ? std::string(absent) : shown_value(place.column.type, *text));
    if (screen_columns_ > 0 && place.column.type == Type::text) clip(cells.back(), text_columns_max);
    place.width = std::max(place.width, io::columns_of(cells.back()));
  }
  return cells;
}

void Table::fold() {
  std::size_t at = 0;
  for (Place& place : places_) {
    const std::size_t end = at + (at == 0 ? 0 : gap.size()) + place.width;
    place.begins_line = at > 0 && screen_columns_ > 0 && end > screen_columns_;
    at = place.begins_line ? further_indent.size() + place.width : end;
  }
}

auto Table::lines_of(const Cells& cells) const -> std::vector<std::string> {
  std::vector<std::string> lines(1);
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const Place& place = places_[i];
    if (place.begins_line) lines.emplace_back(further_indent);
    if (i > 0 && !place.begins_line) lines.back() += gap;
    lines.back() += padded(cells[i], place.width, place.is_right);
  }
  std::ranges::for_each(lines, trim_end);
  return lines;
}

void Table::show(const Cells& cells, Style style, std::vector<ShownLine>& lines) const {
  std::vector<std::string> made = lines_of(cells);
  // Further lines that would only say that nothing is there.
  while (made.size() > 1 && made.back().find_first_not_of(" -") == std::string::npos) made.pop_back();
  for (std::string& line : made) lines.push_back({.text = std::move(line), .style = style});
}

void Table::show_heading(std::vector<ShownLine>& lines) const {
  std::array<std::vector<std::string>, 2> halves;
  for (const std::size_t half : {0U, 1U}) {
    Cells titles;
    for (const Place& place : places_) titles.push_back(place.title[half]);
    halves[half] = lines_of(titles);
  }
  for (std::size_t i = 0; i < halves[0].size(); ++i)
    for (auto& half : halves)
      if (!half[i].empty()) lines.push_back({.text = std::move(half[i]), .style = Style::heading});
}

auto Table::add(const Row& row) -> std::vector<ShownLine> {
  const Style style = style_of(row);
  Cells cells = cells_of(row);
  if (is_begun_) {
    std::vector<ShownLine> lines;
    show(cells, style, lines);
    return lines;
  }
  held_.emplace_back(std::move(cells), style);
  return held_.size() < sampled_rows_ ? std::vector<ShownLine>() : finish();
}

auto Table::finish() -> std::vector<ShownLine> {
  if (held_.empty()) return {};
  is_begun_ = true;
  fold();
  std::vector<ShownLine> lines;
  show_heading(lines);
  for (const auto& [cells, style] : std::exchange(held_, {})) show(cells, style, lines);
  return lines;
}

auto object_lines(const std::vector<Column>& columns, const Row& row) -> std::vector<ShownLine> {
  std::vector<std::pair<std::string, std::string>> shown;
  for (const Column& column : columns)
    if (const std::string* const text = row.find(column.name))
      shown.emplace_back(column.title, shown_value(column.type, *text));
  for (const auto& [name, text] : row.members)
    if (std::ranges::find(columns, name, &Column::name) == columns.end())
      shown.emplace_back(wire::printable(name), wire::printable(text));
  std::size_t width = 0;
  for (const auto& [title, text] : shown) width = std::max(width, io::columns_of(title));
  std::vector<ShownLine> lines;
  lines.reserve(shown.size());
  for (const auto& [title, text] : shown) {
    lines.push_back(
        {.text = padded(title, width, false) + "  " + (text.empty() ? std::string(absent) : text)});
  }
  return lines;
}

}  // namespace portolan::ctl
