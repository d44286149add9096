// SPDX-License-Identifier: BSD-2-Clause
#include "portolanctl/words.h"

#include <algorithm>

#include <fmt/format.h>

#include "io/terminal/terminal.h"
#include "wire/escape.h"

namespace portolan::ctl {
namespace {

constexpr std::string_view spaces = " \t\r\n";
constexpr std::string_view special = " \t\r\n\"'\\#";

auto is_space(char octet) -> bool { return spaces.find(octet) != std::string_view::npos; }

/// Reads one word from `at` on.
class WordReader {
 public:
  WordReader(std::string_view line, std::size_t at) : line_(line), at_(at) { word_.begin = at; }

  auto read() -> Word {
    while (at_ < line_.size() && (quote_ != '\0' || is_escaped_ || !is_space(line_[at_]))) take(line_[at_++]);
    word_.end = at_;
    return std::move(word_);
  }
  [[nodiscard]] auto is_open() const -> bool { return quote_ != '\0' || is_escaped_; }

 private:
  void take(char octet) {
    if (is_escaped_) {
      is_escaped_ = false;
      word_.text.push_back(octet);
    } else if (octet == '\\' && quote_ != '\'') {
      is_escaped_ = true;
    } else if (quote_ != '\0') {
      if (octet == quote_)
        quote_ = '\0';
      else
        word_.text.push_back(octet);
    } else if (octet == '"' || octet == '\'') {
      quote_ = octet;
    } else {
      word_.text.push_back(octet);
    }
  }

  std::string_view line_;
  std::size_t at_;
  Word word_;
  char quote_ = '\0';
  bool is_escaped_ = false;
};

}  // namespace

auto split(std::string_view line) -> Words {
  Words words;
  std::size_t at = 0;
  while (true) {
    while (at < line.size() && is_space(line[at])) ++at;
    if (at == line.size() || line[at] == '#') return words;
    WordReader reader(line, at);
    words.words.push_back(reader.read());
    words.is_open = reader.is_open();
    at = words.words.back().end;
  }
}

auto as_word(std::string_view text) -> std::string {
  if (!text.empty() && text.find_first_of(special) == std::string_view::npos) return std::string(text);
  std::string word = "\"";
  for (const char octet : text) {
    if (octet == '"' || octet == '\\') word.push_back('\\');
    word.push_back(octet);
  }
  return word + '"';
}

auto joined(std::span<const std::string> texts, std::string& line) -> std::vector<Word> {
  std::vector<Word> words;
  for (const std::string& text : texts) {
    if (!line.empty()) line.push_back(' ');
    const std::size_t begin = line.size();
    line += as_word(text);
    words.push_back({.text = text, .begin = begin, .end = line.size()});
  }
  return words;
}

auto pointed_out(std::string_view line, std::span<const Word> words, const Mistake& mistake) -> std::string {
  const bool is_missing = mistake.word >= words.size();
  const std::size_t begin =
      is_missing ? (words.empty() ? 0 : words.back().end + 1) : words[mistake.word].begin;
  const std::size_t end = is_missing ? begin + 1 : words[mistake.word].end;
  const std::string before = wire::printable(line.substr(0, std::min(begin, line.size())));
  const std::string pointed = is_missing ? " " : wire::printable(line.substr(begin, end - begin));
  const std::size_t indent = io::columns_of(before) + (begin > line.size() ? begin - line.size() : 0);
  return fmt::format("  {}\n  {:{}}{:^>{}}\n", wire::printable(line), "", indent, "",
                     std::max<std::size_t>(io::columns_of(pointed), 1));
}

}  // namespace portolan::ctl
