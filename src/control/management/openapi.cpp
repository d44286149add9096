// SPDX-License-Identifier: BSD-2-Clause
#include "control/management/openapi.h"

#include <algorithm>
#include <map>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "control/management/arguments.h"
#include "control/management/error.h"

namespace portolan::management {
namespace {

using nlohmann::ordered_json;

auto schema_of(const Field& field) -> ordered_json {
  switch (field.type) {
    case Type::text: return {{"type", "string"}};
    case Type::number:
    case Type::seconds: return {{"type", "integer"}, {"minimum", 0}};
    case Type::flag: return {{"type", "boolean"}};
    case Type::choice: return {{"type", "string"}, {"enum", field.choices}};
    case Type::address:
      return {{"type", "string"}, {"description", "IPv4 or IPv6 address"}, {"pattern", "^[0-9A-Fa-f:.]+$"}};
    case Type::prefix:
      return {{"type", "string"},
              {"description", "IPv4 or IPv6 prefix"},
              {"pattern", "^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$"}};
    case Type::port: return {{"type", "integer"}, {"minimum", 0}, {"maximum", 65535}};
    case Type::port_range: return {{"type", "string"}, {"pattern", "^[0-9]{1,5}(-[0-9]{1,5})?$"}};
    case Type::protocol: return {{"type", "string"}, {"pattern", "^([a-z][a-z0-9]*|[0-9]{1,3})$"}};
    case Type::time: return {{"type", "string"}, {"format", "date-time"}};
  }
  return {};
}

auto list_or_one(const Field& field, ordered_json schema, std::optional<std::size_t> most = {})
    -> ordered_json {
  if (!field.is_list) return schema;
  ordered_json list{{"type", "array"}, {"items", std::move(schema)}};
  if (most) list["maxItems"] = *most;
  return list;
}

auto schema_of(const Parameter& parameter) -> ordered_json {
  ordered_json schema = schema_of(static_cast<const Field&>(parameter));
  if (parameter.type == Type::number || parameter.type == Type::seconds) {
    schema["minimum"] = parameter.minimum;
    schema["maximum"] = parameter.maximum;
  }
  if (parameter.type == Type::text) schema["maxLength"] = parameter.maximum;
  return list_or_one(parameter, std::move(schema), list_elements_max);
}

auto parameters_of(const Command& command) -> ordered_json {
  ordered_json parameters = ordered_json::array();
  for (const Parameter& parameter : command.parameters) {
    ordered_json made{{"name", parameter.name},
                      {"in", "query"},
                      {"description", parameter.summary},
                      {"required", parameter.is_required},
                      {"schema", schema_of(parameter)}};
    // "tcp,udp", not a member each.
    if (parameter.is_list) {
      made["style"] = "form";
      made["explode"] = false;
    }
    parameters.push_back(std::move(made));
  }
  return parameters;
}

auto body_of(const Command& command) -> ordered_json {
  ordered_json properties = ordered_json::object();
  std::vector<std::string> required;
  for (const Parameter& parameter : command.parameters) {
    properties[parameter.name] = schema_of(parameter);
    properties[parameter.name]["description"] = parameter.summary;
    if (parameter.is_required) required.push_back(parameter.name);
  }
  ordered_json schema{{"type", "object"}, {"properties", properties}, {"additionalProperties", false}};
  if (!required.empty()) schema["required"] = required;
  return {{"required", !required.empty()}, {"content", {{"application/json", {{"schema", schema}}}}}};
}

auto result_of(const Command& command) -> ordered_json {
  ordered_json properties = ordered_json::object();
  for (const Column& column : command.result.columns) {
    properties[column.name] = list_or_one(column, schema_of(static_cast<const Field&>(column)));
    properties[column.name]["description"] = column.summary;
  }
  const bool is_stream = command.result.shape == Result::Shape::rows;
  const ordered_json schema{{"type", "object"}, {"properties", properties}, {"additionalProperties", false}};
  return {{"description", is_stream ? "JSON objects, one a line." : "One JSON object."},
          {"content", {{is_stream ? "application/x-ndjson" : "application/json", {{"schema", schema}}}}}};
}

auto operation_of(const Command& command) -> ordered_json {
  std::string id = command.name();
  std::ranges::replace(id, ' ', '-');
  ordered_json operation{{"operationId", id}, {"summary", command.summary}};
  if (command.has_body()) {
    if (!command.parameters.empty()) operation["requestBody"] = body_of(command);
  } else if (!command.parameters.empty()) {
    operation["parameters"] = parameters_of(command);
  }
  const bool creates = command.method == "POST" && command.words.front() == "add";
  operation["responses"] = {{creates ? "201" : "200", result_of(command)},
                            {"default", {{"$ref", "#/components/responses/Error"}}}};
  return operation;
}

auto text_operation(const char* id, const char* summary, const char* type) -> ordered_json {
  return {{"operationId", id},
          {"summary", summary},
          {"responses",
           {{"200", {{"description", summary}, {"content", {{type, ordered_json::object()}}}}},
            {"default", {{"$ref", "#/components/responses/Error"}}}}}};
}

auto error_schema() -> ordered_json {
  std::vector<std::string_view> codes;
  for (const ErrorCode& code : error_codes()) codes.push_back(code.code);
  const ordered_json text{{"type", "string"}};
  ordered_json error{{"type", "object"},
                     {"properties",
                      {{"code", {{"type", "string"}, {"enum", codes}}},
                       {"message", text},
                       {"field", text},
                       {"remedy", text}}},
                     {"required", {"code", "message", "remedy"}},
                     {"additionalProperties", false}};
  return {{"type", "object"},
          {"properties", {{"error", std::move(error)}}},
          {"required", ordered_json::array({"error"})},
          {"additionalProperties", false}};
}

auto lower_case(std::string text) -> std::string {
  std::ranges::transform(text, text.begin(), [](char letter) {
    return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
  });
  return text;
}

}  // namespace

auto openapi_of(const Catalogue& catalogue) -> std::string {
  ordered_json paths = ordered_json::object();
  for (const Command& command : catalogue.commands)
    if (command.is_remote()) paths[command.path][lower_case(command.method)] = operation_of(command);
  paths["/v1/openapi.json"]["get"] =
      text_operation("openapi", "Describes this API (OpenAPI 3.1).", "application/json");
  paths["/metrics"]["get"] = text_operation("metrics", "What Prometheus collects.", "text/plain");
  const ordered_json error{
      {"description", "Why nothing was done."},
      {"content", {{"application/json", {{"schema", {{"$ref", "#/components/schemas/Error"}}}}}}}};
  ordered_json root{
      {"openapi", "3.1.0"},
      {"info", {{"title", "portoland"}, {"version", "1"}, {"summary", "Management of a PCP server."}}},
      {"paths", std::move(paths)},
      {"components",
       {{"schemas", {{"Error", error_schema()}}},
        {"responses", {{"Error", error}}},
        {"securitySchemes", {{"token", {{"type", "http"}, {"scheme", "bearer"}}}}}}},
      {"security", ordered_json::array({{{"token", ordered_json::array()}}, ordered_json::object()})}};
  return root.dump(2) + '\n';
}

}  // namespace portolan::management
