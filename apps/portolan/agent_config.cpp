// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/agent_config.h"

#include <set>
#include <utility>

#include <fmt/format.h>

#include "base/protocol_ports.h"
#include "gateway/config_reader.h"
#include "portolan/dissection_report.h"
#include "portolan/texts.h"

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

/// The value of a text that `parse` takes; nothing if there is none, or it is wrong, which is told.
template <typename Parse>
auto value_of(Reader& reader, const toml::table& table, std::string_view key, Parse parse,
              std::string_view remedy) -> decltype(parse(std::string())) {
  const auto text = reader.text(table, "mapping.", key);
  auto value = text ? parse(*text) : std::nullopt;
  if (text && !value) reader.fail(*table.get(key), fmt::format("mapping.{}", key), remedy);
  return value;
}

auto read_address(Reader& reader, const toml::table& table, std::string_view key)
    -> std::optional<IpAddress> {
  return value_of(reader, table, key, &IpAddress::parse, "must be an address such as \"2001:db8::7\"");
}

void read_peer(Reader& reader, const toml::table& table, client::Wish& wish) {
  const bool has_address = table.get("peer") != nullptr;
  if (has_address != (table.get("peer_port") != nullptr))
    reader.fail_missing(table, has_address ? "mapping.peer_port" : "mapping.peer",
                        "write address and port of the other end");
  if (const auto address = read_address(reader, table, "peer"))
    wish.remote_peer = Endpoint{.address = *address, .port = {}};
  reader.number(table, "mapping.", "peer_port", 1, 65535, "", [&](auto value) {
    if (wish.remote_peer) wish.remote_peer->port = Port{static_cast<std::uint16_t>(value)};
  });
}

void read_filters(Reader& reader, const toml::table& table, client::Wish& wish) {
  if (table.get("filters") == nullptr) return;
  reader.texts(table, "mapping.", "filters", "[\"2001:db8::/32\"]",
               [&](const std::string& text, const toml::node& node) {
                 if (const auto filter = parse_remote_filter(text))
                   wish.filters.push_back(*filter);
                 else
                   reader.fail(node, "mapping.filters",
                               "must be a prefix or address, a port behind a comma: \"2001:db8::7,5060\"");
               });
}

auto read_wish(Reader& reader, const toml::table& table) -> client::Wish {
  constexpr std::string_view where = "mapping.";
  client::Wish wish;
  reader.refuse_unknown(table, where,
                        {"protocol", "port", "external", "external_port", "lifetime", "description", "peer",
                         "peer_port", "filters", "third_party", "third_party_id"});
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
  // What has no ports is mapped as a whole.
  if (table.get("port") == nullptr && has_ports(wish.protocol))
    reader.fail_missing(table, "mapping.port", "write the port of this host");
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
  read_peer(reader, table, wish);
  read_filters(reader, table, wish);
  wish.third_party = read_address(reader, table, "third_party");
  wish.third_party_id = value_of(reader, table, "third_party_id", &parse_octets,
                                 "must be pairs of hexadecimal digits: \"0a1b\"");
  return wish;
}

}  // namespace

auto key_of(const client::Wish& wish) -> std::string {
  std::string key = fmt::format("{} {} {}", wish.protocol, wish.internal_port,
                                wish.suggested_external_address.is_ipv4() ? "ipv4" : "ipv6");
  if (wish.remote_peer) key += fmt::format(" to {}", *wish.remote_peer);
  if (wish.third_party) key += fmt::format(" for {}", *wish.third_party);
  if (wish.third_party_id) key += fmt::format(" ({})", plain_hex(*wish.third_party_id));
  return key;
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
