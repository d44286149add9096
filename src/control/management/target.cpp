// SPDX-License-Identifier: BSD-2-Clause
#include "control/management/target.h"

#include <optional>

#include <fmt/format.h>

namespace portolan::management {
namespace {

auto digit_of(char letter) -> std::optional<unsigned> {
  if (letter >= '0' && letter <= '9') return static_cast<unsigned>(letter - '0');
  if (letter >= 'a' && letter <= 'f') return static_cast<unsigned>(letter - 'a' + 10);
  if (letter >= 'A' && letter <= 'F') return static_cast<unsigned>(letter - 'A' + 10);
  return {};
}

auto decoded(std::string_view text) -> std::optional<std::string> {
  std::string octets;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      octets += ' ';
    } else if (text[i] == '%') {
      if (i + 2 >= text.size()) return {};
      const auto high = digit_of(text[i + 1]);
      const auto low = digit_of(text[i + 2]);
      if (!high || !low) return {};
      octets += static_cast<char>(*high << 4U | *low);
      i += 2;
    } else {
      octets += text[i];
    }
  }
  return octets;
}

}  // namespace

auto parse_target(std::string_view text) -> std::expected<Target, std::string> {
  if (!text.starts_with('/')) return std::unexpected("the target must begin with '/'");
  const std::size_t mark = text.find('?');
  Target target{.path = std::string(text.substr(0, mark)), .query = {}};
  if (target.path.find_first_of("%#") != std::string::npos)
    return std::unexpected("no path here has characters that must be encoded");
  if (mark == std::string_view::npos) return target;
  std::string_view rest = text.substr(mark + 1);
  while (!rest.empty()) {
    const std::string_view member = rest.substr(0, rest.find('&'));
    rest.remove_prefix(member.size() == rest.size() ? rest.size() : member.size() + 1);
    if (member.empty()) continue;
    if (target.query.size() == query_members_max)
      return std::unexpected(fmt::format("the query has more than {} members", query_members_max));
    const std::size_t equals = member.find('=');
    const auto name = decoded(member.substr(0, equals));
    const auto value = decoded(equals == std::string_view::npos ? "" : member.substr(equals + 1));
    if (!name || !value)
      return std::unexpected("a '%' in the query is not followed by two hexadecimal digits");
    target.query.emplace_back(*name, *value);
  }
  return target;
}

}  // namespace portolan::management
