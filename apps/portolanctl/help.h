// SPDX-License-Identifier: BSD-2-Clause
//
// Help on every word, by the schemas.
#pragma once

#include <cstddef>
#include <expected>
#include <span>
#include <string>

#include "portolanctl/command_line.h"

namespace portolan::ctl {

/// What the words of commands mean: of none of them, an overview; of some, the commands that begin with them;
/// of a whole command, everything about it; of one that is within commands, or names a parameter or a member
/// of results, what that is. Errors: the word that means nothing.
[[nodiscard]] auto help(const Catalogue& catalogue, std::span<const std::string> words, std::size_t columns)
    -> std::expected<std::string, Mistake>;

/// The same as one JSON object a line, for each command.
[[nodiscard]] auto help_as_json(const Catalogue& catalogue, std::span<const std::string> words)
    -> std::expected<std::string, Mistake>;

/// What portolanctl --help says.
[[nodiscard]] auto program_help(const Catalogue& catalogue, std::size_t columns) -> std::string;

/// Two columns: names, and texts that are broken where the screen ends.
class Definitions {
 public:
  void add(std::string name, std::string text) { rows_.push_back({std::move(name), std::move(text)}); }
  [[nodiscard]] auto text(std::size_t columns) const -> std::string;
  [[nodiscard]] auto is_empty() const -> bool { return rows_.empty(); }

 private:
  struct Row {
    std::string name;
    std::string text;
  };
  std::vector<Row> rows_;
};

/// `text` in lines of at most `width`, the second and following ones indented, as the first is to be.
[[nodiscard]] auto folded(std::string_view text, std::size_t indent, std::size_t width) -> std::string;

/// What a value must be: "a port from 0 to 65535, such as 8080".
[[nodiscard]] auto form_of(const Parameter& parameter) -> std::string;

/// How an option is written: "--user PREFIX".
[[nodiscard]] auto option_form(const Parameter& parameter) -> std::string;

}  // namespace portolan::ctl
