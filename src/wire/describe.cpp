// SPDX-License-Identifier: BSD-2-Clause
//
// The fields of a dissection as lines. What ought to be zero and is, or what a heading says already, is left
// out.
#include "wire/describe.h"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "wire/dissect.h"

namespace portolan::wire {
namespace {

constexpr std::size_t hex_octets_per_line = 16;
/// More of an undecoded part than this is counted, not shown.
constexpr std::size_t hex_octets_max = 256;
/// "ab ": what an octet takes in Field::value.
constexpr std::size_t hex_characters = 3;

auto is_shown(const Field& field) -> bool {
  if (field.kind == Field::Kind::frame) return false;
  return field.kind != Field::Kind::reserved || field.value.find_first_not_of("0 ") != std::string::npos;
}

class Lines {
 public:
  explicit Lines(std::size_t indent) : indent_(indent) {}

  /// `next` is what is shown behind `field`, or null.
  void add(const Field& field, const Field* next) {
    switch (field.kind) {
      case Field::Kind::heading: return add_heading(field, next);
      case Field::Kind::reserved: return add_octets(field, fmt::format("{} (not zero)", field.name));
      case Field::Kind::octets: return add_octets(field, field.name);
      default: return add_line(field.level, fmt::format("{}: {}", field.name, field.value));
    }
  }
  [[nodiscard]] auto text() && -> std::string { return std::move(text_); }

 private:
  void add_line(std::size_t level, std::string_view line) {
    text_.append(indent_ + 2 * level, ' ');
    text_.append(line);
    text_.push_back('\n');
  }
  void add_heading(const Field& field, const Field* next) {
    const bool has_more =
        next != nullptr && next->level > field.level && (field.level > 0 || next->name.empty());
    add_line(field.level, fmt::format("{}, {}{}", field.name, field.value, has_more ? ":" : ""));
  }
  /// Octets without a name stand where a name would.
  void add_octets(const Field& field, std::string_view name) {
    if (!name.empty()) add_line(field.level, fmt::format("{}:", name));
    const std::size_t level = field.level + (name.empty() ? 0 : 1);
    const std::size_t shown = std::min(field.size, hex_octets_max);
    for (std::size_t first = 0; first < shown; first += hex_octets_per_line) {
      const std::size_t count = std::min(shown - first, hex_octets_per_line);
      add_line(level,
               std::string_view(field.value).substr(first * hex_characters, count * hex_characters - 1));
    }
    if (shown < field.size) add_line(level, fmt::format("... and {} octets more", field.size - shown));
  }

  std::size_t indent_;
  std::string text_;
};

}  // namespace

auto describe(std::span<const std::byte> datagram, std::size_t indent) -> std::string {
  std::vector<Field> fields = dissect(datagram);
  std::erase_if(fields, [](const Field& field) { return !is_shown(field); });
  Lines lines(indent);
  for (std::size_t i = 0; i < fields.size(); ++i)
    lines.add(fields[i], i + 1 < fields.size() ? &fields[i + 1] : nullptr);
  return std::move(lines).text();
}

}  // namespace portolan::wire
