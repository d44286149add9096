// SPDX-License-Identifier: BSD-2-Clause
#include "portolanctl/help.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

namespace portolan::ctl {
namespace {

using management::Column;
using management::Type;
using nlohmann::ordered_json;

constexpr std::size_t name_columns_max = 34;

auto upper(std::string_view text) -> std::string {
  std::string made;
  for (const char letter : text)
    made.push_back(letter >= 'a' && letter <= 'z' ? static_cast<char>(letter - 'a' + 'A')
                   : letter == '_'                ? '-'
                                                  : letter);
  return made;
}

auto has(const std::vector<std::string>& words, const std::string& word) -> bool {
  return std::ranges::find(words, word) != words.end();
}

auto begins_with(const Command& command, std::span<const std::string> words) -> bool {
  return words.size() <= command.words.size() &&
         std::ranges::equal(words, std::span(command.words).first(words.size()));
}

/// How many of the words some command has.
auto known_words(const Catalogue& catalogue, std::span<const std::string> words) -> std::size_t {
  std::size_t known = 0;
  for (const Command& command : catalogue.commands) {
    const auto [of_command, given] = std::ranges::mismatch(command.words, words);
    known = std::max(known, static_cast<std::size_t>(given - words.begin()));
  }
  return known;
}

auto check_known(const Catalogue& catalogue, std::span<const std::string> words)
    -> std::expected<void, Mistake> {
  const std::size_t known = known_words(catalogue, words);
  if (known == words.size()) return {};
  std::vector<std::string> next;
  for (const Command& command : catalogue.commands)
    if (begins_with(command, words.first(known)) && command.words.size() > known)
      next.push_back(command.words[known]);
  const std::string near = nearest(words[known], next);
  return std::unexpected(
      Mistake{.word = known,
              .text = fmt::format(
                  "there is no help on '{}'{}", fmt::join(words.first(known + 1), " "),
                  near.empty() ? ": 'help' lists all commands" : fmt::format(": did you mean '{}'?", near))});
}

auto overview(const Catalogue& catalogue, std::span<const std::string> words, std::size_t columns)
    -> std::string {
  Definitions commands;
  for (const Command& command : catalogue.commands)
    if (begins_with(command, words)) commands.add(command.name(), command.summary);
  return commands.text(columns);
}

/// What a word means that no command begins with: of later words, parameters and results; nothing of others.
auto word_help(const Catalogue& catalogue, const std::string& word, std::size_t columns) -> std::string {
  Definitions commands;
  Definitions parameters;
  Definitions results;
  std::set<std::string> told;
  const auto add = [&](Definitions& meanings, const std::string& name, const std::string& summary) {
    if (told.insert(name + summary).second) meanings.add(name, summary);
  };
  for (const Command& command : catalogue.commands) {
    if (has(command.words, word)) add(commands, command.name(), command.summary);
    for (const Parameter& parameter : command.parameters)
      if (word == parameter.option || word == parameter.name)
        add(parameters, option_form(parameter), parameter.summary);
    for (const Column& column : command.result.columns)
      if (word == column.name) add(results, column.title, column.summary);
  }
  const auto* const known = catalogue.word(word);
  std::string text = known == nullptr ? "" : folded(known->summary, 0, columns);
  const auto show = [&](std::string_view heading, const Definitions& meanings) {
    if (!meanings.is_empty())
      text += fmt::format("{}{}\n{}", text.empty() ? "" : "\n", heading, meanings.text(columns));
  };
  show("Commands", commands);
  show("As a parameter", parameters);
  show("In what is shown", results);
  return text;
}

auto usage(const Command& command) -> std::string {
  std::string text = command.name();
  bool has_options = false;
  for (const Parameter& parameter : command.parameters) {
    if (!parameter.is_positional) {
      has_options = true;
      continue;
    }
    const std::string name = upper(parameter.option) + (parameter.is_list ? "..." : "");
    text += parameter.is_required ? " " + name : fmt::format(" [{}]", name);
  }
  return text + (has_options ? " [--OPTION VALUE]..." : "");
}

auto parameter_text(const Parameter& parameter) -> std::string {
  std::string text = parameter.summary;
  if (parameter.is_required) text += " Required.";
  if (parameter.type != Type::flag)
    text += fmt::format(" It is {}{}.", form_of(parameter),
                        parameter.is_list ? "; or several, with commas between them" : "");
  return text;
}

auto everything(const Command& command, std::size_t columns) -> std::string {
  std::string text =
      fmt::format("{}\n  {}", folded(command.summary, 0, columns), folded(usage(command), 4, columns));
  Definitions parameters;
  for (const Parameter& parameter : command.parameters)
    parameters.add(parameter.is_positional
                       ? fmt::format("{}, {}", upper(parameter.option), option_form(parameter))
                       : option_form(parameter),
                   parameter_text(parameter));
  for (const Parameter& parameter : common_options(false))
    parameters.add(option_form(parameter), parameter.summary);
  text += "\nParameters\n" + parameters.text(columns);
  Definitions results;
  for (const Column& column : command.result.columns)
    results.add(fmt::format("{}, {}", column.title, column.name), column.summary);
  if (!results.is_empty()) text += "\nWhat it shows, and the name in JSON\n" + results.text(columns);
  text += "\nExamples\n";
  for (const std::string& example : command.examples) text += fmt::format("  {}\n", example);
  return text;
}

auto json_of(const Command& command) -> ordered_json {
  ordered_json json{{"command", command.name()}, {"summary", command.summary}};
  json["parameters"] = ordered_json::array();
  for (const Parameter& parameter : command.parameters)
    json["parameters"].push_back({{"name", parameter.name},
                                  {"option", "--" + parameter.option},
                                  {"type", management::to_string(parameter.type)},
                                  {"required", parameter.is_required},
                                  {"positional", parameter.is_positional},
                                  {"summary", parameter.summary},
                                  {"example", parameter.example}});
  json["columns"] = ordered_json::array();
  for (const Column& column : command.result.columns)
    json["columns"].push_back({{"name", column.name}, {"title", column.title}, {"summary", column.summary}});
  json["examples"] = command.examples;
  return json;
}

}  // namespace

auto folded(std::string_view text, std::size_t indent, std::size_t width) -> std::string {
  std::string made;
  std::size_t at = indent;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(word.size() + 1, text.size()));
    if (at > indent && at + 1 + word.size() > width) {
      made += '\n' + std::string(indent, ' ');
      at = indent;
    }
    const std::string_view space = at > indent ? " " : "";
    made += space;
    made += word;
    at += space.size() + word.size();
  }
  return made + '\n';
}

auto form_of(const Parameter& parameter) -> std::string {
  std::string form = management::description_of(parameter);
  if (form.find("such as") == std::string::npos && parameter.type != Type::choice)
    form += ", such as " + as_word(parameter.example);
  return form;
}

auto Definitions::text(std::size_t columns) const -> std::string {
  std::size_t width = 0;
  for (const Row& row : rows_)
    if (row.name.size() <= name_columns_max) width = std::max(width, row.name.size());
  std::string made;
  for (const Row& row : rows_) {
    made += fmt::format("  {:{}}", row.name, width);
    if (row.name.size() > width) made += fmt::format("\n  {:{}}", "", width);
    made += "  " + folded(row.text, width + 4, std::max(columns, width + 24));
  }
  return made;
}

auto option_form(const Parameter& parameter) -> std::string {
  if (parameter.type == Type::flag) return "--" + parameter.option;
  return fmt::format("--{} {}", parameter.option, upper(management::to_string(parameter.type)));
}

auto help(const Catalogue& catalogue, std::span<const std::string> words, std::size_t columns)
    -> std::expected<std::string, Mistake> {
  if (const auto known = check_known(catalogue, words); !known) {
    std::string meaning = words.size() == 1 ? word_help(catalogue, words.front(), columns) : "";
    if (!meaning.empty()) return meaning;
    return std::unexpected(known.error());
  }
  if (words.empty())
    return overview(catalogue, words, columns) +
           "\n'help COMMAND' tells more, and so does '?' at any place.\n";
  const Command* const command = catalogue.find(words);
  const auto* const word = catalogue.word(words.back());
  std::string text = command != nullptr ? everything(*command, columns)
                     : word != nullptr
                         ? folded(word->summary, 0, columns) + "\n" + overview(catalogue, words, columns)
                         : overview(catalogue, words, columns);
  const bool is_longer = std::ranges::any_of(catalogue.commands, [&](const Command& other) {
    return other.words.size() > words.size() && begins_with(other, words);
  });
  if (command != nullptr && is_longer) {
    Definitions others;
    for (const Command& other : catalogue.commands)
      if (&other != command && begins_with(other, words)) others.add(other.name(), other.summary);
    text += "\nSee also\n" + others.text(columns);
  }
  return text;
}

auto help_as_json(const Catalogue& catalogue, std::span<const std::string> words)
    -> std::expected<std::string, Mistake> {
  if (const auto known = check_known(catalogue, words); !known) return std::unexpected(known.error());
  std::string text;
  for (const Command& command : catalogue.commands)
    if (begins_with(command, words)) text += json_of(command).dump() + "\n";
  return text;
}

auto program_help(const Catalogue& catalogue, std::size_t columns) -> std::string {
  std::string text =
      "portolanctl [OPTION]... COMMAND [WORD]... [--OPTION VALUE]...\n"
      "portolanctl [OPTION]...\n\n" +
      folded(
          "Looks after a running portoland: users, mappings, settings. Without a command it is a shell, or "
          "reads "
          "commands from standard input, one a line.",
          0, columns) +
      "\nCommands:\n" + overview(catalogue, {}, columns) + "\nOptions:\n";
  Definitions options;
  for (const Parameter& parameter : common_options(true))
    options.add(option_form(parameter), parameter.summary);
  options.add("--help", "Says this; behind a command, what that does.");
  return text + options.text(columns) +
         "\nExit status: 0 done, 1 refused by the server, 2 usage, 3 the server can't be reached or its "
         "answer is "
         "broken.\n";
}

}  // namespace portolan::ctl
