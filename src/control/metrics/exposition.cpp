// SPDX-License-Identifier: BSD-2-Clause
#include "control/metrics/exposition.h"

#include <iterator>

#include <fmt/format.h>

#include "base/check.h"

namespace portolan::control {
namespace {

/// A line feed or backslash would end a line or begin an escape; in a label's value a quote its end.
void append_escaped(std::string_view text, bool is_label, std::string& out) {
  for (const char each : text) {
    if (each == '\n')
      out += "\\n";
    else if (each == '\\' || (is_label && each == '"'))
      (out += '\\') += each;
    else
      out += each;
  }
}

}  // namespace

void Exposition::family(std::string_view name, std::string_view type, std::string_view help) {
  name_ = name;
  fmt::format_to(std::back_inserter(text_), "# HELP {} ", name);
  append_escaped(help, false, text_);
  fmt::format_to(std::back_inserter(text_), "\n# TYPE {} {}\n", name, type);
}

void Exposition::begin_sample(std::string_view suffix, Labels labels, std::string_view bound) {
  (text_ += name_) += suffix;
  char before = '{';
  const auto append = [&](std::string_view name, std::string_view value) {
    text_ += std::exchange(before, ',');
    (text_ += name) += "=\"";
    append_escaped(value, true, text_);
    text_ += '"';
  };
  for (const auto& [name, value] : labels) append(name, value);
  if (!bound.empty()) append("le", bound);
  if (before == ',') text_ += '}';
  text_ += ' ';
}

void Exposition::sample_count(std::uint64_t value, Labels labels) {
  begin_sample({}, labels);
  fmt::format_to(std::back_inserter(text_), "{}\n", value);
}

void Exposition::sample(double value, Labels labels) {
  begin_sample({}, labels);
  fmt::format_to(std::back_inserter(text_), "{}\n", value);
}

void Exposition::sample_histogram(std::span<const double> bounds, std::span<const std::uint64_t> counts,
                                  double sum, Labels labels) {
  PORTOLAN_CHECK(counts.size() == bounds.size() + 1);
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    total += counts[i];
    begin_sample("_bucket", labels, i < bounds.size() ? fmt::format("{}", bounds[i]) : "+Inf");
    fmt::format_to(std::back_inserter(text_), "{}\n", total);
  }
  begin_sample("_sum", labels);
  fmt::format_to(std::back_inserter(text_), "{}\n", sum);
  begin_sample("_count", labels);
  fmt::format_to(std::back_inserter(text_), "{}\n", total);
}

}  // namespace portolan::control
