// SPDX-License-Identifier: BSD-2-Clause
//
// The commands that an operator gives portoland, as values: one JSON file per command in this folder, built
// into the program. The management API answers by them; the shell's help and completion, the OpenAPI page and
// docs/management-api.md come from them.
//
// A command's parameters are members of the query for GET and DELETE, members of a JSON object in the body
// for POST and PATCH. In the shell positional ones may go without a name, in their order; others are options.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/address.h"
#include "base/port_range.h"

namespace portolan::management {

/// What a value is. In JSON: `number`, `port` and `seconds` are numbers, `flag` is true or false, all others
/// are strings.
enum class Type : std::uint8_t {
  text,
  number,
  flag,        ///< as text "true" or "false"
  choice,      ///< one of Field::choices
  address,     ///< of either family
  prefix,      ///< "2001:db8:112::/64"; an address is the prefix of it alone
  port,        ///< 0 to 65535
  port_range,  ///< "1024-64999"
  protocol,    ///< "tcp", or its IANA number
  seconds,
  time,  ///< "2026-11-26T18:23:39.123Z", UTC; of columns only
};
[[nodiscard]] auto to_string(Type type) -> std::string_view;

struct Field {
  std::string name;  ///< in JSON, of RFC 8512 where it has one
  Type type = Type::text;
  std::vector<std::string> choices;
  /// A JSON array of such values; as text, with commas between them.
  bool is_list = false;
  std::string summary;
};

struct Parameter : Field {
  /// Name of the shell's option, without "--".
  std::string option;
  bool is_required = false;
  bool is_positional = false;
  /// Of `number` and `seconds`; of `text` the octets.
  std::int64_t minimum = 0;
  std::int64_t maximum = 0;
  std::string example;
};

struct Column : Field {
  /// Heading of a listing.
  std::string title;
  /// In listings, too; others only where everything is shown, and in JSON.
  bool is_listed = false;
};

struct Result {
  enum class Shape : std::uint8_t {
    object,  ///< one JSON object
    rows,    ///< a stream of JSON objects, one a line (NDJSON)
    text,    ///< what the shell itself writes
  };
  Shape shape = Shape::object;
  std::vector<Column> columns;
};

struct Command {
  enum class Access : std::uint8_t { read, write };

  std::vector<std::string> words;  ///< "list", "map"
  std::string summary;
  /// Empty: the shell answers by itself.
  std::string method;
  std::string path;
  Access access = Access::read;
  /// Asks before it is carried out.
  bool confirms = false;
  /// The stream does not end by itself.
  bool follows = false;
  std::vector<Parameter> parameters;
  Result result;
  std::vector<std::string> examples;

  [[nodiscard]] auto name() const -> std::string;  ///< words with spaces between them
  [[nodiscard]] auto is_remote() const -> bool { return !method.empty(); }
  /// Parameters in the body, not in the query.
  [[nodiscard]] auto has_body() const -> bool { return method == "POST" || method == "PATCH"; }
  /// By its name in JSON, or nullptr.
  [[nodiscard]] auto parameter(std::string_view name) const -> const Parameter*;
};

/// A word of commands, and what it means on its own.
struct Word {
  std::string word;
  std::string summary;
};

struct Catalogue {
  std::vector<Command> commands;  ///< by name
  std::vector<Word> words;        ///< by word

  /// The command of just these words, or nullptr.
  [[nodiscard]] auto find(std::span<const std::string> command_words) const -> const Command*;
  /// The command that answers `method` at `path`, or nullptr.
  [[nodiscard]] auto find(std::string_view method, std::string_view path) const -> const Command*;
  [[nodiscard]] auto word(std::string_view text) const -> const Word*;
};

/// What results may have, of the text of fields.json: the one table of names in JSON. Errors: as
/// parse_command()
[[nodiscard]] auto parse_fields(std::string_view json) -> std::expected<std::vector<Column>, std::string>;

/// One command of the text of its file. Errors: what is missing, unknown or wrong; incomplete help is
[[nodiscard]] auto parse_command(std::string_view json, std::span<const Column> fields)
    -> std::expected<Command, std::string>;

/// The commands that are built in. Cost: parses all files.
[[nodiscard]] auto built_in_catalogue() -> Catalogue;

using Value = std::variant<std::string, std::int64_t, bool, IpAddress, Prefix, Port, PortRange, Protocol>;

/// What `text` says as a value of `parameter`, of a list one element.
///
/// Out     string of `text` and `choice`, int64_t of `number` and `seconds`
/// Errors  what such a value looks like
[[nodiscard]] auto read_value(const Parameter& parameter, std::string_view text)
    -> std::expected<Value, std::string>;

/// What values of `parameter` look like, for help and errors: "a number from 1 to 65535".
[[nodiscard]] auto description_of(const Parameter& parameter) -> std::string;

namespace detail {
/// Name without suffix, and text, of each JSON file of this folder; made by CMake.
[[nodiscard]] auto schema_files() -> std::span<const std::pair<std::string_view, std::string_view>>;
}  // namespace detail

}  // namespace portolan::management
