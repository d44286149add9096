// SPDX-License-Identifier: BSD-2-Clause
//
// A line cut into words, and mistakes that point to one of them.
#pragma once

#include <cstddef>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace portolan::ctl {

/// Longest line of a script or of the shell.
inline constexpr std::size_t line_octets_max = std::size_t{64} << 10U;

struct Word {
  std::string text{};
  /// Where it is in the line.
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// What is wrong, and at which word; behind the last one if something is missing.
struct Mistake {
  std::size_t word = 0;
  std::string text{};
};

struct Words {
  std::vector<Word> words;
  /// The line ends within quotes, or behind a backslash.
  bool is_open = false;
};

/// Words are separated by spaces; "double" and 'single' quotes and backslashes keep spaces within one. What
/// begins with '#' at the begin of a word is a remark.
[[nodiscard]] auto split(std::string_view line) -> Words;

/// `text` as one word that split() reads back.
[[nodiscard]] auto as_word(std::string_view text) -> std::string;

/// Words of a command line that a shell has cut, as split() would give them.
[[nodiscard]] auto joined(std::span<const std::string> texts, std::string& line) -> std::vector<Word>;

/// "list mpa", and a line that points at the word.
[[nodiscard]] auto pointed_out(std::string_view line, std::span<const Word> words, const Mistake& mistake)
    -> std::string;

}  // namespace portolan::ctl
