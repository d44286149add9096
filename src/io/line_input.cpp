// SPDX-License-Identifier: BSD-2-Clause
#include "io/line_input.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

namespace portolan::io {

auto LineInput::read() -> std::vector<std::string> {
  std::array<char, line_octets_max> piece{};
  const ssize_t count = ::read(descriptor_, piece.data(), piece.size());
  std::vector<std::string> lines;
  if (count < 0 && (errno == EINTR || errno == EAGAIN)) return lines;
  if (count <= 0) {
    is_ended_ = true;
    if (!rest_.empty()) lines.push_back(std::exchange(rest_, {}));
    return lines;
  }
  for (ssize_t i = 0; i < count; ++i) {
    const char each = piece[static_cast<std::size_t>(i)];
    if (each != '\n') rest_ += each;
    if (each == '\n' || rest_.size() >= line_octets_max) lines.push_back(std::exchange(rest_, {}));
  }
  return lines;
}

}  // namespace portolan::io
