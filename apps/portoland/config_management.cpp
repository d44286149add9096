// SPDX-License-Identifier: BSD-2-Clause
#include "portoland/config_management.h"

#include <algorithm>
#include <optional>

#include "io/rights.h"
#include "io/secrets.h"

namespace portolan::portoland::detail {
namespace {

using gateway::Reader;

constexpr std::size_t listen_max = 16;
constexpr std::size_t names_max = 64;
constexpr std::size_t name_octets_max = 253;
constexpr std::size_t tokens_file_octets_max = std::size_t{256} << 10U;
constexpr std::string_view where = "management.";

/// Texts of a list that may be empty or absent.
void texts(Reader& reader, const toml::table& table, std::string_view key, std::size_t most,
           std::string_view example, auto&& take) {
  const toml::node* node = table.get(key);
  if (node == nullptr) return;
  const auto name = fmt::format("{}{}", where, key);
  const toml::array* list = node->as_array();
  if (list == nullptr || list->size() > most)
    return reader.fail(*node, name, fmt::format("must be a list of at most {}, such as {}", most, example));
  for (const toml::node& element : *list) {
    if (const auto value = element.value_exact<std::string>())
      take(*value, element);
    else
      reader.fail(element, name, "must be a string: put it in \"quotes\"");
  }
}

void read_mode(Reader& reader, const toml::table& table, io::SocketRights& rights) {
  const auto text = reader.text(table, where, "socket_mode");
  if (!text) return;
  const bool is_octal =
      text->size() == 4 && (*text)[0] == '0' && text->find_first_not_of("01234567") == std::string::npos;
  const unsigned mode = is_octal ? static_cast<unsigned>(std::stoul(*text, nullptr, 8)) : 0;
  // Its owner needs both; to connect is to write, and nobody executes it.
  if ((mode & 0600U) != 0600U || (mode & 0111U) != 0)
    return reader.fail(
        *table.get("socket_mode"), "management.socket_mode",
        "must be an octal mode, such as \"0660\": its owner may read and write, nobody executes");
  rights.mode = mode;
}

void read_group(Reader& reader, const toml::table& table, io::SocketRights& rights) {
  auto group = reader.text(table, where, "socket_group");
  if (!group) return;
  if (!io::group_number(*group))
    return reader.fail(
        *table.get("socket_group"), "management.socket_group",
        "is no group of this host: make it (addgroup --system), and have the daemon's user in it");
  rights.group = *std::move(group);
}

void read_tokens(Reader& reader, const toml::table& table, ManagementSettings& management) {
  reader.path(table, where, "tokens", management.tokens_file);
  if (management.tokens_file.empty()) return;
  const toml::node& node = *table.get("tokens");
  const auto octets = io::read_secret_file(management.tokens_file, tokens_file_octets_max);
  if (!octets) return reader.fail(node, "management.tokens", octets.error());
  auto tokens = management::Tokens::parse(*octets);
  if (tokens)
    management.tokens = *std::move(tokens);
  else
    for (const std::string& mistake : tokens.error())
      reader.fail(node, "management.tokens", fmt::format("{}:{}", management.tokens_file.string(), mistake));
}

/// What a listener over TCP needs.
void check_remote(Reader& reader, const toml::table& table, const ManagementSettings& management) {
  using Kind = io::StreamAddress::Kind;
  const auto has = [&](Kind kind) {
    return std::ranges::count(management.listen, kind, &io::StreamAddress::kind) > 0;
  };
  if (has(Kind::tls))
    for (const char* key : {"certificate", "key"})
      if (table.get(key) == nullptr)
        reader.fail_missing(table, fmt::format("{}{}", where, key), "\"tls:\" needs that file, in PEM");
  if ((has(Kind::tls) || has(Kind::tcp)) && table.get("tokens") == nullptr)
    reader.fail_missing(table, "management.tokens",
                        "over TCP who asks needs a token; name the file with their digests: tokens = "
                        "\"/etc/portolan/tokens\"");
}

}  // namespace

void read_management(Reader& reader, const toml::table& root, Settings& settings) {
  ManagementSettings& management = settings.management;
  auto usual = io::parse_stream_address(
      fmt::format("unix:{}", (settings.runtime_directory / "management.sock").string()));
  const toml::table* table = reader.table(root, "management");
  if (table == nullptr || table->get("listen") == nullptr) {
    if (usual)
      management.listen.push_back(*std::move(usual));
    else if (const toml::node* node = root.get("runtime_directory"))
      reader.fail(*node, "runtime_directory", fmt::format("management.sock in it {}", usual.error()));
  }
  if (table == nullptr) return;
  reader.refuse_unknown(*table, where,
                        {"listen", "socket_mode", "socket_group", "certificate", "key", "tokens", "names",
                         "connections_max", "request_timeout"});
  texts(reader, *table, "listen", listen_max, "[\"unix:/run/portolan/management.sock\"]",
        [&](const std::string& text, const toml::node& node) {
          auto address = io::parse_stream_address(text);
          if (!address)
            reader.fail(node, "management.listen", address.error());
          else if (std::ranges::find(management.listen, *address) != management.listen.end())
            reader.fail(node, "management.listen", "is there twice: remove one");
          else
            management.listen.push_back(*std::move(address));
        });
  read_mode(reader, *table, management.rights);
  read_group(reader, *table, management.rights);
  reader.path(*table, where, "certificate", management.certificate);
  reader.path(*table, where, "key", management.key);
  read_tokens(reader, *table, management);
  texts(reader, *table, "names", names_max, "[\"gateway.example.net\"]",
        [&](const std::string& text, const toml::node& node) {
          if (text.empty() || text.size() > name_octets_max || text.find_first_of(":/ ") != std::string::npos)
            reader.fail(node, "management.names", "is no name of a host: leave port and slashes out");
          else
            management.names.push_back(text);
        });
  reader.number(*table, where, "connections_max", 1, 10'000, "",
                [&](auto value) { management.limits.connections = static_cast<std::size_t>(value); });
  reader.number(*table, where, "request_timeout", 1, 600, " seconds",
                [&](auto value) { management.limits.request = Seconds{value}; });
  check_remote(reader, *table, management);
}

void refuse_management_changes(Reader& reader, const toml::table& root, const ManagementSettings& wanted,
                               const ManagementSettings& running) {
  gateway::Comparison table(reader, root, "management");
  table.fixed("listen", wanted.listen, running.listen);
  table.fixed("socket_mode", wanted.rights.mode, running.rights.mode);
  table.fixed("socket_group", wanted.rights.group, running.rights.group);
  table.fixed("certificate", wanted.certificate, running.certificate);
  table.fixed("key", wanted.key, running.key);
  table.fixed("names", wanted.names, running.names);
  table.fixed("connections_max", wanted.limits.connections, running.limits.connections);
  table.fixed("request_timeout", wanted.limits.request, running.limits.request);
}

}  // namespace portolan::portoland::detail
