// SPDX-License-Identifier: BSD-2-Clause
#include "portoland/config.h"

#include <algorithm>
#include <fstream>
#include <initializer_list>
#include <optional>
#include <set>
#include <sstream>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <toml++/toml.h>

#include "portoland/config_mapping.h"
#include "portoland/config_pcp.h"
#include "portoland/config_reader.h"
#include "portoland/config_reload.h"
#include "portoland/engine_config.h"
#include "wire/protocol.h"

namespace portolan::portoland {
namespace {

using detail::inside_max;
using detail::Reader;

void read_inside(Reader& reader, const toml::table& root, Settings& settings) {
  constexpr std::string_view remedy =
      "name each interface whose hosts may ask: [[inside]] with interface = \"eth1\"";
  const toml::node* node = root.get("inside");
  if (node == nullptr) return reader.fail_missing(root, "[[inside]]", remedy);
  const toml::array* list = node->as_array();
  if (list == nullptr || !list->is_array_of_tables() || list->size() > inside_max)
    return reader.fail(*node, "inside", fmt::format("must be 1 to {} tables; {}", inside_max, remedy));
  std::set<std::string> seen;
  for (const toml::node& element : *list) {
    const toml::table& table = *element.as_table();
    InsideInterface inside;
    reader.refuse_unknown(table, "inside.", {"interface", "subscriber_prefix_length"});
    if (table.get("interface") == nullptr) reader.fail_missing(table, "inside.interface", remedy);
    if (auto name = reader.interface(table, "inside.", "interface")) {
      if (!seen.insert(*name).second)
        reader.fail(*table.get("interface"), "inside.interface", "is named twice: remove one of the tables");
      inside.interface = std::move(*name);
    }
    reader.number(table, "inside.", "subscriber_prefix_length", 32, 128,
                  "; 64 where each subscriber has a link of its own, 128 on a shared link",
                  [&](auto value) { inside.subscriber_prefix_length = static_cast<unsigned>(value); });
    settings.inside.push_back(std::move(inside));
  }
  settings.server.inside.clear();
  for (const InsideInterface& inside : settings.inside)
    settings.server.inside.push_back({.subscriber_prefix_length = inside.subscriber_prefix_length});
}

/// Prefix lengths RFC 6052 s2.2 knows.
auto is_nat64_prefix_length(unsigned length) -> bool {
  constexpr std::array lengths{32U, 40U, 48U, 56U, 64U, 96U};
  return std::ranges::find(lengths, length) != lengths.end();
}

void read_nat64_limits(Reader& reader, const toml::table& nat64, nat::Limits& limits) {
  const auto limit = [&](std::string_view key, std::uint32_t& value) {
    reader.number(nat64, "nat64.", key, 1, 100'000'000, "",
                  [&](auto number) { value = static_cast<std::uint32_t>(number); });
  };
  limit("bindings_max", limits.bindings);
  limit("sessions_max", limits.sessions);
  limit("hosts_max", limits.hosts);
  limit("hold_downs_max", limits.hold_downs);
  reader.number(nat64, "nat64.", "fragments_max", 256, 100'000'000, "",
                [&](auto number) { limits.fragments = static_cast<std::uint32_t>(number); });
}

/// Least values: RFC 6146 s4, RFC 4787 s4.3, RFC 5382 s5, RFC 5508 s3.2.
void read_nat64_timeouts(Reader& reader, const toml::table& nat64, nat::Timeouts& timeouts) {
  constexpr std::int64_t longest = 30 * 86400;
  const auto timeout = [&](std::string_view key, Seconds& value, std::int64_t least) {
    reader.number(nat64, "nat64.", key, least, longest, " seconds",
                  [&](auto number) { value = Seconds{number}; });
  };
  timeout("udp_timeout", timeouts.udp, 120);
  timeout("tcp_established_timeout", timeouts.tcp_established, 7200);
  timeout("tcp_transitory_timeout", timeouts.tcp_transitory, 240);
  timeout("icmp_timeout", timeouts.icmp, 60);
  timeout("hold_down", timeouts.hold_down, 0);
  timeout("fragment_timeout", timeouts.fragment, 2);
}

void read_nat64(Reader& reader, const toml::table& root, Settings& settings) {
  const toml::table* nat64 = reader.table(root, "nat64");
  if (nat64 == nullptr) {
    if (settings.device == DeviceKind::nat64)
      reader.fail_missing(root, "[nat64]", "device = \"nat64\" needs its prefix and pool");
    return;
  }
  reader.refuse_unknown(
      *nat64, "nat64.",
      {"prefix", "pool", "outside", "tun", "mtu", "lowest_ipv6_mtu", "mss_max", "manage_forwarding",
       "bindings_max", "sessions_max", "hosts_max", "hold_downs_max", "fragments_max", "udp_timeout",
       "tcp_established_timeout", "tcp_transitory_timeout", "icmp_timeout", "hold_down", "fragment_timeout"});
  if (nat64->get("prefix") == nullptr)
    reader.fail_missing(*nat64, "nat64.prefix",
                        "write prefix = \"2001:db8:64:ff9b::/96\" with a prefix of yours");
  if (const auto text = reader.text(*nat64, "nat64.", "prefix")) {
    const auto prefix = Prefix::parse(*text);
    if (!prefix || prefix->address().is_ipv4() || !is_nat64_prefix_length(prefix->length()))
      reader.fail(*nat64->get("prefix"), "nat64.prefix",
                  "must be an IPv6 prefix of length 32, 40, 48, 56, 64 or 96, such as \"64:ff9b::/96\", "
                  "without bits behind the length");
    else
      settings.nat64.prefix = *prefix;
  }
  reader.texts(*nat64, "nat64.", "pool", "[\"192.0.2.14\"]",
               [&](const std::string& text, const toml::node& node) {
                 const auto address = Ipv4Address::parse(text);
                 if (!address)
                   reader.fail(node, "nat64.pool", "is no IPv4 address: write it as \"192.0.2.14\"");
                 else if (std::ranges::find(settings.nat64.pool, *address) != settings.nat64.pool.end())
                   reader.fail(node, "nat64.pool", "is listed twice: remove one");
                 else
                   settings.nat64.pool.push_back(*address);
               });
  if (auto name = reader.interface(*nat64, "nat64.", "outside")) settings.nat64.outside = std::move(*name);
  if (auto name = reader.interface(*nat64, "nat64.", "tun")) settings.nat64.tun = std::move(*name);
  reader.number(*nat64, "nat64.", "mtu", 1280, 65535, "; 1500 is usual",
                [&](auto value) { settings.nat64.mtu = static_cast<unsigned>(value); });
  reader.number(*nat64, "nat64.", "lowest_ipv6_mtu", 1280, 65535, "; at most mtu",
                [&](auto value) { settings.nat64.lowest_ipv6_mtu = static_cast<unsigned>(value); });
  reader.number(*nat64, "nat64.", "mss_max", 536, 65535, "; leave it out and the ends decide",
                [&](auto value) { settings.nat64.mss_max = static_cast<unsigned>(value); });
  read_nat64_limits(reader, *nat64, settings.nat64.limits);
  read_nat64_timeouts(reader, *nat64, settings.nat64.timeouts);
  if (const toml::node* node = nat64->get("manage_forwarding")) {
    if (const auto value = node->value_exact<bool>())
      settings.nat64.manage_forwarding = *value;
    else
      reader.fail(*node, "nat64.manage_forwarding", "must be true or false");
  }
  if (reader.has_errors() || settings.device != DeviceKind::nat64) return;
  if (const auto fine = nat::check(nat64_config(settings.nat64)); !fine)
    reader.fail_at(nat64->source().begin.line, fmt::format("[nat64]: {}: change it", fine.error()));
}

void read_simulated(Reader& reader, const toml::table& root, Settings& settings) {
  const toml::table* simulated = reader.table(root, "simulated");
  if (simulated == nullptr) {
    if (settings.device == DeviceKind::simulated)
      reader.fail_missing(root, "[simulated]", "device = \"simulated\" needs a pool");
    return;
  }
  reader.refuse_unknown(*simulated, "simulated.", {"pool", "first_port", "last_port"});
  std::vector<IpAddress>& pool = settings.simulated.pool;
  reader.texts(*simulated, "simulated.", "pool", "[\"192.0.2.1\"]",
               [&](const std::string& text, const toml::node& node) {
                 const auto address = IpAddress::parse(text);
                 if (!address || (!pool.empty() && pool.front().family() != address->family()))
                   reader.fail(node, "simulated.pool",
                               "must be addresses of one family, such as \"192.0.2.1\"");
                 else
                   pool.push_back(*address);
               });
  reader.number(*simulated, "simulated.", "first_port", 1, 65535, "",
                [&](auto value) { settings.simulated.first_port = Port{static_cast<std::uint16_t>(value)}; });
  reader.number(*simulated, "simulated.", "last_port", 1, 65535, "",
                [&](auto value) { settings.simulated.last_port = Port{static_cast<std::uint16_t>(value)}; });
  if (settings.simulated.first_port > settings.simulated.last_port)
    reader.fail_at(simulated->source().begin.line,
                   "simulated.first_port is above simulated.last_port: exchange them");
}

void read_root(Reader& reader, const toml::table& root, Settings& settings) {
  reader.refuse_unknown(root, "",
                        {"device", "store", "runtime_directory", "pcp", "user", "prefix64", "third_party_id",
                         "mapping", "inside", "nat64", "simulated"});
  if (root.get("device") == nullptr)
    reader.fail_missing(root, "device", "write device = \"nat64\", or \"simulated\" for a dry run");
  if (const auto device = reader.text(root, "", "device")) {
    if (*device == "simulated")
      settings.device = DeviceKind::simulated;
    else if (*device != "nat64")
      reader.fail(*root.get("device"), "device", "must be \"nat64\" or \"simulated\"");
  }
  if (root.get("store") == nullptr)
    reader.fail_missing(root, "store",
                        "write store = \"memory\" to accept that a restart loses mappings; it is the only "
                        "store so far");
  if (const auto store = reader.text(root, "", "store"); store && *store != "memory")
    reader.fail(*root.get("store"), "store", "must be \"memory\", the only store so far");
  if (auto directory = reader.text(root, "", "runtime_directory")) {
    if (directory->starts_with('/'))
      settings.runtime_directory = std::move(*directory);
    else
      reader.fail(*root.get("runtime_directory"), "runtime_directory", "must be an absolute path");
  }
}

}  // namespace

auto parse_settings(std::string_view text, std::string_view file, const Settings* running)
    -> std::expected<Settings, std::vector<std::string>> {
  toml::table root;
  try {
    root = toml::parse(text, file);
  } catch (const toml::parse_error& error) {
    return std::unexpected(
        std::vector{fmt::format("{}:{}: {}", file, error.source().begin.line, error.description())});
  }
  Reader reader(file);
  Settings settings;
  settings.listen_port = Port{wire::server_port};
  read_root(reader, root, settings);
  detail::read_pcp(reader, root, settings);
  detail::read_users(reader, root, settings);
  read_inside(reader, root, settings);
  read_nat64(reader, root, settings);
  read_simulated(reader, root, settings);
  detail::read_prefix64(reader, root, settings);
  if (!reader.has_errors()) detail::read_mappings(reader, root, settings);
  if (running != nullptr && !reader.has_errors()) detail::refuse_changes(reader, root, settings, *running);
  if (auto errors = reader.take_errors(); !errors.empty()) return std::unexpected(std::move(errors));
  return settings;
}

auto load_settings(const std::filesystem::path& path, const Settings* running)
    -> std::expected<Settings, std::vector<std::string>> {
  std::ifstream stream(path);
  std::ostringstream text;
  text << stream.rdbuf();
  if (!stream)
    return std::unexpected(std::vector{
        fmt::format("{}: can't be read: check that the file exists and its permissions", path.string())});
  return parse_settings(text.str(), path.string(), running);
}

}  // namespace portolan::portoland
