// SPDX-License-Identifier: BSD-2-Clause
//
// Reads the text format strictly, for tests: every family has help and type before its samples, once, all its
// samples together, and none twice.
#pragma once

#include <cctype>
#include <cstdlib>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace portolan::control::test {

/// By name and labels as they are written: "a_total{kind=\"x\"}".
using Samples = std::map<std::string, double>;

inline auto is_metric_name(std::string_view name) -> bool {
  if (name.empty() || std::isdigit(static_cast<unsigned char>(name.front())) != 0) return false;
  for (const char each : name)
    if (std::isalnum(static_cast<unsigned char>(each)) == 0 && each != '_') return false;
  return true;
}

/// Name of the family that `series` is of.
inline auto family_of(const std::string& series, const std::map<std::string, std::string>& types)
    -> std::string {
  std::string name = series.substr(0, series.find('{'));
  if (types.contains(name)) return name;
  for (const std::string_view suffix : {"_bucket", "_sum", "_count"}) {
    if (!name.ends_with(suffix)) continue;
    const std::string base = name.substr(0, name.size() - suffix.size());
    if (const auto type = types.find(base); type != types.end() && type->second == "histogram") return base;
  }
  return {};
}

inline auto read_samples(const std::string& text) -> Samples {
  Samples samples;
  std::map<std::string, std::string> types;
  std::set<std::string> helped;
  std::string family;
  EXPECT_TRUE(text.empty() || text.ends_with('\n'));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string hash, kind, name, rest;
    if (line.starts_with("# ")) {
      words >> hash >> kind >> name;
      std::getline(words, rest);
      EXPECT_TRUE(is_metric_name(name)) << line;
      if (kind == "HELP") {
        EXPECT_TRUE(helped.insert(name).second) << "twice: " << line;
        EXPECT_GT(rest.size(), 1U) << line;
        family = name;
        continue;
      }
      EXPECT_EQ(kind, "TYPE") << line;
      EXPECT_EQ(name, family) << line;
      types[name] = rest.substr(1);
      EXPECT_TRUE(rest == " counter" || rest == " gauge" || rest == " histogram") << line;
      EXPECT_EQ(rest == " counter", name.ends_with("_total")) << line;
      continue;
    }
    const std::size_t space = line.rfind(' ');
    if (space == std::string::npos) {
      ADD_FAILURE() << "no sample: " << line;
      continue;
    }
    const std::string series = line.substr(0, space);
    EXPECT_EQ(family_of(series, types), family) << "not of the family before: " << line;
    char* end = nullptr;
    const double value = std::strtod(line.c_str() + space + 1, &end);
    EXPECT_EQ(*end, '\0') << line;
    EXPECT_TRUE(samples.emplace(series, value).second) << "twice: " << line;
  }
  return samples;
}

/// All samples whose series begins so, added.
inline auto sum_of(const Samples& samples, std::string_view begin) -> double {
  double sum = 0;
  for (const auto& [series, value] : samples)
    if (series.starts_with(begin)) sum += value;
  return sum;
}

}  // namespace portolan::control::test
