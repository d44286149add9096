// SPDX-License-Identifier: BSD-2-Clause
//
// Reading values out of a parsed TOML file; mistakes are collected with file, line, key, value and remedy.
// Expensive to compile: for the files that read settings only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <expected>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <toml++/toml.h>

namespace portolan::gateway {

/// Longest lists the configuration may hold.
inline constexpr std::size_t inside_max = 256;
inline constexpr std::size_t pool_max = 256;
inline constexpr std::size_t interface_name_octets_max = 15;

/// The octets of the file at `path`. Errors: "PATH: what is wrong; what to do".
[[nodiscard]] auto read_file(const std::filesystem::path& path)
    -> std::expected<std::string, std::vector<std::string>>;
/// Parses `text`; errors say "FILE:LINE: what is wrong".
[[nodiscard]] auto parse_toml(std::string_view text, std::string_view file)
    -> std::expected<toml::table, std::vector<std::string>>;

/// A value as it would be written in the file, on one line.
inline auto shown(const toml::node& node) -> std::string {
  constexpr auto flags = toml::toml_formatter::default_flags & ~toml::format_flags::allow_literal_strings &
                         ~toml::format_flags::allow_multi_line_strings;
  std::ostringstream text;
  text << toml::toml_formatter{node, flags};
  std::string line = std::move(text).str();
  std::ranges::replace(line, '\n', ' ');
  return line;
}

/// Collects errors while values are read out of the parsed file.
class Reader {
 public:
  explicit Reader(std::string_view file) : file_(file) {}

  void fail(const toml::node& node, std::string_view key, std::string_view problem) {
    errors_.push_back(
        fmt::format("{}:{}: {} = {}: {}", file_, node.source().begin.line, key, shown(node), problem));
  }
  void fail_missing(const toml::table& table, std::string_view key, std::string_view remedy) {
    errors_.push_back(
        fmt::format("{}:{}: {} is missing: {}", file_, std::max(table.source().begin.line, 1U), key, remedy));
  }
  void fail_at(unsigned line, std::string_view problem) {
    errors_.push_back(fmt::format("{}:{}: {}", file_, line, problem));
  }

  /// Every key of `table` must be among `known`.
  void refuse_unknown(const toml::table& table, std::string_view where,
                      std::initializer_list<std::string_view> known) {
    for (const auto& [key, node] : table) {
      if (std::ranges::find(known, key.str()) != known.end()) continue;
      errors_.push_back(fmt::format("{}:{}: unknown key {}{}: known here are {}", file_,
                                    key.source().begin.line, where, key.str(), fmt::join(known, ", ")));
    }
  }

  /// The table `key` of `parent`, or nullptr, which is an error only if it is something else.
  auto table(const toml::table& parent, std::string_view key) -> const toml::table* {
    const toml::node* node = parent.get(key);
    if (node == nullptr) return nullptr;
    if (node->is_table()) return node->as_table();
    fail(*node, key, fmt::format("must be a table: write [{}]", key));
    return nullptr;
  }

  void number(const toml::table& table, std::string_view where, std::string_view key, auto minimum,
              auto maximum, std::string_view unit, auto&& take) {
    const toml::node* node = table.get(key);
    if (node == nullptr) return;
    const auto name = fmt::format("{}{}", where, key);
    const auto value = node->value_exact<std::int64_t>();
    if (!value || std::cmp_less(*value, minimum) || std::cmp_greater(*value, maximum))
      return fail(*node, name, fmt::format("must be a number from {} to {}{}", minimum, maximum, unit));
    take(*value);
  }

  auto text(const toml::table& table, std::string_view where, std::string_view key)
      -> std::optional<std::string> {
    const toml::node* node = table.get(key);
    if (node == nullptr) return {};
    if (const auto value = node->value_exact<std::string>()) return value;
    fail(*node, fmt::format("{}{}", where, key), "must be a string: put it in \"quotes\"");
    return {};
  }

  void path(const toml::table& table, std::string_view where, std::string_view key,
            std::filesystem::path& value) {
    auto given = text(table, where, key);
    if (!given) return;
    if (given->starts_with('/'))
      value = *std::move(given);
    else
      fail(*table.get(key), fmt::format("{}{}", where, key), "must be an absolute path");
  }

  void flag(const toml::table& table, std::string_view where, std::string_view key, bool& value) {
    const toml::node* node = table.get(key);
    if (node == nullptr) return;
    if (const auto given = node->value_exact<bool>())
      value = *given;
    else
      fail(*node, fmt::format("{}{}", where, key), "must be true or false");
  }

  /// The tables of the list `key`, none if it is absent; anything else is an error.
  auto tables(const toml::table& parent, std::string_view key, std::size_t maximum)
      -> std::vector<const toml::table*> {
    const toml::node* node = parent.get(key);
    if (node == nullptr) return {};
    const toml::array* list = node->as_array();
    if (list == nullptr || !list->is_array_of_tables() || list->size() > maximum) {
      fail(*node, key, fmt::format("must be 1 to {} tables: write [[{}]]", maximum, key));
      return {};
    }
    std::vector<const toml::table*> tables;
    for (const toml::node& element : *list) tables.push_back(element.as_table());
    return tables;
  }

  auto interface(const toml::table& table, std::string_view where, std::string_view key)
      -> std::optional<std::string> {
    auto name = text(table, where, key);
    if (!name) return {};
    const bool is_name = !name->empty() && name->size() <= interface_name_octets_max &&
                         name->find_first_of("/ \t\n:") == std::string::npos;
    if (is_name) return name;
    fail(*table.get(key), fmt::format("{}{}", where, key),
         "is no interface name: 1 to 15 characters without '/', ':' or space; `ip link` lists them");
    return {};
  }

  /// Calls take(text, node) for each string of the list `key`; an absent or ill-formed list is an error.
  void texts(const toml::table& table, std::string_view where, std::string_view key, std::string_view example,
             auto&& take) {
    const auto name = fmt::format("{}{}", where, key);
    const toml::node* node = table.get(key);
    if (node == nullptr) return fail_missing(table, name, fmt::format("write {} = {}", key, example));
    const toml::array* list = node->as_array();
    if (list == nullptr || list->empty() || list->size() > pool_max)
      return fail(*node, name, fmt::format("must be a list of 1 to {}, such as {}", pool_max, example));
    for (const toml::node& element : *list) {
      if (const auto value = element.value_exact<std::string>())
        take(*value, element);
      else
        fail(element, name, "must be a string: put it in \"quotes\"");
    }
  }

  [[nodiscard]] auto has_errors() const -> bool { return !errors_.empty(); }
  [[nodiscard]] auto take_errors() -> std::vector<std::string> { return std::exchange(errors_, {}); }

 private:
  std::string file_;
  std::vector<std::string> errors_;
};

/// Finds what differs between the settings of one table, as read again, and those that run.
class Comparison {
 public:
  /// `name` empty: the root.
  Comparison(Reader& reader, const toml::table& root, std::string_view name)
      : reader_(reader), table_(name.empty() ? &root : root.get_as<toml::table>(name)) {
    if (!name.empty()) where_ = fmt::format("{}.", name);
  }

  /// A difference in `key` is an error: only a restart changes it.
  void fixed(std::string_view key, const auto& wanted, const auto& running) {
    if (wanted == running) return;
    constexpr std::string_view problem = "can't change while the daemon runs: restart it to change this";
    const auto name = fmt::format("{}{}", where_, key);
    const toml::node* node = table_ == nullptr ? nullptr : table_->get(key);
    if (node != nullptr) return reader_.fail(*node, name, problem);
    const unsigned line = table_ == nullptr ? 1 : std::max(table_->source().begin.line, 1U);
    reader_.fail_at(line, fmt::format("{} was given and is missing now: it {}", name, problem));
  }

 private:
  Reader& reader_;
  const toml::table* table_;
  std::string where_;
};

}  // namespace portolan::gateway
