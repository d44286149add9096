// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/dissection_report.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "wire/dissect.h"

namespace portolan {
namespace {

using wire::Field;

/// Octets of a line of the table; a field that has more goes on in the next line.
constexpr std::size_t octets_per_line = 8;
constexpr std::size_t octets_column = octets_per_line * 3;
constexpr std::size_t text_column = 56;

auto text_of(const Field& field) -> std::string {
  if (field.name.empty()) return "(not decoded)";
  if (field.kind == Field::Kind::octets) return field.name;
  return fmt::format("{}{} {}", field.name, field.kind == Field::Kind::heading ? "," : ":", field.value);
}

}  // namespace

auto plain_hex(std::span<const std::byte> octets) -> std::string {
  std::string text;
  for (const std::byte octet : octets)
    fmt::format_to(std::back_inserter(text), "{:02x}", std::to_integer<unsigned>(octet));
  return text;
}

auto hex_text(std::span<const std::byte> octets) -> std::string {
  std::string text;
  for (const std::byte octet : octets)
    fmt::format_to(std::back_inserter(text), "{}{:02x}", text.empty() ? "" : " ",
                   std::to_integer<unsigned>(octet));
  return text;
}

auto octets_table(std::span<const std::byte> datagram, std::size_t indent) -> std::string {
  std::string table;
  for (const Field& field : wire::dissect(datagram)) {
    const bool has_octets = field.kind != Field::Kind::heading && field.kind != Field::Kind::fault;
    auto octets = datagram.subspan(field.offset, has_octets ? field.size : 0);
    const auto first = octets.first(std::min(octets.size(), octets_per_line));
    const std::string text = std::string(2 * field.level, ' ') + text_of(field);
    fmt::format_to(std::back_inserter(table), "{:{}}{:>4}  {:{}}{:{}} {}\n", "", indent,
                   has_octets ? std::to_string(field.offset) : "", hex_text(first), octets_column, text,
                   field.source.empty() ? 0 : text_column, field.source);
    for (octets = octets.subspan(first.size()); !octets.empty();) {
      const auto more = octets.first(std::min(octets.size(), octets_per_line));
      fmt::format_to(std::back_inserter(table), "{:{}}      {}\n", "", indent, hex_text(more));
      octets = octets.subspan(more.size());
    }
  }
  return table;
}

auto dissection_json(std::span<const std::byte> datagram) -> nlohmann::ordered_json {
  auto fields = nlohmann::ordered_json::array();
  for (const Field& field : wire::dissect(datagram)) {
    nlohmann::ordered_json json{{"kind", wire::to_string(field.kind)},
                                {"level", field.level},
                                {"offset", field.offset},
                                {"size", field.size},
                                {"name", field.name},
                                {"value", field.value}};
    if (!field.source.empty()) json["source"] = field.source;
    fields.push_back(std::move(json));
  }
  return {{"octets", plain_hex(datagram)}, {"fields", std::move(fields)}};
}

}  // namespace portolan
