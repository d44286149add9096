// SPDX-License-Identifier: BSD-2-Clause
#include "gateway/advertisement_reader.h"

#include "gateway/advertisement.h"

namespace portolan::gateway {
namespace {

constexpr std::string_view section = "router_advertisement";
constexpr std::string_view where = "router_advertisement.";
constexpr std::int64_t lifetime_max = 0xffffffff;
constexpr auto keys_of_whole = std::to_array<std::string_view>(
    {"router_lifetime", "hop_limit", "mtu", "prefixes", "valid_lifetime", "preferred_lifetime", "dns"});

auto name_of(std::string_view key) -> std::string { return fmt::format("{}{}", where, key); }

void read_mode(Reader& reader, const toml::table& table, AdvertisementSettings& settings) {
  const auto mode = reader.text(table, where, "mode");
  if (!mode) {
    if (table.get("mode") == nullptr)
      reader.fail_missing(
          table, name_of("mode"),
          "write \"alone\" beside a router that advertises itself, \"whole\" where none does");
    return;
  }
  if (*mode == "whole")
    settings.mode = AdvertisementMode::whole;
  else if (*mode != "alone")
    reader.fail(*table.get("mode"), name_of("mode"), R"(must be "alone" or "whole")");
  // What the other mode never sends is a misunderstanding.
  if (settings.mode == AdvertisementMode::alone)
    for (const std::string_view key : keys_of_whole)
      if (const toml::node* node = table.get(key))
        reader.fail(*node, name_of(key), "is for mode = \"whole\": remove it, the router beside says that");
  if (const toml::node* node = table.get("source");
      node != nullptr && settings.mode == AdvertisementMode::whole)
    reader.fail(*node, name_of("source"),
                "is for mode = \"alone\": remove it, a router's advertisements come from its own address");
}

void read_interfaces(Reader& reader, const toml::table& table, AdvertisementSettings& settings) {
  reader.texts(
      table, where, "interfaces", "[\"lan0\"]", [&](const std::string& text, const toml::node& node) {
        if (text.empty() || text.size() > interface_name_octets_max ||
            text.find_first_of("/ \t\n:") != std::string::npos)
          reader.fail(
              node, name_of("interfaces"),
              "is no interface name: 1 to 15 characters without '/', ':' or space; `ip link` lists them");
        else if (std::ranges::find(settings.interfaces, text) != settings.interfaces.end())
          reader.fail(node, name_of("interfaces"), "is named twice: remove one");
        else
          settings.interfaces.push_back(text);
      });
}

/// Spec  RFC 4861 s6.2.1; RFC 8781 s4.1
void read_times(Reader& reader, const toml::table& table, AdvertisementSettings& settings) {
  const auto seconds = [&](std::string_view key, std::int64_t least, std::int64_t most,
                           std::string_view remark, Seconds& value) {
    reader.number(table, where, key, least, most, remark, [&](auto number) { value = Seconds{number}; });
  };
  auto& [least, most] = settings.intervals;
  seconds("max_interval", 4, 1800, " seconds", most);
  least = most >= Seconds{9} ? Seconds{most.count() / 3} : Seconds{3};
  seconds("min_interval", 3, std::max<std::int64_t>(3, most.count() * 3 / 4),
          " seconds: three quarters of max_interval at most", least);
  settings.lifetime = std::min(3 * most, pref64_lifetime_max);
  seconds("lifetime", most.count(), pref64_lifetime_max.count(),
          " seconds: from max_interval on, or it ends between two advertisements", settings.lifetime);
  settings.router_lifetime = 3 * most;
  seconds(
      "router_lifetime", most.count(), 9000,
      " seconds: from max_interval on. 0 would take the default route from all hosts; where another router "
      "is to have them, write mode = \"alone\"",
      settings.router_lifetime);
  seconds("valid_lifetime", 1, lifetime_max, " seconds", settings.valid_lifetime);
  settings.preferred_lifetime = std::min(settings.preferred_lifetime, settings.valid_lifetime);
  seconds("preferred_lifetime", 0, settings.valid_lifetime.count(), " seconds: valid_lifetime at most",
          settings.preferred_lifetime);
}

void read_prefixes(Reader& reader, const toml::table& table, AdvertisementSettings& settings) {
  const toml::node* list = table.get("prefixes");
  if (list == nullptr) return;
  reader.texts(table, where, "prefixes", "[\"2001:db8:1::/64\"]",
               [&](const std::string& text, const toml::node& node) {
                 const auto prefix = Prefix::parse(text);
                 if (!prefix || prefix->address().is_ipv4() || prefix->length() != 64 ||
                     prefix->address().is_link_local())
                   reader.fail(node, name_of("prefixes"),
                               "must be an IPv6 prefix of 64 bits that hosts make addresses of, such as "
                               "\"2001:db8:1::/64\"");
                 else if (std::ranges::find(settings.prefixes, *prefix) != settings.prefixes.end())
                   reader.fail(node, name_of("prefixes"), "is there twice: remove one");
                 else
                   settings.prefixes.push_back(*prefix);
               });
  if (settings.prefixes.size() > advertised_prefixes_max)
    reader.fail(*list, name_of("prefixes"), fmt::format("has more than {}", advertised_prefixes_max));
}

void read_dns(Reader& reader, const toml::table& table, AdvertisementSettings& settings) {
  const toml::node* list = table.get("dns");
  if (list == nullptr) return;
  reader.texts(
      table, where, "dns", "[\"2001:db8:1::1\"]", [&](const std::string& text, const toml::node& node) {
        const auto address = IpAddress::parse(text);
        if (!address || address->is_ipv4() || address->is_unspecified())
          reader.fail(node, name_of("dns"), "is no IPv6 address of a DNS server, such as \"2001:db8:1::1\"");
        else
          settings.dns_servers.push_back(*address);
      });
  if (settings.dns_servers.size() > advertised_servers_max)
    reader.fail(*list, name_of("dns"), fmt::format("has more than {}", advertised_servers_max));
}

}  // namespace

auto read_advertisement(Reader& reader, const toml::table& root) -> std::optional<AdvertisementSettings> {
  const toml::table* table = reader.table(root, section);
  if (table == nullptr) return {};
  reader.refuse_unknown(
      *table, where,
      {"mode", "interfaces", "min_interval", "max_interval", "lifetime", "managed", "other_config", "source",
       "router_lifetime", "hop_limit", "mtu", "prefixes", "valid_lifetime", "preferred_lifetime", "dns"});
  AdvertisementSettings settings;
  read_mode(reader, *table, settings);
  read_interfaces(reader, *table, settings);
  read_times(reader, *table, settings);
  reader.flag(*table, where, "managed", settings.is_managed);
  reader.flag(*table, where, "other_config", settings.has_other_config);
  if (const auto text = reader.text(*table, where, "source")) {
    settings.source = IpAddress::parse(*text);
    if (!settings.source || !settings.source->is_link_local())
      reader.fail(*table->get("source"), name_of("source"),
                  "must be a link-local address that nobody on these links has, such as \"fe80::6464\"");
  }
  reader.number(*table, where, "hop_limit", 1, 255, "",
                [&](auto number) { settings.hop_limit = static_cast<std::uint8_t>(number); });
  reader.number(*table, where, "mtu", 1280, 65535, "",
                [&](auto number) { settings.mtu = static_cast<std::uint32_t>(number); });
  read_prefixes(reader, *table, settings);
  read_dns(reader, *table, settings);
  return settings;
}

void refuse_changes(Reader& reader, const toml::table& root,
                    const std::optional<AdvertisementSettings>& wanted,
                    const std::optional<AdvertisementSettings>& running) {
  Comparison top(reader, root, "");
  top.fixed(section, wanted.has_value(), running.has_value());
}

}  // namespace portolan::gateway
