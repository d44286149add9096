// SPDX-License-Identifier: BSD-2-Clause
#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>

#include <fmt/format.h>

#include "portolan/dissection_report.h"
#include "portolan/sequence.h"
#include "wire/dissect.h"

namespace portolan {
namespace {

using wire::Field;

/// "0 (SUCCESS)" to "0", "20000 s" to "20000"; a text in quotes as it is.
auto first_word(std::string_view value) -> std::string_view {
  return value.starts_with('"') ? value : value.substr(0, value.find(' '));
}

/// "0 (SUCCESS)" to "SUCCESS".
auto explanation(std::string_view value) -> std::string_view {
  const auto open = value.find('(');
  const auto close = value.rfind(')');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) return {};
  return value.substr(open + 1, close - open - 1);
}

auto is_as(std::string_view value, const ExpectedField& field) -> bool {
  const std::string_view word = first_word(value);
  if (const auto* range = std::get_if<ExpectedField::Range>(&field.value)) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
    return error == std::errc{} && end == word.data() + word.size() && number >= range->least &&
           number <= range->most;
  }
  const std::string& wanted = std::get<std::string>(field.value);
  return wanted == value || wanted == word || wanted == explanation(value) || '"' + wanted + '"' == value;
}

auto text_of(const ExpectedField& field) -> std::string {
  if (const auto* range = std::get_if<ExpectedField::Range>(&field.value))
    return fmt::format("{} to {}", range->least, range->most);
  return std::get<std::string>(field.value);
}

/// "FILTER, FILTER" of the headings "Option FILTER (3)".
auto option_names(std::span<const Field> fields) -> std::string {
  constexpr std::string_view prefix = "Option ";
  std::string names;
  for (const Field& field : fields) {
    if (field.kind != Field::Kind::heading || !field.name.starts_with(prefix)) continue;
    names += names.empty() ? "" : ", ";
    names += first_word(std::string_view(field.name).substr(prefix.size()));
  }
  return names;
}

auto values_of(std::string_view key, std::span<const Field> fields, std::span<const std::byte> datagram)
    -> std::vector<std::string> {
  if (key == "options") return {option_names(fields)};
  if (key == "octets") return {plain_hex(datagram)};
  std::vector<std::string> values;
  for (const Field& field : fields)
    if (field.kind != Field::Kind::heading && field_key(field.name) == key) values.push_back(field.value);
  return values;
}

}  // namespace

auto field_key(std::string_view field_name) -> std::string {
  std::string key;
  for (const char character : field_name) {
    const auto letter = static_cast<unsigned char>(character);
    if (std::isalnum(letter) != 0)
      key.push_back(static_cast<char>(std::tolower(letter)));
    else if (character != '\'' && !key.empty() && key.back() != '-')
      key.push_back('-');
  }
  if (key.ends_with('-')) key.pop_back();
  return key;
}

auto differences(std::span<const ExpectedField> expected, std::span<const std::byte> datagram)
    -> std::vector<std::string> {
  const auto fields = wire::dissect(datagram);
  std::vector<std::string> found;
  for (const ExpectedField& field : expected) {
    const auto values = values_of(field.key, fields, datagram);
    if (std::ranges::any_of(values, [&](const std::string& value) {
          return field.key == "options" ? value == text_of(field) : is_as(value, field);
        }))
      continue;
    found.push_back(values.empty()
                        ? fmt::format("{} is not there, {} is expected", field.key, text_of(field))
                        : fmt::format("{} is {}, {} is expected", field.key,
                                      values.front().empty() ? "empty" : values.front(), text_of(field)));
  }
  return found;
}

auto value_of(std::string_view key, std::span<const std::byte> datagram) -> std::string {
  const auto values = values_of(key, wire::dissect(datagram), datagram);
  if (values.empty()) return {};
  return std::string(first_word(values.front()));
}

}  // namespace portolan
