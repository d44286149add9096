// SPDX-License-Identifier: BSD-2-Clause
#include "portolanctl/pager.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <system_error>

#include <fmt/format.h>

namespace portolan::ctl {
namespace {

constexpr int standard_input = 0;
constexpr int standard_output = 1;
constexpr std::string_view question = "-- more: space for a page, Enter for a line, q to quit --";

auto rows_of_page() -> std::size_t {
  return std::max<std::size_t>(io::screen_size(standard_output).rows, 2) - 1;
}

/// UTF-8 would be commands to a terminal that has another encoding.
auto ascii_only(std::string_view text) -> std::string {
  std::string made;
  for (const char octet : text) {
    if (const auto value = static_cast<unsigned char>(octet); value < 0x80)
      made.push_back(octet);
    else
      made += fmt::format("\\x{:02x}", value);
  }
  return made;
}

auto colour_of(Style style) -> std::string_view {
  switch (style) {
    case Style::heading: return "\x1b[1m";
    case Style::added: return "\x1b[32m";
    case Style::removed: return "\x1b[31m";
    case Style::plain: break;
  }
  return "";
}

}  // namespace

Pager::Pager(io::EventLoop& loop, const Screen& screen, std::function<void()> resumed)
    : loop_(loop), screen_(screen), resumed_(std::move(resumed)), rows_left_(rows_of_page()) {}

auto Pager::wants_line() -> bool {
  if (is_over_ || keys_) return false;
  if (!screen_.is_paged || rows_left_ > 0) return true;
  pause();
  return false;
}

void Pager::show(const ShownLine& line) {
  if (screen_.is_paged) {
    const std::size_t width = io::screen_size(standard_output).columns;
    const std::size_t rows = std::max<std::size_t>((io::columns_of(line.text) + width - 1) / width, 1);
    rows_left_ -= std::min(rows_left_, rows);
  }
  const std::string_view colour = screen_.has_colours ? colour_of(line.style) : "";
  const std::string text = screen_.has_utf8 ? line.text : ascii_only(line.text);
  write(colour.empty() ? text + '\n' : fmt::format("{}{}\x1b[0m\n", colour, text));
}

void Pager::flush() {
  if (std::fflush(stdout) != 0) write("");
}

void Pager::write(std::string_view text) {
  if (is_over_) return;
  if (std::ferror(stdout) == 0 && std::fwrite(text.data(), 1, text.size(), stdout) == text.size() &&
      std::ferror(stdout) == 0)
    return;
  const int error = errno;
  // A reader that has seen enough is no trouble.
  if (error != EPIPE) trouble_ = fmt::format("can't write: {}", std::generic_category().message(error));
  end();
}

void Pager::pause() {
  keys_.emplace(standard_input);
  write(screen_.has_colours ? fmt::format("\x1b[7m{}\x1b[0m", question) : std::string(question));
  flush();
  watch_ = loop_.on_readable(standard_input, [this] { pressed(); });
}

void Pager::end_pause() {
  if (!keys_) return;
  watch_.cancel();
  keys_.reset();
  write(fmt::format("\r{:{}}\r", "", question.size()));
  flush();
}

void Pager::pressed() {
  const io::Key key = keys_->read();
  if (key == io::Key::none) return;
  end_pause();
  if (key == io::Key::quit) is_over_ = true;
  rows_left_ = key == io::Key::line ? 1 : rows_of_page();
  resumed_();
}

}  // namespace portolan::ctl
