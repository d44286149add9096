// SPDX-License-Identifier: BSD-2-Clause
//
// The parameters of a request, checked against the command's schema.
#pragma once

#include <expected>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/management/error.h"
#include "control/management/schema/schema.h"

namespace portolan::management {

/// Elements of one parameter that is a list.
constexpr std::size_t list_elements_max = 256;

class Arguments {
 public:
  [[nodiscard]] auto has(std::string_view name) const -> bool { return values_.contains(name); }
  [[nodiscard]] auto is_empty() const -> bool { return values_.empty(); }
  /// The value of `name`, whose type T the schema has.
  template <typename T>
  [[nodiscard]] auto get(std::string_view name) const -> std::optional<T> {
    const auto found = values_.find(name);
    if (found == values_.end()) return {};
    return std::get<T>(found->second.front());
  }
  /// Elements of a list.
  template <typename T>
  [[nodiscard]] auto list(std::string_view name) const -> std::optional<std::vector<T>> {
    const auto found = values_.find(name);
    if (found == values_.end()) return {};
    std::vector<T> elements;
    for (const Value& value : found->second) elements.push_back(std::get<T>(value));
    return elements;
  }

  void put(std::string name, std::vector<Value> values) { values_[std::move(name)] = std::move(values); }

 private:
  std::map<std::string, std::vector<Value>, std::less<>> values_;
};

/// Of a query. Errors: unknown-parameter, missing-parameter, invalid
[[nodiscard]] auto read_query(const Command& command,
                              std::span<const std::pair<std::string, std::string>> query)
    -> std::expected<Arguments, Error>;

/// Of a JSON object; an empty body is one without members. Errors: as read_query(), and malformed
[[nodiscard]] auto read_body(const Command& command, std::string_view body)
    -> std::expected<Arguments, Error>;

}  // namespace portolan::management
