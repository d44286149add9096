// SPDX-License-Identifier: BSD-2-Clause
#include "control/management/arguments.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

namespace portolan::management {
namespace {

using nlohmann::json;

auto names_of(const Command& command) -> std::string {
  std::vector<std::string_view> names;
  names.reserve(command.parameters.size());
  for (const Parameter& parameter : command.parameters) names.push_back(parameter.name);
  return names.empty() ? "it has none" : fmt::format("it has {}", fmt::join(names, ", "));
}

auto unknown(const Command& command, const std::string& name) -> Error {
  return {.code = "unknown-parameter",
          .message = fmt::format("'{}' has no parameter of that name", command.name()),
          .field = name,
          .remedy = names_of(command)};
}

auto invalid(const Parameter& parameter, std::string_view what) -> Error {
  return {.code = "invalid",
          .message = fmt::format("'{}' {}", parameter.name, what),
          .field = parameter.name,
          .remedy = fmt::format("such as {}", parameter.example)};
}

auto read_values(const Parameter& parameter, const std::vector<std::string>& texts)
    -> std::expected<std::vector<Value>, Error> {
  if (texts.size() > list_elements_max)
    return std::unexpected(invalid(parameter, fmt::format("has more than {} elements", list_elements_max)));
  std::vector<Value> values;
  for (const std::string& text : texts) {
    auto value = read_value(parameter, text);
    if (!value) return std::unexpected(invalid(parameter, value.error()));
    values.push_back(*std::move(value));
  }
  return values;
}

auto split(std::string_view text) -> std::vector<std::string> {
  std::vector<std::string> elements;
  while (true) {
    const std::size_t comma = text.find(',');
    elements.emplace_back(text.substr(0, comma));
    if (comma == std::string_view::npos) return elements;
    text.remove_prefix(comma + 1);
  }
}

auto check_required(const Command& command, Arguments arguments) -> std::expected<Arguments, Error> {
  for (const Parameter& parameter : command.parameters)
    if (parameter.is_required && !arguments.has(parameter.name))
      return std::unexpected(Error{.code = "missing-parameter",
                                   .message = fmt::format("'{}' needs '{}'", command.name(), parameter.name),
                                   .field = parameter.name,
                                   .remedy = fmt::format("such as {}", parameter.example)});
  return arguments;
}

/// A JSON value as the text that read_value() takes; none if it is of another type than the schema says.
auto text_of(const Parameter& parameter, const json& value) -> std::optional<std::string> {
  switch (parameter.type) {
    case Type::number:
    case Type::port:
    case Type::seconds:
      if (!value.is_number_integer()) return {};
      return value.dump();
    case Type::flag:
      if (!value.is_boolean()) return {};
      return value.get<bool>() ? "true" : "false";
    default:
      if (!value.is_string()) return {};
      return value.get<std::string>();
  }
}

auto texts_of(const Parameter& parameter, const json& value) -> std::optional<std::vector<std::string>> {
  std::vector<std::string> texts;
  if (!parameter.is_list) {
    auto text = text_of(parameter, value);
    if (!text) return {};
    texts.push_back(*std::move(text));
    return texts;
  }
  if (!value.is_array()) return {};
  for (const json& element : value) {
    auto text = text_of(parameter, element);
    if (!text) return {};
    texts.push_back(*std::move(text));
  }
  return texts;
}

/// Parses an object whose names are there once; the library itself keeps the last of several.
auto parse_object(std::string_view body) -> std::expected<json, std::string> {
  std::set<std::string> names;
  bool is_twice = false;
  const auto look = [&](int depth, json::parse_event_t event, json& value) {
    if (depth == 1 && event == json::parse_event_t::key && !names.insert(value.get<std::string>()).second)
      is_twice = true;
    return true;
  };
  try {
    json parsed = json::parse(body, look);
    if (!parsed.is_object()) return std::unexpected("the body must be a JSON object");
    if (is_twice) return std::unexpected("a name is in the JSON object twice");
    return parsed;
  } catch (const json::exception& exception) {
    return std::unexpected(fmt::format("the body is no JSON: {}", exception.what()));
  }
}

}  // namespace

auto read_query(const Command& command, std::span<const std::pair<std::string, std::string>> query)
    -> std::expected<Arguments, Error> {
  Arguments arguments;
  for (const auto& [name, text] : query) {
    const Parameter* const parameter = command.parameter(name);
    if (parameter == nullptr) return std::unexpected(unknown(command, name));
    if (arguments.has(name)) return std::unexpected(invalid(*parameter, "is given twice"));
    auto values = read_values(*parameter, parameter->is_list ? split(text) : std::vector{text});
    if (!values) return std::unexpected(values.error());
    arguments.put(name, *std::move(values));
  }
  return check_required(command, std::move(arguments));
}

auto read_body(const Command& command, std::string_view body) -> std::expected<Arguments, Error> {
  Arguments arguments;
  if (!body.empty()) {
    const auto object = parse_object(body);
    if (!object)
      return std::unexpected(Error{.code = "malformed",
                                   .message = object.error(),
                                   .remedy = "send a JSON object with the command's parameters"});
    for (const auto& [name, value] : object->items()) {
      const Parameter* const parameter = command.parameter(name);
      if (parameter == nullptr) return std::unexpected(unknown(command, name));
      const auto texts = texts_of(*parameter, value);
      if (!texts)
        return std::unexpected(
            invalid(*parameter, fmt::format("must be {}{}", parameter->is_list ? "a list, each element " : "",
                                            description_of(*parameter))));
      auto values = read_values(*parameter, *texts);
      if (!values) return std::unexpected(values.error());
      arguments.put(name, *std::move(values));
    }
  }
  return check_required(command, std::move(arguments));
}

}  // namespace portolan::management
