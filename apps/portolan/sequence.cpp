// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/sequence.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "portolan/options.h"

namespace portolan {
namespace {

using Json = nlohmann::ordered_json;

auto shown(const Json& value) -> std::string {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// A mistake, thrown and caught in this file.
struct Mistake {
  std::string text;
};

[[noreturn]] void refuse(const std::string& where, const Json& value, std::string_view remedy) {
  throw Mistake{fmt::format("{}: {} {}", where, shown(value), remedy)};
}

auto text_in(const Json& table, const std::string& where, const std::string& key) -> std::string {
  const auto found = table.find(key);
  if (found == table.end()) return {};
  if (!found->is_string()) refuse(where + key, *found, "is no text");
  return found->get<std::string>();
}

auto seconds_in(const Json& table, const std::string& where, const std::string& key, Seconds least,
                Seconds unless_given) -> Seconds {
  const auto found = table.find(key);
  if (found == table.end()) return unless_given;
  if (!found->is_number_integer() || *found < least.count() || *found > step_wait_max.count())
    refuse(where + key, *found,
           fmt::format("is no time: give seconds from {} to {}", least.count(), step_wait_max.count()));
  return Seconds{found->get<std::int64_t>()};
}

auto range_of(const Json& value) -> std::optional<ExpectedField::Range> {
  if (!value.is_array() || value.size() != 2 || !value[0].is_number_unsigned() ||
      !value[1].is_number_unsigned())
    return {};
  return ExpectedField::Range{.least = value[0].get<std::uint64_t>(), .most = value[1].get<std::uint64_t>()};
}

auto expected_field(const std::string& where, const std::string& key, const Json& value) -> ExpectedField {
  if (key == "options") {
    const bool is_list =
        value.is_array() && std::ranges::all_of(value, [](const Json& each) { return each.is_string(); });
    if (!is_list) refuse(where + key, value, R"(is no list of options' names: give ["FILTER", "FILTER"])");
    std::string names;
    for (const Json& each : value) names += (names.empty() ? "" : ", ") + each.get<std::string>();
    return {.key = key, .value = names};
  }
  if (value.is_string()) return {.key = key, .value = value.get<std::string>()};
  if (value.is_number_integer()) return {.key = key, .value = value.dump()};
  const auto range = range_of(value);
  if (!range) refuse(where + key, value, "is nothing to expect: give a text, a number, or [LEAST, MOST]");
  return {.key = key, .value = *range};
}

void check_known(const Json& table, const std::string& where, const std::set<std::string>& known) {
  for (const auto& [key, value] : table.items())
    if (!known.contains(key))
      throw Mistake{fmt::format("{}{}: is not known: {} are", where, key, fmt::join(known, ", "))};
}

void read_expectation(const Json& value, const std::string& where, Step& step) {
  if (value == "nothing") {
    step.answer = Step::Answer::nothing;
    return;
  }
  if (!value.is_object() || value.empty() || value.size() > step_members_max)
    refuse(where, value,
           fmt::format(R"(is no expectation: give "nothing", or 1 to {} fields, as in {{"result-code": 0}})",
                       step_members_max));
  step.answer = Step::Answer::expected;
  for (const auto& [key, wanted] : value.items())
    step.fields.push_back(expected_field(where + ".", key, wanted));
}

void read_saved(const Json& value, const std::string& where, Step& step) {
  if (!value.is_object() || value.size() > step_members_max)
    refuse(where, value, R"(is no object of variables and fields: give {"port": "assigned-external-port"})");
  for (const auto& [variable, field] : value.items()) {
    if (!field.is_string()) refuse(fmt::format("{}.{}", where, variable), field, "is no name of a field");
    step.saved.emplace_back(variable, field.get<std::string>());
  }
}

auto read_step(const Json& table, std::size_t number) -> Step {
  const std::string where = fmt::format("step {}: ", number);
  if (!table.is_object()) refuse(fmt::format("step {}", number), table, "is no object");
  check_known(table, where, {"name", "send", "expect", "save", "wait", "timeout"});
  Step step;
  step.name = text_in(table, where, "name");
  if (step.name.empty()) step.name = fmt::format("step {}", number);
  if (const auto draft = table.find("send"); draft != table.end()) {
    if (!draft->is_object()) refuse(where + "send", *draft, R"(is no packet: give {"opcode": "map"})");
    step.draft = shown(*draft);
  }
  if (const auto expectation = table.find("expect"); expectation != table.end())
    read_expectation(*expectation, where + "expect", step);
  if (const auto saved = table.find("save"); saved != table.end()) read_saved(*saved, where + "save", step);
  if (step.draft.empty() && step.answer == Step::Answer::any)
    throw Mistake{where + "neither sends nor expects anything: give it send or expect"};
  step.wait = seconds_in(table, where, "wait", Seconds{0}, Seconds{0});
  if (table.contains("timeout")) step.timeout = seconds_in(table, where, "timeout", Seconds{1}, step_timeout);
  // With variables a draft is known when it is its turn.
  if (!step.draft.empty() && !step.draft.contains("${"))
    if (const auto parsed = parse_draft(step.draft, {}); !parsed)
      throw Mistake{fmt::format("{}send: {}", where, parsed.error())};
  return step;
}

auto sequence_of(const Json& json) -> std::expected<Sequence, std::string> {
  if (!json.is_object()) return std::unexpected("is no object with a list of steps");
  try {
    check_known(json, "", {"name", "about", "before", "step"});
    const auto steps = json.find("step");
    if (steps == json.end() || !steps->is_array() || steps->empty() || steps->size() > sequence_steps_max)
      throw Mistake{fmt::format("step: is wanted, a list of 1 to {} steps", sequence_steps_max)};
    Sequence sequence{.name = text_in(json, "", "name"),
                      .about = text_in(json, "", "about"),
                      .before = text_in(json, "", "before"),
                      .steps = {}};
    for (const Json& step : *steps) sequence.steps.push_back(read_step(step, sequence.steps.size() + 1));
    return sequence;
  } catch (const Mistake& mistake) {
    return std::unexpected(mistake.text);
  }
}

/// Why there is no built-in sequence `name`. Those of the flows have the number of their first figure.
auto unknown_name(const std::string& name) -> std::string {
  std::string near;
  if (name.starts_with("flow-"))
    for (const auto& [known, text] : built_in_sequences())
      if (known.starts_with("flow-") && known <= name) near = fmt::format(" (did you mean {}?)", known);
  return fmt::format(
      "no sequence of that name comes with the program{}: --sequence {} shows those that do; of a file of "
      "yours give the path, such as ./{}.toml",
      near, sequence_list_word, name);
}

}  // namespace

auto read_sequence(std::string_view json) -> std::expected<Sequence, std::string> {
  try {
    return sequence_of(Json::parse(json));
  } catch (const Json::parse_error& error) {
    return std::unexpected(error.what());
  }
}

auto load_sequence(const std::string& file) -> std::expected<Sequence, std::string> {
  const auto in_file = [&file](std::string text) { return std::unexpected(file + ": " + std::move(text)); };
  std::string text;
  bool is_toml = file.ends_with(".toml");
  if (file.find_first_of("./") == std::string::npos) {
    const auto known = built_in_sequences();
    const auto found = std::ranges::find(known, file, [](const auto& each) { return each.first; });
    if (found == known.end()) return in_file(unknown_name(file));
    text = found->second;
    is_toml = true;
  } else {
    std::ifstream stream(file, std::ios::binary);
    if (!stream) return in_file("cannot be read");
    text.resize(sequence_octets_max + 1);
    stream.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(stream.gcount()));
    if (text.size() > sequence_octets_max)
      return in_file(fmt::format("is larger than {} octets", sequence_octets_max));
  }
  auto sequence = is_toml ? read_toml_sequence(text) : read_sequence(text);
  if (!sequence) return in_file(sequence.error());
  if (sequence->name.empty()) sequence->name = file;
  return sequence;
}

}  // namespace portolan
