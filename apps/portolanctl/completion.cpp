// SPDX-License-Identifier: BSD-2-Clause
#include "portolanctl/completion.h"

#include <algorithm>
#include <ranges>

#include <fmt/format.h>

#include "portolanctl/help.h"
#include "wire/escape.h"

namespace portolan::ctl {
namespace {

using management::Type;

auto common_beginning(const auto& candidates) -> std::string {
  std::string_view common = candidates.front().text;
  for (const auto& candidate : candidates) {
    const auto [here, there] = std::ranges::mismatch(common, candidate.text);
    common = common.substr(0, static_cast<std::size_t>(here - common.begin()));
  }
  return std::string(common);
}

}  // namespace

Completion::Completion(const Catalogue& catalogue, std::vector<Parameter> common, ValueSource values)
    : catalogue_(catalogue), common_(std::move(common)), values_(std::move(values)) {}

auto Completion::place_of(std::string_view before) -> Place {
  Words words = split(before);
  Place place{.words = std::move(words.words),
              .begin = before.size(),
              .named = {},
              .partial = {},
              .is_open = words.is_open};
  const bool is_within = !place.words.empty() && place.words.back().end == before.size();
  if (!is_within) return place;
  place.begin = place.words.back().begin;
  place.partial = place.words.back().text;
  place.words.pop_back();
  const std::size_t equals = place.partial.find('=');
  if (place.partial.starts_with("--") && equals != std::string::npos) {
    place.named = place.partial.substr(0, equals + 1);
    place.partial.erase(0, equals + 1);
  }
  return place;
}

void Completion::add_values(const Parameter& parameter, const Expected& expected, std::string_view partial,
                            std::vector<Candidate>& candidates) const {
  std::vector<std::string> values = parameter.choices;
  if (parameter.type == Type::flag) values = {"true", "false"};
  if (parameter.type == Type::protocol) values = {"tcp", "udp"};
  if (expected.command != nullptr && !expected.command->is_remote()) {
    // Of help: words of commands.
    const Argument* const given = expected.arguments.find(parameter.name);
    std::vector<Word> words;
    if (given != nullptr)
      for (const std::string& value : given->values) words.push_back({.text = value});
    if (auto next = expected_after(catalogue_, {}, words); next && next->arguments.list.empty())
      values = std::move(next->words);
  } else if (parameter.type != Type::flag && parameter.type != Type::choice) {
    for (std::string& value : values_(parameter, expected, partial)) values.push_back(std::move(value));
  }
  std::ranges::sort(values);
  values.erase(std::ranges::unique(values).begin(), values.end());
  for (std::string& value : values) {
    const auto* const word = catalogue_.word(value);
    const bool is_word = word != nullptr && expected.command != nullptr && !expected.command->is_remote();
    candidates.push_back({.text = std::move(value), .summary = is_word ? word->summary : ""});
  }
}

auto Completion::candidates(const Place& place, const Expected& expected) const -> std::vector<Candidate> {
  std::vector<Candidate> found;
  const bool is_option = place.partial.starts_with("-") && !expected.is_value_due;
  if (!is_option) {
    for (const std::string& word : expected.words) {
      const auto* const known = catalogue_.word(word);
      found.push_back({.text = word, .summary = known == nullptr ? "" : known->summary});
    }
    if (expected.value != nullptr) add_values(*expected.value, expected, place.partial, found);
  }
  if (is_option || (found.empty() && place.partial.empty() && !expected.is_value_due))
    for (const Parameter* const option : expected.options)
      found.push_back({.text = "--" + option->option, .summary = option->summary});
  std::erase_if(found,
                [&](const Candidate& candidate) { return !candidate.text.starts_with(place.partial); });
  return found;
}

auto Completion::listing(const std::vector<Candidate>& candidates, std::size_t columns) -> std::string {
  Definitions choices;
  for (const Candidate& candidate : candidates | std::views::take(choices_max))
    choices.add(wire::printable(candidate.text), candidate.summary);
  std::string text = choices.text(columns);
  if (candidates.size() > choices_max)
    text += fmt::format("  ... and {} more\n", candidates.size() - choices_max);
  return text;
}

auto Completion::found_at(Place place) const -> std::vector<Candidate> {
  // "--user=2001:": the value alone is completed.
  if (!place.named.empty()) place.words.push_back({.text = place.named.substr(0, place.named.size() - 1)});
  const auto expected = expected_after(catalogue_, common_, place.words);
  if (!expected || (!place.named.empty() && !expected->is_value_due)) return {};
  return candidates(place, *expected);
}

auto Completion::whole_words(std::string_view before) const -> std::vector<std::string> {
  const Place place = place_of(before);
  std::vector<std::string> words;
  for (const Candidate& candidate : found_at(place)) words.push_back(as_word(place.named + candidate.text));
  return words;
}

auto Completion::complete(std::string_view before, std::size_t columns) const -> io::LineCompletion {
  const Place place = place_of(before);
  io::LineCompletion completion{.replaced = before.size() - place.begin,
                                .text = std::string(before.substr(place.begin)),
                                .choices = {}};
  const auto found = found_at(place);
  if (found.empty()) return completion;
  if (found.size() == 1) {
    completion.text = as_word(place.named + found.front().text) + " ";
    return completion;
  }
  const std::string common = common_beginning(found);
  if (common.size() > place.partial.size()) completion.text = place.named + common;
  completion.choices = listing(found, columns);
  return completion;
}

auto Completion::explain(std::string_view before, std::size_t columns) const -> std::optional<std::string> {
  const Place place = place_of(before);
  if (place.is_open) return {};
  const auto expected = expected_after(catalogue_, common_, place.words);
  if (!expected)
    return pointed_out(before, split(before).words, expected.error()) + expected.error().text + "\n";
  std::string text;
  if (place.partial.empty() && expected->command != nullptr)
    text = folded(expected->command->summary, 0, columns);
  if (const Parameter* const value = expected->value; value != nullptr) {
    text += folded(fmt::format("{}: {}", value->option, value->summary), 0, columns);
    if (value->type != Type::flag)
      text += "  " + folded(fmt::format("It is {}.", form_of(*value)), 2, columns);
  }
  auto found = candidates(place, *expected);
  if (place.partial.empty() && !expected->is_value_due && expected->command != nullptr &&
      expected->words.empty())
    for (const Parameter* const option : expected->options)
      if (std::ranges::find(found, "--" + option->option, &Candidate::text) == found.end())
        found.push_back({.text = "--" + option->option, .summary = option->summary});
  if (found.empty() && text.empty()) return "  nothing that is known begins so\n";
  return text + listing(found, columns);
}

auto listing_of(const Catalogue& catalogue, std::string_view name) -> const Command* {
  const Command* best = nullptr;
  for (const Command& command : catalogue.commands) {
    const auto& result = command.result;
    if (!command.is_remote() || command.follows || command.method != "GET") continue;
    if (result.shape != management::Result::Shape::rows) continue;
    const auto column = std::ranges::find(result.columns, name, &management::Column::name);
    if (column == result.columns.end() || !column->is_listed) continue;
    // One that may be asked for it is of just that kind of thing.
    if (best == nullptr || (best->parameter(name) == nullptr && command.parameter(name) != nullptr))
      best = &command;
  }
  return best;
}

auto prefix_of_partial(std::string_view text) -> std::string {
  const bool is_ipv6 = text.find(':') != std::string_view::npos;
  const char separator = is_ipv6 ? ':' : '.';
  const std::size_t end = text.rfind(separator);
  if (end == std::string_view::npos || text.find("::") != std::string_view::npos) return {};
  const auto groups = static_cast<unsigned>(std::ranges::count(text.substr(0, end + 1), separator));
  if (groups >= (is_ipv6 ? 8U : 4U)) return {};
  std::string prefix(text.substr(0, end));
  for (unsigned group = groups; group < 4 && !is_ipv6; ++group) prefix += ".0";
  const auto parsed =
      Prefix::parse(prefix + (is_ipv6 ? fmt::format("::/{}", groups * 16) : fmt::format("/{}", groups * 8)));
  return parsed ? fmt::format("{}", *parsed) : std::string();
}

}  // namespace portolan::ctl
