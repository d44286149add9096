// SPDX-License-Identifier: BSD-2-Clause
#include "control/management/schema/schema.h"

#include <algorithm>
#include <array>
#include <initializer_list>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "base/check.h"

namespace portolan::management {
namespace {

using nlohmann::ordered_json;

constexpr std::array<std::pair<std::string_view, Type>, 11> type_names{{{"text", Type::text},
                                                                        {"number", Type::number},
                                                                        {"flag", Type::flag},
                                                                        {"choice", Type::choice},
                                                                        {"address", Type::address},
                                                                        {"prefix", Type::prefix},
                                                                        {"port", Type::port},
                                                                        {"port_range", Type::port_range},
                                                                        {"protocol", Type::protocol},
                                                                        {"seconds", Type::seconds},
                                                                        {"time", Type::time}}};

constexpr std::string_view word_letters = "abcdefghijklmnopqrstuvwxyz0123456789-";

/// Thrown within this file only: a schema has some thirty places where it may be wrong.
struct Mistake {
  std::string text;
};

/// Members of a JSON object, each of which must be asked for.
class Members {
 public:
  Members(const ordered_json& json, std::string where) : json_(json), where_(std::move(where)) {
    if (!json.is_object()) throw Mistake{fmt::format("{} must be an object", where_)};
  }

  template <typename T>
  auto get(const char* name, const char* kind) -> std::optional<T> {
    known_.emplace_back(name);
    const auto member = json_.find(name);
    if (member == json_.end()) return {};
    if constexpr (std::is_same_v<T, std::string>) {
      if (member->is_string() && !member->get_ref<const std::string&>().empty()) return member->get<T>();
    } else if constexpr (std::is_same_v<T, bool>) {
      if (member->is_boolean()) return member->get<T>();
    } else if constexpr (std::is_same_v<T, std::int64_t>) {
      if (member->is_number_integer()) return member->get<T>();
    } else {
      if (member->is_array()) return *member;
    }
    throw Mistake{fmt::format("{}: '{}' must be {}", where_, name, kind)};
  }
  auto text(const char* name) -> std::string {
    auto value = get<std::string>(name, "a text");
    if (!value) throw Mistake{fmt::format("{}: '{}' is missing", where_, name)};
    return *std::move(value);
  }
  /// Help: begins with a capital letter, ends with a full stop.
  auto sentence(const char* name) -> std::string {
    std::string value = text(name);
    if (value.front() < 'A' || value.front() > 'Z' || value.back() != '.')
      throw Mistake{fmt::format("{}: '{}' must be a sentence", where_, name)};
    return value;
  }
  auto word(const char* name) -> std::string { return checked_word(text(name)); }
  auto flag(const char* name) -> bool { return get<bool>(name, "true or false").value_or(false); }
  auto object(const char* name) -> const ordered_json& {
    known_.emplace_back(name);
    if (!json_.contains(name)) throw Mistake{fmt::format("{}: '{}' is missing", where_, name)};
    return json_[name];
  }
  auto list(const char* name) -> ordered_json {
    auto value = get<ordered_json>(name, "a list");
    if (!value) throw Mistake{fmt::format("{}: '{}' is missing", where_, name)};
    return *std::move(value);
  }
  auto texts(const char* name) -> std::vector<std::string> {
    std::vector<std::string> values;
    for (const ordered_json& element : list(name)) {
      if (!element.is_string()) throw Mistake{fmt::format("{}: '{}' must be texts", where_, name)};
      values.push_back(element.get<std::string>());
    }
    if (values.empty()) throw Mistake{fmt::format("{}: '{}' is empty", where_, name)};
    return values;
  }
  [[nodiscard]] auto has(const char* name) const -> bool { return json_.contains(name); }
  [[nodiscard]] auto checked_word(std::string word) const -> std::string {
    if (word.empty() || word.find_first_not_of(word_letters) != std::string::npos)
      throw Mistake{fmt::format("{}: '{}' is no word of small letters, digits and '-'", where_, word)};
    return word;
  }
  void refuse_others() const {
    for (const auto& [name, value] : json_.items())
      if (std::ranges::find(known_, name) == known_.end())
        throw Mistake{fmt::format("{}: '{}' is not known here", where_, name)};
  }

 private:
  const ordered_json& json_;
  std::string where_;
  std::vector<std::string> known_;
};

void read_field(Members& members, const std::string& where, Field& field) {
  const std::string type = members.text("type");
  const auto* const known = std::ranges::find(type_names, type, &std::pair<std::string_view, Type>::first);
  if (known == type_names.end()) throw Mistake{fmt::format("{}: type '{}' is not known", where, type)};
  field.type = known->second;
  if (field.type == Type::choice) field.choices = members.texts("choices");
  field.is_list = members.flag("list");
  field.summary = members.sentence("summary");
}

auto read_parameter(const ordered_json& json, const std::string& command) -> Parameter {
  const std::string where = fmt::format("a parameter of '{}'", command);
  Members members(json, where);
  Parameter parameter;
  parameter.name = members.word("name");
  read_field(members, where, parameter);
  if (parameter.type == Type::time) throw Mistake{fmt::format("{}: type 'time' is for columns", where)};
  parameter.option = members.has("option") ? members.word("option") : parameter.name;
  parameter.is_required = members.flag("required");
  parameter.is_positional = members.flag("positional");
  const bool is_number = parameter.type == Type::number || parameter.type == Type::seconds;
  if (is_number || parameter.type == Type::text) {
    const auto maximum = members.get<std::int64_t>("maximum", "a number");
    if (!maximum) throw Mistake{fmt::format("{} '{}': 'maximum' is missing", where, parameter.name)};
    parameter.maximum = *maximum;
    if (is_number) parameter.minimum = members.get<std::int64_t>("minimum", "a number").value_or(0);
    if (parameter.minimum > parameter.maximum)
      throw Mistake{fmt::format("{} '{}': 'minimum' is above 'maximum'", where, parameter.name)};
  }
  parameter.example = members.text("example");
  members.refuse_others();
  if (parameter.is_list) return parameter;
  if (const auto value = read_value(parameter, parameter.example); !value)
    throw Mistake{fmt::format("{} '{}': 'example' {}", where, parameter.name, value.error())};
  return parameter;
}

auto read_columns(const ordered_json& json) -> std::vector<Column> {
  std::vector<Column> columns;
  Members members(json, "fields.json");
  for (const auto& [name, value] : json.items()) {
    const std::string where = fmt::format("field '{}'", name);
    Members field(value, where);
    Column column;
    column.name = members.checked_word(name);
    read_field(field, where, column);
    column.title = field.text("title");
    field.refuse_others();
    columns.push_back(std::move(column));
  }
  return columns;
}

template <typename T>
void refuse_twice(const std::vector<T>& fields, const std::string& command) {
  for (std::size_t i = 0; i < fields.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (fields[i].name == fields[j].name)
        throw Mistake{fmt::format("'{}' has '{}' twice", command, fields[i].name)};
}

auto read_result(const ordered_json& json, const Command& command, std::span<const Column> fields) -> Result {
  const std::string where = fmt::format("the result of '{}'", command.name());
  Members members(json, where);
  Result result;
  const std::string shape = members.text("shape");
  if (shape == "rows")
    result.shape = Result::Shape::rows;
  else if (shape == "text" && !command.is_remote())
    result.shape = Result::Shape::text;
  else if (shape != "object")
    throw Mistake{fmt::format("{}: shape '{}' is not known", where, shape)};
  if (result.shape != Result::Shape::text) {
    for (const std::string& name : members.texts("columns")) {
      const auto field = std::ranges::find(fields, name, &Column::name);
      if (field == fields.end()) throw Mistake{fmt::format("{}: no field is called '{}'", where, name)};
      result.columns.push_back(*field);
    }
    refuse_twice(result.columns, command.name());
  }
  if (result.shape == Result::Shape::rows) {
    for (const std::string& name : members.texts("listed")) {
      const auto column = std::ranges::find(result.columns, name, &Column::name);
      if (column == result.columns.end())
        throw Mistake{fmt::format("{}: '{}' is listed and no column", where, name)};
      column->is_listed = true;
    }
  }
  members.refuse_others();
  return result;
}

void read_way(Members& members, Command& command) {
  if (!members.has("method")) return;
  command.method = members.text("method");
  command.path = members.text("path");
  constexpr std::array<std::string_view, 4> methods{"GET", "POST", "PATCH", "DELETE"};
  if (std::ranges::find(methods, command.method) == methods.end())
    throw Mistake{fmt::format("'{}': method '{}' is not known", command.name(), command.method)};
  if (!command.path.starts_with("/v1/"))
    throw Mistake{fmt::format("'{}': the path must begin with /v1/", command.name())};
  const std::string access = members.text("access");
  if (access != "read" && access != "write")
    throw Mistake{fmt::format("'{}': access must be read or write", command.name())};
  command.access = access == "read" ? Command::Access::read : Command::Access::write;
  // What changes nothing is a GET, and nothing else is.
  if ((command.method == "GET") != (command.access == Command::Access::read))
    throw Mistake{fmt::format("'{}': {} can't be for access {}", command.name(), command.method, access)};
}

auto read_command(const ordered_json& json, std::span<const Column> fields) -> Command {
  Members members(json, "the command");
  Command command;
  for (std::string& word : members.texts("words"))
    command.words.push_back(members.checked_word(std::move(word)));
  command.summary = members.sentence("summary");
  read_way(members, command);
  command.confirms = members.flag("confirm");
  command.follows = members.flag("follows");
  for (const ordered_json& parameter : members.list("parameters"))
    command.parameters.push_back(read_parameter(parameter, command.name()));
  refuse_twice(command.parameters, command.name());
  // Else a value without a name could be either's.
  if (!std::ranges::is_partitioned(command.parameters, &Parameter::is_positional))
    throw Mistake{fmt::format("'{}': positional parameters must come first", command.name())};
  command.result = read_result(members.object("result"), command, fields);
  command.examples = members.texts("examples");
  for (const std::string& example : command.examples)
    if (!example.starts_with(command.name()))
      throw Mistake{fmt::format("'{}': example '{}' is of another command", command.name(), example)};
  members.refuse_others();
  return command;
}

template <typename Read>
auto without_exceptions(Read read) -> std::expected<decltype(read()), std::string> {
  try {
    return read();
  } catch (const Mistake& mistake) {
    return std::unexpected(mistake.text);
  } catch (const nlohmann::json::exception& exception) {
    return std::unexpected(std::string(exception.what()));
  }
}

auto read_words(std::string_view text) -> std::vector<Word> {
  const auto json = ordered_json::parse(text);
  Members members(json, "words.json");
  std::vector<Word> words;
  for (const auto& [word, summary] : json.items())
    words.push_back({.word = members.checked_word(word), .summary = members.sentence(word.c_str())});
  return words;
}

auto read_number(std::string_view text) -> std::optional<std::int64_t> {
  constexpr std::size_t digits_max = 18;
  if (text.empty() || text.size() > digits_max) return {};
  std::int64_t value = 0;
  for (const char digit : text) {
    if (digit < '0' || digit > '9') return {};
    value = value * 10 + (digit - '0');
  }
  return value;
}

auto read_port(std::string_view text) -> std::optional<Port> {
  const auto number = read_number(text);
  if (!number || *number > 65535) return {};
  return Port{static_cast<std::uint16_t>(*number)};
}

/// "1024-64999", or one port.
auto read_port_range(std::string_view text) -> std::optional<PortRange> {
  const std::size_t dash = text.find('-');
  const auto first = read_port(text.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : read_port(text.substr(dash + 1));
  if (!first || !last || *first > *last) return {};
  return PortRange{*first, *last};
}

auto read_prefix(std::string_view text) -> std::optional<Prefix> {
  if (const auto address = IpAddress::parse(text)) return Prefix{*address, 128};
  return Prefix::parse(text);
}

auto is_printable(std::string_view text) -> bool {
  return std::ranges::none_of(text,
                              [](char octet) { return (octet >= 0 && octet < ' ') || octet == '\x7f'; });
}

auto parse(const Parameter& parameter, std::string_view text) -> std::optional<Value> {
  const auto value_of = [](auto&& read) { return read ? std::optional<Value>(*read) : std::nullopt; };
  switch (parameter.type) {
    case Type::text:
      if (std::cmp_greater(text.size(), parameter.maximum) || !is_printable(text)) return {};
      return std::string(text);
    case Type::number:
    case Type::seconds: {
      const auto number = read_number(text);
      if (!number || *number < parameter.minimum || *number > parameter.maximum) return {};
      return *number;
    }
    case Type::flag:
      if (text != "true" && text != "false") return {};
      return text == "true";
    case Type::choice:
      if (std::ranges::find(parameter.choices, text) == parameter.choices.end()) return {};
      return std::string(text);
    case Type::address: return value_of(IpAddress::parse(text));
    case Type::prefix: return value_of(read_prefix(text));
    case Type::port: return value_of(read_port(text));
    case Type::port_range: return value_of(read_port_range(text));
    case Type::protocol: return value_of(parse_protocol(text));
    case Type::time: break;
  }
  return {};
}

}  // namespace

auto to_string(Type type) -> std::string_view {
  return std::ranges::find(type_names, type, &std::pair<std::string_view, Type>::second)->first;
}

auto Command::name() const -> std::string { return fmt::format("{}", fmt::join(words, " ")); }

auto Command::parameter(std::string_view name) const -> const Parameter* {
  const auto found = std::ranges::find(parameters, name, &Parameter::name);
  return found == parameters.end() ? nullptr : &*found;
}

auto Catalogue::find(std::span<const std::string> command_words) const -> const Command* {
  const auto found = std::ranges::find_if(
      commands, [&](const Command& command) { return std::ranges::equal(command.words, command_words); });
  return found == commands.end() ? nullptr : &*found;
}

auto Catalogue::find(std::string_view method, std::string_view path) const -> const Command* {
  const auto found = std::ranges::find_if(commands, [&](const Command& command) {
    return command.is_remote() && command.method == method && command.path == path;
  });
  return found == commands.end() ? nullptr : &*found;
}

auto Catalogue::word(std::string_view text) const -> const Word* {
  const auto found = std::ranges::find(words, text, &Word::word);
  return found == words.end() ? nullptr : &*found;
}

auto parse_fields(std::string_view json) -> std::expected<std::vector<Column>, std::string> {
  return without_exceptions([&] { return read_columns(ordered_json::parse(json)); });
}

auto parse_command(std::string_view json, std::span<const Column> fields)
    -> std::expected<Command, std::string> {
  return without_exceptions([&] { return read_command(ordered_json::parse(json), fields); });
}

auto built_in_catalogue() -> Catalogue {
  const auto files = detail::schema_files();
  const auto text_of = [&](std::string_view name) {
    return std::ranges::find(files, name, &std::pair<std::string_view, std::string_view>::first)->second;
  };
  Catalogue catalogue;
  catalogue.words = read_words(text_of("words"));
  const auto fields = parse_fields(text_of("fields"));
  PORTOLAN_CHECK(fields.has_value());
  for (const auto& [name, text] : files) {
    if (name == "words" || name == "fields") continue;
    auto command = parse_command(text, *fields);
    PORTOLAN_CHECK(command.has_value());
    catalogue.commands.push_back(*std::move(command));
  }
  std::ranges::sort(catalogue.commands, {}, &Command::name);
  return catalogue;
}

auto read_value(const Parameter& parameter, std::string_view text) -> std::expected<Value, std::string> {
  if (auto value = parse(parameter, text)) return *std::move(value);
  return std::unexpected(fmt::format("must be {}", description_of(parameter)));
}

auto description_of(const Parameter& parameter) -> std::string {
  switch (parameter.type) {
    case Type::text:
      return fmt::format("a text of at most {} octets, without control characters", parameter.maximum);
    case Type::number: return fmt::format("a number from {} to {}", parameter.minimum, parameter.maximum);
    case Type::seconds:
      return fmt::format("a number of seconds from {} to {}", parameter.minimum, parameter.maximum);
    case Type::flag: return "true or false";
    case Type::choice: return fmt::format("one of {}", fmt::join(parameter.choices, ", "));
    case Type::address: return "an address such as 192.0.2.14 or 2001:db8::7";
    case Type::prefix:
      return "a prefix such as 2001:db8:112::/64, with no bits set behind its length, or an address";
    case Type::port: return "a port from 0 to 65535";
    case Type::port_range: return "a port, or a range of ports such as 1024-64999";
    case Type::protocol: return "a protocol: tcp, udp, or an IANA number from 0 to 255";
    case Type::time: break;
  }
  return "a time";
}

}  // namespace portolan::management
