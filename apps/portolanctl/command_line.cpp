// SPDX-License-Identifier: BSD-2-Clause
#include "portolanctl/command_line.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "portolanctl/help.h"

namespace portolan::ctl {
namespace {

using management::Type;

constexpr std::size_t values_max = 64;

/// Words that may follow `words` in commands.
auto next_words(const Catalogue& catalogue, std::span<const std::string> words) -> std::vector<std::string> {
  std::vector<std::string> next;
  for (const Command& command : catalogue.commands) {
    if (command.words.size() <= words.size()) continue;
    if (std::ranges::equal(words, std::span(command.words).first(words.size())))
      next.push_back(command.words[words.size()]);
  }
  std::ranges::sort(next);
  next.erase(std::ranges::unique(next).begin(), next.end());
  return next;
}

auto has(const auto& range, const auto& value) -> bool {
  return std::ranges::find(range, value) != std::ranges::end(range);
}

auto with_hint(const std::string& text, std::string_view word, std::span<const std::string> choices,
               std::string_view prefix = "") -> std::string {
  const std::string near = nearest(word, choices);
  return text + (near.empty() ? "." : fmt::format(": did you mean '{}{}'?", prefix, near));
}

/// Reads words one by one.
class Reader {
 public:
  Reader(const Catalogue& catalogue, std::span<const Parameter> common, std::span<const Word> words)
      : catalogue_(catalogue), common_(common), words_(words) {}

  auto run() -> std::expected<void, Mistake> {
    for (at_ = 0; at_ < words_.size() && !read.is_question; ++at_) {
      auto taken = take(words_[at_].text);
      if (!taken) return std::unexpected(Mistake{.word = at_, .text = std::move(taken.error())});
    }
    return {};
  }

  /// What a complete line must have.
  auto check_complete() -> std::expected<void, Mistake> {
    const auto missing = [&](std::string text) {
      return std::unexpected(Mistake{.word = words_.size(), .text = std::move(text)});
    };
    if (due_ != nullptr)
      return missing(fmt::format("--{} needs a value: {}", due_->option, management::description_of(*due_)));
    if (read.words.empty()) return {};
    if (read.command == nullptr) {
      const auto next = next_words(catalogue_, read.words);
      return missing(
          fmt::format("'{}' needs another word: {}", fmt::join(read.words, " "), fmt::join(next, ", ")));
    }
    for (const Parameter& parameter : read.command->parameters)
      if (parameter.is_required && read.arguments.find(parameter.name) == nullptr)
        return missing(fmt::format("'{}' needs {}--{}: {}", read.command->name(),
                                   parameter.is_positional ? "another word, or " : "", parameter.option,
                                   form_of(parameter)));
    return {};
  }

  [[nodiscard]] auto expected() const -> Expected {
    Expected next;
    next.command = read.command;
    next.arguments = read.arguments;
    next.value = due_ != nullptr ? due_ : next_positional();
    next.is_value_due = due_ != nullptr;
    if (read.arguments.list.empty() && due_ == nullptr) next.words = next_words(catalogue_, read.words);
    if (read.command != nullptr)
      for (const Parameter& parameter : read.command->parameters)
        if (read.arguments.find(parameter.name) == nullptr && &parameter != due_)
          next.options.push_back(&parameter);
    for (const Parameter& parameter : common_)
      if (read.common.find(parameter.name) == nullptr && &parameter != due_)
        next.options.push_back(&parameter);
    return next;
  }

  Invocation read;

 private:
  using Taken = std::expected<void, std::string>;

  auto take(const std::string& word) -> Taken {
    if (due_ != nullptr) return take_value(*std::exchange(due_, nullptr), word);
    if (word == "?" || word == "--help" || word == "-h") {
      read.is_question = true;
      return {};
    }
    if (word.starts_with("--")) return take_option(std::string_view(word).substr(2));
    if (read.arguments.list.empty() && has(next_words(catalogue_, read.words), word)) {
      read.words.push_back(word);
      read.command = catalogue_.find(read.words);
      return {};
    }
    if (const Parameter* const parameter = next_positional()) return take_value(*parameter, word);
    return std::unexpected(unexpected_word(word));
  }

  [[nodiscard]] auto unexpected_word(const std::string& word) const -> std::string {
    const auto next = next_words(catalogue_, read.words);
    if (read.words.empty())
      return with_hint(fmt::format("there is no command '{}'", word), word, next) +
             " 'help' lists all commands.";
    const std::string name = fmt::format("{}", fmt::join(read.words, " "));
    if (read.command == nullptr || (!next.empty() && read.arguments.list.empty()))
      return fmt::format("{} What may follow: {}",
                         with_hint(fmt::format("'{}' has no '{}'", name, word), word, next),
                         fmt::join(next, ", "));
    return fmt::format("'{}' takes no more words: name the parameter with an option; 'help {}' lists them",
                       name, name);
  }

  auto take_option(std::string_view text) -> Taken {
    const std::size_t equals = text.find('=');
    const std::string name(text.substr(0, equals));
    const Parameter* const parameter = option(name);
    if (parameter == nullptr) return std::unexpected(unexpected_option(name));
    if (arguments_of(*parameter).find(parameter->name) != nullptr)
      return std::unexpected(fmt::format("--{} is given twice: leave one out", name));
    if (equals != std::string_view::npos) return take_value(*parameter, std::string(text.substr(equals + 1)));
    if (parameter->type != Type::flag) {
      due_ = parameter;
      return {};
    }
    const bool is_said =
        at_ + 1 < words_.size() && (words_[at_ + 1].text == "true" || words_[at_ + 1].text == "false");
    if (is_said) due_ = parameter;
    return is_said ? Taken() : take_value(*parameter, "true");
  }

  [[nodiscard]] auto unexpected_option(const std::string& name) const -> std::string {
    std::vector<std::string> names;
    for (const Parameter& parameter : common_) names.push_back(parameter.option);
    if (read.command != nullptr)
      for (const Parameter& parameter : read.command->parameters) names.push_back(parameter.option);
    const auto all = common_options(true);
    const bool is_elsewhere = std::ranges::find(all, name, &Parameter::option) != all.end();
    if (is_elsewhere)
      return fmt::format("--{} is for the start of portolanctl: leave, and start it with that", name);
    if (read.command == nullptr)
      return with_hint(fmt::format("there is no option --{} here", name), name, names, "--") +
             " Options of a command come behind it.";
    return fmt::format(
        "{} 'help {}' lists its options",
        with_hint(fmt::format("'{}' has no option --{}", read.command->name(), name), name, names, "--"),
        read.command->name());
  }

  [[nodiscard]] auto option(std::string_view name) const -> const Parameter* {
    const auto in = [name](std::span<const Parameter> parameters) -> const Parameter* {
      const auto found = std::ranges::find(parameters, name, &Parameter::option);
      return found == parameters.end() ? nullptr : &*found;
    };
    if (const Parameter* const found = in(common_)) return found;
    return read.command == nullptr ? nullptr : in(read.command->parameters);
  }

  [[nodiscard]] auto is_common(const Parameter& parameter) const -> bool {
    return std::ranges::any_of(common_, [&](const Parameter& each) { return &each == &parameter; });
  }
  auto arguments_of(const Parameter& parameter) -> Arguments& {
    return is_common(parameter) ? read.common : read.arguments;
  }

  /// The parameter that a word without a name is for.
  [[nodiscard]] auto next_positional() const -> const Parameter* {
    if (read.command == nullptr) return nullptr;
    for (const Parameter& parameter : read.command->parameters) {
      if (!parameter.is_positional) continue;
      const Argument* const given = read.arguments.find(parameter.name);
      if (given == nullptr || (parameter.is_list && given->values.size() < values_max)) return &parameter;
    }
    return nullptr;
  }

  auto take_value(const Parameter& parameter, const std::string& text) -> Taken {
    std::vector<std::string> values;
    for (std::size_t begin = 0; parameter.is_list;) {
      const std::size_t comma = text.find(',', begin);
      values.push_back(text.substr(begin, comma - begin));
      if (comma == std::string::npos) break;
      begin = comma + 1;
    }
    if (!parameter.is_list) values.push_back(text);
    for (const std::string& value : values)
      if (const auto understood = management::read_value(parameter, value); !understood)
        return std::unexpected(fmt::format("--{}: '{}' {}", parameter.option, value, understood.error()));
    Arguments& arguments = arguments_of(parameter);
    const auto given = std::ranges::find(arguments.list, &parameter, &Argument::parameter);
    if (given == arguments.list.end())
      arguments.list.push_back({.parameter = &parameter, .values = std::move(values)});
    else
      given->values.insert(given->values.end(), values.begin(), values.end());
    if (arguments.find(parameter.name)->values.size() > values_max)
      return std::unexpected(fmt::format("--{}: more than {} values", parameter.option, values_max));
    return {};
  }

  const Catalogue& catalogue_;
  std::span<const Parameter> common_;
  std::span<const Word> words_;
  std::size_t at_ = 0;
  const Parameter* due_ = nullptr;  // an option whose value comes next
};

/// Letters put in, left out, changed, or swapped with the next, to make one word of the other.
auto edits(std::string_view from, std::string_view to) -> std::size_t {
  std::vector<std::vector<std::size_t>> least(from.size() + 1, std::vector<std::size_t>(to.size() + 1));
  std::iota(least[0].begin(), least[0].end(), std::size_t{0});
  for (std::size_t i = 1; i <= from.size(); ++i) {
    least[i][0] = i;
    for (std::size_t j = 1; j <= to.size(); ++j) {
      const std::size_t changed = least[i - 1][j - 1] + (from[i - 1] == to[j - 1] ? 0 : 1);
      least[i][j] = std::min({changed, least[i - 1][j] + 1, least[i][j - 1] + 1});
      const bool is_swapped = i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1];
      if (is_swapped) least[i][j] = std::min(least[i][j], least[i - 2][j - 2] + 1);
    }
  }
  return least.back().back();
}

auto option_of(std::string name, management::Type type, std::string summary, std::string example)
    -> Parameter {
  Parameter parameter;
  parameter.option = name;
  parameter.name = std::move(name);
  parameter.type = type;
  parameter.summary = std::move(summary);
  parameter.example = std::move(example);
  parameter.maximum = 1024;
  return parameter;
}

}  // namespace

auto Arguments::find(std::string_view name) const -> const Argument* {
  const auto found = std::ranges::find_if(
      list, [name](const Argument& argument) { return argument.parameter->name == name; });
  return found == list.end() ? nullptr : &*found;
}

auto common_options(bool is_program) -> std::vector<Parameter> {
  std::vector<Parameter> options{
      option_of("json", Type::flag, "Writes JSON, one object a line, with the names of the API.", "true"),
      option_of("yes", Type::flag, "Does not ask before something is deleted.", "true")};
  if (!is_program) return options;
  options.push_back(option_of("server", Type::text, "Where portoland is: unix:/PATH, or https://HOST:PORT.",
                              "https://gateway.example.net:5380"));
  options.push_back(option_of("token-file", Type::text,
                              "File with the token that the server knows this user by.",
                              "/etc/portolan/token"));
  options.push_back(
      option_of("ca", Type::text,
                "File with the certificates that the server's must come from; otherwise those that the "
                "system trusts.",
                "/etc/portolan/ca.pem"));
  Parameter timeout = option_of("timeout", Type::seconds, "How long the server may be silent.", "30");
  timeout.minimum = 1;
  timeout.maximum = 86400;
  options.push_back(std::move(timeout));
  options.push_back(option_of("version", Type::flag, "Says which version this is.", "true"));
  return options;
}

auto parse(const Catalogue& catalogue, std::span<const Parameter> common, std::span<const Word> words)
    -> std::expected<Invocation, Mistake> {
  Reader reader(catalogue, common, words);
  if (auto taken = reader.run(); !taken) return std::unexpected(std::move(taken.error()));
  if (!reader.read.is_question)
    if (auto complete = reader.check_complete(); !complete)
      return std::unexpected(std::move(complete.error()));
  return std::move(reader.read);
}

auto expected_after(const Catalogue& catalogue, std::span<const Parameter> common,
                    std::span<const Word> words) -> std::expected<Expected, Mistake> {
  Reader reader(catalogue, common, words);
  if (auto taken = reader.run(); !taken) return std::unexpected(std::move(taken.error()));
  return reader.expected();
}

auto nearest(std::string_view word, std::span<const std::string> choices) -> std::string {
  constexpr std::size_t distance_max = 2;
  constexpr std::size_t octets_max = 32;
  if (word.size() > octets_max) return {};
  std::string best;
  std::size_t least = std::min(distance_max + 1, word.size());
  for (const std::string& choice : choices) {
    const std::size_t changes = edits(word, choice);
    if (changes >= least) continue;
    least = changes;
    best = choice;
  }
  return best;
}

}  // namespace portolan::ctl
