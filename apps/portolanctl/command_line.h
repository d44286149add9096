// SPDX-License-Identifier: BSD-2-Clause
//
// Words to a command with its arguments, by the schemas; and what may come next, for completion and help.
#pragma once

#include <cstddef>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "control/management/schema/schema.h"
#include "portolanctl/words.h"

namespace portolan::ctl {

using management::Catalogue;
using management::Command;
using management::Parameter;

struct Argument {
  const Parameter* parameter = nullptr;
  /// One, but of lists; each is a value of the parameter.
  std::vector<std::string> values{};
};

/// Arguments by name in JSON.
struct Arguments {
  std::vector<Argument> list;

  [[nodiscard]] auto find(std::string_view name) const -> const Argument*;
};

struct Invocation {
  /// nullptr of a line without words, or a question.
  const Command* command = nullptr;
  Arguments arguments;
  /// Those that all commands have.
  Arguments common;
  /// '?' or --help was among the words: what is known of the line is to be explained, not done.
  bool is_question = false;
  /// Words of the command that were given; of a question, maybe not all.
  std::vector<std::string> words;
};

/// What every command takes: --json, --yes, --help; and how to reach the server, which only the program's own
/// command line may say.
[[nodiscard]] auto common_options(bool is_program) -> std::vector<Parameter>;

/// What a line asks for, or which of its words is wrong.
[[nodiscard]] auto parse(const Catalogue& catalogue, std::span<const Parameter> common,
                         std::span<const Word> words) -> std::expected<Invocation, Mistake>;

/// What may come behind some words.
struct Expected {
  /// Next words of commands.
  std::vector<std::string> words;
  /// The command that the words so far are, if they are one.
  const Command* command = nullptr;
  /// Whose value comes now, or whose it is if no option comes; or nullptr.
  const Parameter* value = nullptr;
  /// `value` belongs to an option that was named: nothing else may come.
  bool is_value_due = false;
  /// Options not given yet.
  std::vector<const Parameter*> options;
  /// Given so far.
  Arguments arguments;
};

[[nodiscard]] auto expected_after(const Catalogue& catalogue, std::span<const Parameter> common,
                                  std::span<const Word> words) -> std::expected<Expected, Mistake>;

/// The one of `choices` that `word` was meant to be, most likely, or empty.
[[nodiscard]] auto nearest(std::string_view word, std::span<const std::string> choices) -> std::string;

}  // namespace portolan::ctl
