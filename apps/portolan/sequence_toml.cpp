// SPDX-License-Identifier: BSD-2-Clause
//
// Sequences in TOML. This hides toml++, which takes long to compile.
#include <sstream>

#include <fmt/format.h>
#include <toml++/toml.h>

#include "portolan/sequence.h"

namespace portolan {

auto json_of_toml(std::string_view toml) -> std::expected<std::string, std::string> {
  try {
    const toml::table table = toml::parse(toml);
    std::ostringstream json;
    json << toml::json_formatter{table};
    return json.str();
  } catch (const toml::parse_error& error) {
    return std::unexpected(
        fmt::format("line {}: {}", error.source().begin.line, std::string_view(error.description())));
  }
}

auto read_toml_sequence(std::string_view toml) -> std::expected<Sequence, std::string> {
  const auto json = json_of_toml(toml);
  if (!json) return std::unexpected(json.error());
  return read_sequence(*json);
}

}  // namespace portolan
