// SPDX-License-Identifier: BSD-2-Clause
#include "io/terminal/terminal.h"

#include <fcntl.h>
#include <langinfo.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <clocale>
#include <cstring>
#include <cwchar>
#include <string>
#include <utility>

namespace portolan::io {

auto is_terminal(int descriptor) noexcept -> bool { return ::isatty(descriptor) == 1; }

auto screen_size(int descriptor) noexcept -> ScreenSize {
  winsize size{};
  if (::ioctl(descriptor, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0) return {};
  return {.rows = size.ws_row, .columns = size.ws_col};
}

namespace {

struct Character {
  std::size_t octets = 1;
  std::size_t columns = 1;
};

/// Of an octet that is no text: itself.
auto first_character(std::string_view text) -> Character {
  std::mbstate_t state{};
  wchar_t character = 0;
  const std::size_t octets = std::mbrtowc(&character, text.data(), text.size(), &state);
  if (octets == 0 || octets > text.size()) return {};
  const int width = ::wcwidth(character);
  return {.octets = octets, .columns = width < 0 ? 1 : static_cast<std::size_t>(width)};
}

}  // namespace

auto columns_of(std::string_view text) -> std::size_t {
  std::size_t columns = 0;
  while (!text.empty()) {
    const Character character = first_character(text);
    columns += character.columns;
    text.remove_prefix(character.octets);
  }
  return columns;
}

auto octets_within(std::string_view text, std::size_t columns) -> std::size_t {
  std::size_t octets = 0;
  while (octets < text.size()) {
    const Character character = first_character(text.substr(octets));
    if (character.columns > columns) break;
    columns -= character.columns;
    octets += character.octets;
  }
  return octets;
}

auto use_utf8() -> bool {
  if (std::setlocale(LC_CTYPE, "") != nullptr && std::strcmp(::nl_langinfo(CODESET), "UTF-8") == 0)
    return true;
  std::setlocale(LC_CTYPE, "C.UTF-8");
  return false;
}

auto read_typed_line(int descriptor) -> std::optional<std::string> {
  // The kernel hands over a line at a time.
  std::array<char, 4096> octets{};
  ssize_t got = -1;
  do {
    got = ::read(descriptor, octets.data(), octets.size());
  } while (got < 0 && errno == EINTR);
  if (got <= 0) return {};
  std::string line(octets.data(), static_cast<std::size_t>(got));
  line.erase(line.find_last_not_of("\r\n") + 1);
  return line;
}

KeptBlocking::KeptBlocking(int descriptor) noexcept
    : descriptor_(descriptor), flags_(::fcntl(descriptor, F_GETFL)) {}

KeptBlocking::~KeptBlocking() {
  if (flags_ >= 0) ::fcntl(descriptor_, F_SETFL, flags_);
}

struct SingleKeys::Saved {
  termios modes{};
};

SingleKeys::SingleKeys(int descriptor) : kept_(descriptor), descriptor_(descriptor) {
  auto saved = std::make_unique<Saved>();
  if (::tcgetattr(descriptor_, &saved->modes) != 0) return;
  termios modes = saved->modes;
  modes.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  modes.c_cc[VMIN] = 1;
  modes.c_cc[VTIME] = 0;
  if (::tcsetattr(descriptor_, TCSADRAIN, &modes) == 0) saved_ = std::move(saved);
}

SingleKeys::~SingleKeys() {
  if (saved_) ::tcsetattr(descriptor_, TCSADRAIN, &saved_->modes);
}

auto SingleKeys::read() const -> Key {
  // Cursor keys come as several octets, all at once.
  std::array<char, 16> octets{};
  const auto got = ::read(descriptor_, octets.data(), octets.size());
  if (got < 0) return errno == EINTR || errno == EAGAIN ? Key::none : Key::quit;
  if (got == 0) return Key::quit;
  const std::string_view pressed(octets.data(), static_cast<std::size_t>(got));
  if (pressed.starts_with("\x1b[B") || pressed.starts_with("\x1bOB")) return Key::line;
  if (pressed.starts_with("\x1b[6~")) return Key::page;
  switch (pressed.front()) {
    case '\r':
    case '\n':
    case 'j': return Key::line;
    case ' ':
    case 'f': return Key::page;
    case 'q':
    case 'Q':
    case '\x04': return Key::quit;
    default: return Key::none;
  }
}

}  // namespace portolan::io
