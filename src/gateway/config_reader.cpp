// SPDX-License-Identifier: BSD-2-Clause
#include "gateway/config_reader.h"

#include <fstream>

namespace portolan::gateway {

auto read_file(const std::filesystem::path& path) -> std::expected<std::string, std::vector<std::string>> {
  std::ifstream stream(path);
  std::ostringstream text;
  text << stream.rdbuf();
  if (!stream)
    return std::unexpected(std::vector{
        fmt::format("{}: can't be read: check that the file exists and its permissions", path.string())});
  return std::move(text).str();
}

auto parse_toml(std::string_view text, std::string_view file)
    -> std::expected<toml::table, std::vector<std::string>> {
  try {
    return toml::parse(text, file);
  } catch (const toml::parse_error& error) {
    return std::unexpected(
        std::vector{fmt::format("{}:{}: {}", file, error.source().begin.line, error.description())});
  }
}

}  // namespace portolan::gateway
