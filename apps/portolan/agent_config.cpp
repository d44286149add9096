// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/agent_config.h"

#include <set>
#include <utility>

#include <fmt/format.h>

#include "gateway/config_reader.h"

namespace portolan {
namespace {

using gateway::Reader;

void read_servers(Reader& reader, const toml::table& root, KeeperSettings& settings) {
  if (root.get("servers") == nullptr) return;
  reader.texts(root, "", "servers", "[\"2001:db8::1\"]",
               [&](const std::string& text, const toml::node& node) {
                 if (text.empty() || settings.servers.size() >= agent_servers_max)
                   reader.fail(node, "servers",
                               fmt::format("must be names or addresses, at most {}", agent_servers_max));
                 else
                   settings.servers.push_back(text);
               });
}

auto read_wish(Reader& reader, const toml::table& table) -> client::Wish {
  constexpr std::string_view where = "mapping.";
  client::Wish wish;
  reader.refuse_unknown(table, where,
                        {"protocol", "port", "external", "external_port", "lifetime", "description"});
  if (table.get("protocol") == nullptr)
    reader.fail_missing(table, "mapping.protocol", "write protocol = \"tcp\" or \"udp\"");
  if (const auto text = reader.text(table, where, "protocol")) {
    const auto protocol = parse_protocol(*text);
    if (protocol && *protocol != Protocol::all)
      wish.protocol = *protocol;
    else
      reader.fail(*table.get("protocol"), "mapping.protocol",
                  "must be \"tcp\", \"udp\", \"sctp\" or a number");
  }
  if (table.get("port") == nullptr) reader.fail_missing(table, "mapping.port", "write the port of this host");
  const auto port = [](auto value) { return Port{static_cast<std::uint16_t>(value)}; };
  reader.number(table, where, "port", 1, 65535, "", [&](auto value) { wish.internal_port = port(value); });
  reader.number(table, where, "external_port", 1, 65535, "; the server may choose another",
                [&](auto value) { wish.suggested_external_port = port(value); });
  reader.number(table, where, "lifetime", agent_lifetime_min.count(), agent_lifetime_max.count(), " seconds",
                [&](auto value) { wish.lifetime = Seconds{value}; });
  if (const auto external = reader.text(table, where, "external")) {
    if (*external == "ipv6")
      wish.suggested_external_address = IpAddress::unspecified(Family::ipv6);
    else if (*external != "ipv4")
      reader.fail(*table.get("external"), "mapping.external", "must be \"ipv4\" or \"ipv6\"");
  }
  wish.description = reader.text(table, where, "description");
  return wish;
}

}  // namespace

auto key_of(const client::Wish& wish) -> std::string {
  return fmt::format("{} {} {}", wish.protocol, wish.internal_port,
                     wish.suggested_external_address.is_ipv4() ? "ipv4" : "ipv6");
}

auto parse_agent_config(std::string_view text, std::string_view file)
    -> std::expected<AgentConfig, std::vector<std::string>> {
  const auto root = gateway::parse_toml(text, file);
  if (!root) return std::unexpected(root.error());
  Reader reader(file);
  AgentConfig config;
  reader.refuse_unknown(*root, "", {"servers", "anycast", "mapping"});
  read_servers(reader, *root, config.keeper);
  reader.flag(*root, "", "anycast", config.keeper.uses_anycast);
  std::set<std::string> keys;
  for (const toml::table* table : reader.tables(*root, "mapping", agent_mappings_max)) {
    client::Wish wish = read_wish(reader, *table);
    const unsigned line = table->source().begin.line;
    if (!keys.insert(key_of(wish)).second)
      reader.fail_at(line, fmt::format("mapping {} is there twice: remove one", key_of(wish)));
    else if (const auto error = error_in(wish))
      reader.fail_at(line, fmt::format("mapping {}: {}", key_of(wish), to_string(*error)));
    config.wishes.push_back(std::move(wish));
  }
  if (reader.has_errors()) return std::unexpected(reader.take_errors());
  return config;
}

}  // namespace portolan
