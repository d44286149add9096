// SPDX-License-Identifier: BSD-2-Clause
#include "portolanctl/answer.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace portolan::ctl {
namespace {

using management::Type;
using nlohmann::ordered_json;

constexpr unsigned unauthorized = 401;

/// Values as the parser let them through, in the types that the API wants.
auto json_value(const Parameter& parameter, const std::string& text) -> ordered_json {
  switch (parameter.type) {
    case Type::number:
    case Type::seconds:
    case Type::port: return ordered_json::parse(text);
    case Type::flag: return text == "true";
    default: return text;
  }
}

auto body_of(const Arguments& arguments) -> std::string {
  ordered_json body = ordered_json::object();
  for (const auto& [parameter, values] : arguments.list) {
    if (!parameter->is_list) {
      body[parameter->name] = json_value(*parameter, values.front());
      continue;
    }
    body[parameter->name] = ordered_json::array();
    for (const std::string& value : values) body[parameter->name].push_back(json_value(*parameter, value));
  }
  return body.dump();
}

auto query_of(const Arguments& arguments) -> std::string {
  std::string query;
  for (const auto& [parameter, values] : arguments.list) {
    query += query.empty() ? '?' : '&';
    query += parameter->name + '=';
    for (std::size_t i = 0; i < values.size(); ++i)
      query += (i > 0 ? "," : "") + io::percent_encoded(values[i]);
  }
  return query;
}

auto text_of(const ordered_json& value) -> std::string {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) return value.dump();
  std::string text;
  for (const ordered_json& element : value) text += (text.empty() ? "" : ", ") + text_of(element);
  return text;
}

/// More nest deeper than anything portoland says, and than the stack may have to.
constexpr std::ptrdiff_t brackets_max = 512;

/// Not an exception where the input decides.
auto parsed(std::string_view json) -> std::expected<ordered_json, std::string> {
  if (std::ranges::count_if(json, [](char octet) { return octet == '[' || octet == '{'; }) > brackets_max)
    return std::unexpected("the server's answer is JSON of too many parts");
  auto value = ordered_json::parse(json, nullptr, false);
  if (value.is_discarded()) return std::unexpected("the server's answer is not JSON");
  if (!value.is_object()) return std::unexpected("the server's answer is no JSON object");
  return value;
}

}  // namespace

auto request_of(const Command& command, const Arguments& arguments) -> io::HttpRequest {
  io::HttpRequest request{.method = command.method, .target = command.path, .body = {}, .silence_max = {}};
  if (command.has_body())
    request.body = body_of(arguments);
  else
    request.target += query_of(arguments);
  return request;
}

auto Row::find(std::string_view name) const -> const std::string* {
  const auto found = std::ranges::find(members, name, &std::pair<std::string, std::string>::first);
  return found == members.end() ? nullptr : &found->second;
}

auto read_row(std::string_view json) -> std::expected<Row, std::string> {
  const auto object = parsed(json);
  if (!object) return std::unexpected(object.error());
  Row row;
  for (const auto& [name, value] : object->items())
    if (!value.is_null()) row.members.emplace_back(name, text_of(value));
  return row;
}

auto plain_json(std::string_view json) -> std::expected<std::string, std::string> {
  const auto object = parsed(json);
  if (!object) return std::unexpected(object.error());
  return object->dump(-1, ' ', true);
}

auto refusal_text(unsigned status, std::string_view body) -> std::string {
  std::string text = fmt::format("the server refuses, with HTTP status {}", status);
  const auto answer = read_row(body);
  const std::string* const inner = answer ? answer->find("error") : nullptr;
  const auto error = read_row(inner == nullptr ? "" : *inner);
  if (error) {
    if (const std::string* const message = error->find("message")) text = *message;
    if (const std::string* const remedy = error->find("remedy")) text += ": " + *remedy;
  }
  // What the server can't know: how it is said here.
  if (status == unauthorized) text += "\nThe token is in the file that --token-file names.";
  return text;
}

auto Lines::next() -> std::optional<std::string> {
  const std::size_t end = waiting_.find('\n', begin_);
  if (end == std::string::npos) {
    waiting_.erase(0, begin_);
    begin_ = 0;
    return {};
  }
  std::string line = waiting_.substr(begin_, end - begin_);
  begin_ = end + 1;
  return line;
}

}  // namespace portolan::ctl
