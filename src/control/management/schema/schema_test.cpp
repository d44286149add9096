// SPDX-License-Identifier: BSD-2-Clause
#include "control/management/schema/schema.h"

#include <algorithm>
#include <set>

#include <gtest/gtest.h>

namespace portolan::management {
namespace {

constexpr std::string_view fields_text =
    R"({"thing": {"type": "text", "title": "Thing", "summary": "What it is."},
        "size": {"type": "number", "title": "Size", "summary": "How large it is."}})";

auto fields() -> std::vector<Column> { return parse_fields(fields_text).value(); }

/// A complete command, in which `from` is replaced by `to`.
auto command_with(std::string_view from = "", std::string_view to = "") -> std::string {
  std::string text = R"({
    "words": ["list", "thing"], "summary": "Lists things.", "method": "GET", "path": "/v1/things",
    "access": "read",
    "parameters": [
      {"name": "first", "type": "prefix", "summary": "Which.", "positional": true, "example": "2001:db8::/64"},
      {"name": "second", "type": "number", "minimum": 2, "maximum": 4, "summary": "How many.", "example": "3"}],
    "result": {"shape": "rows", "columns": ["thing", "size"], "listed": ["thing"]},
    "examples": ["list thing"]})";
  if (!from.empty()) text.replace(text.find(from), from.size(), to);
  return text;
}

auto error_of(std::string_view from, std::string_view to) -> std::string {
  const auto command = parse_command(command_with(from, to), fields());
  return command ? "no error" : command.error();
}

TEST(Schema, every_built_in_command_is_complete) {
  std::vector<Column> known;
  for (const auto& [file, text] : detail::schema_files())
    if (file == "fields") {
      const auto read = parse_fields(text);
      ASSERT_TRUE(read.has_value()) << read.error();
      known = *read;
    }
  for (const auto& [file, text] : detail::schema_files()) {
    if (file == "words" || file == "fields") continue;
    const auto command = parse_command(text, known);
    EXPECT_TRUE(command.has_value()) << file << ": " << command.error();
    if (!command) continue;
    std::string name = command->name();
    std::ranges::replace(name, ' ', '_');
    EXPECT_EQ(name, file);
  }
}

TEST(Schema, every_word_has_help_and_no_word_is_left_over) {
  const Catalogue catalogue = built_in_catalogue();
  std::set<std::string> used;
  for (const Command& command : catalogue.commands) used.insert(command.words.begin(), command.words.end());
  std::set<std::string> explained;
  for (const Word& word : catalogue.words) explained.insert(word.word);
  EXPECT_EQ(used, explained);
}

TEST(Schema, no_field_is_left_over) {
  const Catalogue catalogue = built_in_catalogue();
  std::set<std::string> used;
  for (const Command& command : catalogue.commands)
    for (const Column& column : command.result.columns) used.insert(column.name);
  for (const auto& [file, text] : detail::schema_files()) {
    if (file != "fields") continue;
    const std::vector<Column> known = parse_fields(text).value();
    for (const Column& field : known) EXPECT_TRUE(used.contains(field.name)) << field.name;
  }
}

TEST(Schema, no_two_commands_have_one_name_or_one_way) {
  const Catalogue catalogue = built_in_catalogue();
  std::set<std::string> names;
  std::set<std::string> ways;
  for (const Command& command : catalogue.commands) {
    EXPECT_TRUE(names.insert(command.name()).second) << command.name();
    if (command.is_remote()) {
      EXPECT_TRUE(ways.insert(command.method + " " + command.path).second) << command.name();
      EXPECT_EQ(catalogue.find(command.method, command.path), &command);
    }
    EXPECT_EQ(catalogue.find(command.words), &command);
  }
}

TEST(Schema, what_operators_need_is_there) {
  const Catalogue catalogue = built_in_catalogue();
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{{"list", "user"},
                                                                                     {"list", "map"},
                                                                                     {"show", "user"},
                                                                                     {"show", "map"},
                                                                                     {"add", "user"},
                                                                                     {"add", "map"},
                                                                                     {"delete", "user"},
                                                                                     {"delete", "map"},
                                                                                     {"set", "user"},
                                                                                     {"set"},
                                                                                     {"show"},
                                                                                     {"stats"},
                                                                                     {"announce"},
                                                                                     {"watch"},
                                                                                     {"export"},
                                                                                     {"reload"},
                                                                                     {"help"}})
    EXPECT_NE(catalogue.find(words), nullptr) << words.front() << " " << words.back();
}

TEST(Schema, listings_show_what_the_first_servers_did) {
  const Catalogue catalogue = built_in_catalogue();
  const auto listed = [&](const char* what) {
    std::set<std::string> names;
    for (const Column& column : catalogue.find(std::vector<std::string>{"list", what})->result.columns)
      if (column.is_listed) names.insert(column.name);
    return names;
  };
  const auto users = listed("user");
  for (const char* name : {"subscriber", "external-src-address", "port-range", "epoch"})
    EXPECT_TRUE(users.contains(name)) << name;
  const auto mappings = listed("map");
  for (const char* name : {"transport-protocol", "internal-src-port", "external-src-address",
                           "external-src-port", "lifetime", "description", "third-party-address"})
    EXPECT_TRUE(mappings.contains(name)) << name;
}

TEST(Schema, a_complete_command_is_read) {
  const auto command = parse_command(command_with(), fields());
  ASSERT_TRUE(command.has_value()) << command.error();
  EXPECT_EQ(command->name(), "list thing");
  EXPECT_EQ(command->access, Command::Access::read);
  ASSERT_EQ(command->parameters.size(), 2U);
  EXPECT_TRUE(command->parameters[0].is_positional);
  EXPECT_EQ(command->parameters[0].option, "first");
  EXPECT_EQ(command->parameters[1].maximum, 4);
  EXPECT_EQ(command->result.shape, Result::Shape::rows);
  EXPECT_EQ(command->result.columns[0].title, "Thing");
}

TEST(Schema, an_incomplete_command_says_what_is_missing) {
  EXPECT_EQ(error_of(R"("summary": "Lists things.",)", ""), "the command: 'summary' is missing");
  EXPECT_EQ(error_of("Lists things.", "lists things"), "the command: 'summary' must be a sentence");
  EXPECT_EQ(error_of(R"("summary": "Which.",)", ""), "a parameter of 'list thing': 'summary' is missing");
  EXPECT_EQ(error_of(R"(, "example": "3")", ""), "a parameter of 'list thing': 'example' is missing");
  EXPECT_EQ(error_of(R"("example": "3")", R"("example": "5")"),
            "a parameter of 'list thing' 'second': 'example' must be a number from 2 to 4");
  EXPECT_EQ(error_of(R"("maximum": 4,)", ""), "a parameter of 'list thing' 'second': 'maximum' is missing");
  EXPECT_EQ(error_of(R"("minimum": 2)", R"("minimum": 5)"),
            "a parameter of 'list thing' 'second': 'minimum' is above 'maximum'");
  EXPECT_EQ(error_of(R"(, "listed": ["thing"])", ""), "the result of 'list thing': 'listed' is missing");
  EXPECT_EQ(error_of(R"("listed": ["thing"])", R"("listed": ["other"])"),
            "the result of 'list thing': 'other' is listed and no column");
  EXPECT_EQ(error_of(R"(["thing", "size"])", R"(["thing", "other"])"),
            "the result of 'list thing': no field is called 'other'");
  EXPECT_EQ(error_of(R"("examples": ["list thing"])", R"("examples": [])"),
            "the command: 'examples' is empty");
  EXPECT_EQ(error_of(R"(["list thing"])", R"(["show thing"])"),
            "'list thing': example 'show thing' is of another command");
}

TEST(Schema, an_incomplete_field_says_what_is_missing) {
  const auto error = [](std::string_view text) {
    const auto read = parse_fields(text);
    return read ? "no error" : read.error();
  };
  EXPECT_EQ(error(R"({"a": {"type": "text", "summary": "What."}})"), "field 'a': 'title' is missing");
  EXPECT_EQ(error(R"({"a": {"type": "text", "title": "A"}})"), "field 'a': 'summary' is missing");
  EXPECT_EQ(error(R"({"a": {"type": "choice", "title": "A", "summary": "What."}})"),
            "field 'a': 'choices' is missing");
  EXPECT_EQ(error(R"({"a": {"type": "text", "title": "A", "summary": "What.", "b": 1}})"),
            "field 'a': 'b' is not known here");
  EXPECT_EQ(error(R"({"A": {}})"), "fields.json: 'A' is no word of small letters, digits and '-'");
}

TEST(Schema, a_command_with_mistakes_says_which) {
  EXPECT_EQ(error_of(R"("type": "prefix")", R"("type": "fixed")"),
            "a parameter of 'list thing': type 'fixed' is not known");
  EXPECT_EQ(error_of(R"("access": "read")", R"("access": "write")"),
            "'list thing': GET can't be for access write");
  EXPECT_EQ(error_of(R"("GET")", R"("PUT")"), "'list thing': method 'PUT' is not known");
  EXPECT_EQ(error_of("/v1/", "/v2/"), "'list thing': the path must begin with /v1/");
  EXPECT_EQ(error_of(R"("access")", R"("colour": 1, "access")"), "the command: 'colour' is not known here");
  EXPECT_EQ(error_of(R"("name": "second")", R"("name": "first")"), "'list thing' has 'first' twice");
  EXPECT_EQ(error_of(R"("name": "second")", R"("name": "second", "positional": true)"), "no error");
  EXPECT_EQ(error_of(R"("positional": true)", R"("positional": false)"), "no error");
  EXPECT_EQ(error_of(R"("name": "first", "type": "prefix", "summary": "Which.", "positional": true)",
                     R"("name": "first", "type": "prefix", "summary": "Which.")"),
            "no error");
  EXPECT_EQ(error_of(R"(["list", "thing"])", R"(["List"])"),
            "the command: 'List' is no word of small letters, digits and '-'");
  EXPECT_FALSE(parse_command("{", fields()).has_value());
  EXPECT_FALSE(parse_command("[]", fields()).has_value());
}

auto read(Type type, std::string_view text) -> std::expected<Value, std::string> {
  Parameter parameter;
  parameter.type = type;
  parameter.minimum = 2;
  parameter.maximum = 4;
  parameter.choices = {"one", "other"};
  return read_value(parameter, text);
}

TEST(Schema, values_are_read_by_their_type) {
  EXPECT_EQ(read(Type::text, "abcd"), Value(std::string("abcd")));
  EXPECT_EQ(read(Type::number, "2"), Value(std::int64_t{2}));
  EXPECT_EQ(read(Type::seconds, "4"), Value(std::int64_t{4}));
  EXPECT_EQ(read(Type::flag, "true"), Value(true));
  EXPECT_EQ(read(Type::choice, "other"), Value(std::string("other")));
  EXPECT_EQ(read(Type::address, "192.0.2.1"), Value(IpAddress::parse("192.0.2.1").value()));
  EXPECT_EQ(read(Type::prefix, "192.0.2.0/24"), Value(Prefix::parse("192.0.2.0/24").value()));
  EXPECT_EQ(read(Type::prefix, "2001:db8::1"), Value(Prefix::parse("2001:db8::1/128").value()));
  EXPECT_EQ(read(Type::port, "65535"), Value(Port{65535}));
  EXPECT_EQ(read(Type::port_range, "1-65535"), Value(PortRange{Port{1}, Port{65535}}));
  EXPECT_EQ(read(Type::port_range, "80"), Value(PortRange{Port{80}, Port{80}}));
  EXPECT_EQ(read(Type::protocol, "tcp"), Value(Protocol::tcp));
  EXPECT_EQ(read(Type::protocol, "132"), Value(Protocol::sctp));
}

TEST(Schema, other_values_are_refused) {
  for (const auto& [type, text] :
       std::vector<std::pair<Type, std::string_view>>{{Type::text, "abcde"},
                                                      {Type::text, "a\nb"},
                                                      {Type::text, "a\x7f"},
                                                      {Type::number, "1"},
                                                      {Type::number, "5"},
                                                      {Type::number, ""},
                                                      {Type::number, "-2"},
                                                      {Type::number, "2x"},
                                                      {Type::number, "9999999999999999999999"},
                                                      {Type::flag, "yes"},
                                                      {Type::choice, "none"},
                                                      {Type::address, "192.0.2"},
                                                      {Type::prefix, "10.0.0.1/8"},
                                                      {Type::prefix, "2001:db8::/129"},
                                                      {Type::port, "65536"},
                                                      {Type::port, "-1"},
                                                      {Type::port_range, "2-1"},
                                                      {Type::port_range, "1-2-3"},
                                                      {Type::port_range, "-"},
                                                      {Type::protocol, "256"},
                                                      {Type::protocol, ""},
                                                      {Type::time, "2026-11-26"}}) {
    const auto value = read(type, text);
    ASSERT_FALSE(value.has_value()) << text;
    EXPECT_TRUE(value.error().starts_with("must be ")) << value.error();
  }
}

}  // namespace
}  // namespace portolan::management
