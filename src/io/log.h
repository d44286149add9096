// SPDX-License-Identifier: BSD-2-Clause
//
// What a program tells its operator. A message has an id, which stays as it is when its sentence is put
// better; docs/messages.md says of each what it means and what to do, and tests/lint/messages.py that none
// is missing there. A value of a sentence has a name, which is that of its field in JSON:
//
//   log::warn("store-slow", "store {path}: a commit took {duration_s} s", path, seconds);
//
// spdlog writes the lines; log.cpp alone knows it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include <fmt/format.h>

namespace portolan::io::log {

enum class Level : std::uint8_t { trace, debug, info, warning, error, off };
inline constexpr std::size_t level_count = static_cast<std::size_t>(Level::off);
/// "trace" and so on, as options have them.
[[nodiscard]] auto to_string(Level level) -> std::string_view;

/// Logs to stderr from `level` (trace, debug, info, warning, error, off) up, a line each.
///
/// In      format: "text", the id and the sentence; or "json", an object with time, level, id, message and
///         the values
/// Effect  Text has time and colour on a terminal; a priority prefix and nothing the journal adds itself
///         under systemd's journal; else time.
/// Errors  unknown level or format
[[nodiscard]] auto set_up(std::string_view level, std::string_view format)
    -> std::expected<void, std::string>;

/// Messages of each level since the start, those below the level that is logged as well. Thread: any.
[[nodiscard]] auto counts() -> std::array<std::uint64_t, level_count>;

/// A sentence with a place "{name}" for each of `Values` values; anything else does not compile.
template <std::size_t Values>
class Sentence {
 public:
  template <std::size_t Size>
  // NOLINTNEXTLINE(google-explicit-constructor): a literal is one.
  consteval Sentence(const char (&text)[Size]) : text_(text, Size - 1) {
    std::size_t places = 0;
    for (std::size_t at = 0; at < text_.size(); ++at) {
      if (text_[at] == '}') a_brace_is_alone();
      if (text_[at] != '{') continue;
      const std::size_t begin = ++at;
      while (at < text_.size() && text_[at] != '}') {
        const char each = text_[at++];
        if ((each < 'a' || each > 'z') && each != '_') names_have_small_letters();
      }
      if (at == text_.size() || at == begin) a_brace_is_alone();
      const std::string_view name = text_.substr(begin, at - begin);
      if (name == "time" || name == "level" || name == "id" || name == "message") the_name_is_taken();
      ++places;
    }
    if (places != Values) there_must_be_a_value_for_each_place();
  }
  [[nodiscard]] auto text() const -> std::string_view { return text_; }

 private:
  // What the compiler names when a sentence is wrong.
  static void a_brace_is_alone() {}
  static void names_have_small_letters() {}
  static void the_name_is_taken() {}
  static void there_must_be_a_value_for_each_place() {}

  std::string_view text_;
};

namespace detail {

struct Value {
  std::string text;
  /// A number or truth value, which JSON has without quotes.
  bool is_bare = false;
};

[[nodiscard]] auto is_logged(Level level) -> bool;
void count(Level level);
void write(Level level, std::string_view id, std::string_view sentence, std::span<const Value> values);

}  // namespace detail

/// Tells message `id`. Cost when its level is not logged: a comparison. Thread: any.
template <typename... Values>
void say(Level level, std::string_view id, Sentence<sizeof...(Values)> sentence, const Values&... values) {
  detail::count(level);
  if (!detail::is_logged(level)) return;
  const std::array<detail::Value, sizeof...(Values)> written{
      detail::Value{.text = fmt::format("{}", values), .is_bare = std::is_arithmetic_v<Values>}...};
  detail::write(level, id, sentence.text(), written);
}

template <typename... Values>
void debug(std::string_view id, Sentence<sizeof...(Values)> sentence, const Values&... values) {
  say(Level::debug, id, sentence, values...);
}
template <typename... Values>
void info(std::string_view id, Sentence<sizeof...(Values)> sentence, const Values&... values) {
  say(Level::info, id, sentence, values...);
}
template <typename... Values>
void warn(std::string_view id, Sentence<sizeof...(Values)> sentence, const Values&... values) {
  say(Level::warning, id, sentence, values...);
}
template <typename... Values>
void error(std::string_view id, Sentence<sizeof...(Values)> sentence, const Values&... values) {
  say(Level::error, id, sentence, values...);
}

}  // namespace portolan::io::log
