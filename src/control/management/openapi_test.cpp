// SPDX-License-Identifier: BSD-2-Clause
//
// Whether the document is one by the rules of OpenAPI 3.1 that it has to do with (section numbers of the
// specification 3.1.0), and says what the schemas say.
#include "control/management/openapi.h"

#include <algorithm>
#include <cctype>
#include <set>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "control/management/error.h"

namespace portolan::management {
namespace {

using nlohmann::json;

class OpenApi : public ::testing::Test {
 protected:
  const Catalogue catalogue = built_in_catalogue();
  const json document = json::parse(openapi_of(catalogue));

  /// What `object` has beyond `required` and `optional`, or lacks.
  static void expect_members(const json& object, const std::set<std::string>& required,
                             const std::set<std::string>& optional, const std::string& where) {
    ASSERT_TRUE(object.is_object()) << where;
    for (const std::string& name : required) EXPECT_TRUE(object.contains(name)) << where << " lacks " << name;
    for (const auto& [name, value] : object.items())
      EXPECT_TRUE(required.contains(name) || optional.contains(name)) << where << " has " << name;
  }
  void expect_reference(const json& object, const std::string& where) const {
    const auto reference = object.at("$ref").get<std::string>();
    ASSERT_TRUE(reference.starts_with("#/")) << where;
    EXPECT_TRUE(document.contains(json::json_pointer(reference.substr(1)))) << where << reference;
  }
  /// JSON Schema 2020-12, as far as it is used here.
  void expect_schema(const json& schema, const std::string& where) const {
    ASSERT_TRUE(schema.is_object()) << where;
    if (schema.contains("$ref")) return expect_reference(schema, where);
    expect_members(schema, {"type"},
                   {"description", "enum", "format", "pattern", "minimum", "maximum", "maxLength", "maxItems",
                    "items", "properties", "required", "additionalProperties"},
                   where);
    const std::set<std::string> types{"string", "integer", "boolean", "array", "object"};
    EXPECT_TRUE(types.contains(schema.at("type").get<std::string>())) << where;
    if (schema.at("type") == "array") expect_schema(schema.at("items"), where + "/items");
    if (!schema.contains("properties")) return;
    for (const auto& [name, property] : schema.at("properties").items())
      expect_schema(property, fmt::format("{}/{}", where, name));
    if (!schema.contains("required")) return;
    for (const json& name : schema.at("required"))
      EXPECT_TRUE(schema.at("properties").contains(name.get<std::string>())) << where << name;
  }
  /// s4.8.13, s4.8.14
  void expect_content(const json& content, const std::string& where) const {
    for (const auto& [type, media] : content.items()) {
      EXPECT_NE(type.find('/'), std::string::npos) << where;
      expect_members(media, {}, {"schema"}, where);
      if (media.contains("schema")) expect_schema(media.at("schema"), fmt::format("{} {}", where, type));
    }
  }
};

TEST_F(OpenApi, the_document_has_what_it_must) {
  // s4.8.1, s4.8.2
  expect_members(document, {"openapi", "info", "paths"}, {"components", "security"}, "the document");
  EXPECT_EQ(document.at("openapi"), "3.1.0");
  expect_members(document.at("info"), {"title", "version"}, {"summary"}, "info");
  // s4.8.7, s4.8.27
  expect_members(document.at("components"), {}, {"schemas", "responses", "securitySchemes"}, "components");
  for (const auto& [name, scheme] : document.at("components").at("securitySchemes").items())
    expect_members(scheme, {"type", "scheme"}, {}, name);
  for (const auto& [name, schema] : document.at("components").at("schemas").items())
    expect_schema(schema, name);
  // s4.8.30
  ASSERT_TRUE(document.at("security").is_array());
  for (const json& way : document.at("security"))
    for (const auto& [name, scopes] : way.items()) {
      EXPECT_TRUE(document.at("components").at("securitySchemes").contains(name));
      EXPECT_TRUE(scopes.is_array());
    }
}

TEST_F(OpenApi, every_operation_has_what_it_must) {
  std::set<std::string> ids;
  for (const auto& [path, item] : document.at("paths").items()) {
    EXPECT_TRUE(path.starts_with('/')) << path;  // s4.8.8
    // s4.8.9
    expect_members(item, {}, {"get", "post", "patch", "delete"}, path);
    for (const auto& [method, operation] : item.items()) {
      const std::string where = fmt::format("{} {}", method, path);
      // s4.8.10
      expect_members(operation, {"responses"}, {"operationId", "summary", "parameters", "requestBody"},
                     where);
      EXPECT_TRUE(ids.insert(operation.at("operationId").get<std::string>()).second) << where;
      std::set<std::string> names;
      for (const json& parameter : operation.value("parameters", json::array())) {
        // s4.8.12
        expect_members(parameter, {"name", "in", "schema"}, {"description", "required", "style", "explode"},
                       where);
        EXPECT_EQ(parameter.at("in"), "query");
        EXPECT_TRUE(names.insert(parameter.at("name").get<std::string>()).second) << where;
        expect_schema(parameter.at("schema"), where);
      }
      if (operation.contains("requestBody")) {
        expect_members(operation.at("requestBody"), {"content"}, {"required"}, where);
        expect_content(operation.at("requestBody").at("content"), where);
      }
      // s4.8.16, s4.8.17
      EXPECT_GE(operation.at("responses").size(), 2U) << where;
      for (const auto& [status, response] : operation.at("responses").items()) {
        EXPECT_TRUE(status == "default" || status.size() == 3) << where;
        if (response.contains("$ref")) {
          expect_reference(response, where);
          continue;
        }
        expect_members(response, {"description", "content"}, {}, where);
        expect_content(response.at("content"), where);
      }
    }
  }
}

TEST_F(OpenApi, every_command_is_in_it_with_its_parameters_and_columns) {
  for (const Command& command : catalogue.commands) {
    if (!command.is_remote()) continue;
    std::string method = command.method;
    std::ranges::transform(method, method.begin(), [](unsigned char letter) { return std::tolower(letter); });
    const json& operation = document.at("paths").at(command.path).at(method);
    EXPECT_EQ(operation.at("summary"), command.summary);
    for (const Parameter& parameter : command.parameters) {
      if (command.has_body()) {
        const json& schema = operation.at("requestBody").at("content").at("application/json").at("schema");
        EXPECT_TRUE(schema.at("properties").contains(parameter.name)) << command.name();
        continue;
      }
      const json& parameters = operation.at("parameters");
      EXPECT_TRUE(
          std::ranges::any_of(parameters, [&](const json& one) { return one.at("name") == parameter.name; }));
    }
    const json& responses = operation.at("responses");
    const json& content = responses.at(responses.contains("201") ? "201" : "200").at("content");
    const bool is_stream = command.result.shape == Result::Shape::rows;
    const json& schema = content.at(is_stream ? "application/x-ndjson" : "application/json").at("schema");
    for (const Column& column : command.result.columns)
      EXPECT_TRUE(schema.at("properties").contains(column.name)) << command.name() << column.name;
  }
}

TEST_F(OpenApi, every_error_code_is_in_it) {
  const json& codes =
      document.at(json::json_pointer("/components/schemas/Error/properties/error/properties/code/enum"));
  EXPECT_EQ(codes.size(), error_codes().size());
}

}  // namespace
}  // namespace portolan::management
