// SPDX-License-Identifier: BSD-2-Clause
#include "portoland/config.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "gateway/advertisement_reader.h"
#include "gateway/confinement_reader.h"
#include "gateway/nat64_config_reader.h"
#include "portoland/config_management.h"
#include "portoland/config_mapping.h"
#include "portoland/config_nftables.h"
#include "portoland/config_pcp.h"
#include "portoland/config_reload.h"
#include "wire/protocol.h"

namespace portolan::portoland {
namespace {

using gateway::inside_max;
using gateway::Reader;

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
    settings.server.inside.push_back(
        {.interface = inside.interface, .subscriber_prefix_length = inside.subscriber_prefix_length});
}

void read_simulated(Reader& reader, const toml::table& root, Settings& settings) {
  const toml::table* simulated = reader.table(root, "simulated");
  if (simulated == nullptr) {
    if (settings.has(DeviceKind::simulated))
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

void read_remote(Reader& reader, const toml::table& root, RemoteSettings& remote, bool is_needed) {
  constexpr std::string_view example = "connect = \"unix:/run/portolan/nat64.sock\"";
  const toml::table* table = reader.table(root, "nat64_remote");
  if (table == nullptr) {
    if (is_needed)
      reader.fail_missing(root, "[nat64_remote]",
                          fmt::format("write where the portolan-nat64 listens: {}", example));
    return;
  }
  constexpr std::string_view where = "nat64_remote.";
  reader.refuse_unknown(*table, where, {"connect", "certificate", "key", "authorities", "peer_name"});
  reader.path(*table, where, "certificate", remote.tls.certificate);
  reader.path(*table, where, "key", remote.tls.key);
  reader.path(*table, where, "authorities", remote.tls.authorities);
  if (auto name = reader.text(*table, where, "peer_name")) remote.tls.peer_name = *std::move(name);
  if (table->get("connect") == nullptr)
    return reader.fail_missing(*table, "nat64_remote.connect", fmt::format("write {}", example));
  const auto text = reader.text(*table, where, "connect");
  if (!text) return;
  auto address = io::parse_stream_address(*text);
  if (!address) return reader.fail(*table->get("connect"), "nat64_remote.connect", address.error());
  remote.connect = *std::move(address);
  if (remote.connect.kind != io::StreamAddress::Kind::tls) return;
  for (const char* key : {"certificate", "key", "authorities"})
    if (table->get(key) == nullptr)
      reader.fail_missing(*table, fmt::format("nat64_remote.{}", key), "\"tls:\" needs that file, in PEM");
}

void read_advertisement(Reader& reader, const toml::table& root, Settings& settings) {
  settings.advertisement = gateway::read_advertisement(reader, root);
  if (settings.advertisement && !settings.has(DeviceKind::nat64))
    reader.fail_at(root.get("router_advertisement")->source().begin.line,
                   "[router_advertisement] tells of the NAT64 in this process, and there is none: a "
                   "portolan-nat64 has this section in its own configuration");
}

constexpr std::array<std::pair<std::string_view, DeviceKind>, 5> device_names{
    {{"nat64", DeviceKind::nat64},
     {"nat64-remote", DeviceKind::nat64_remote},
     {"nat44", DeviceKind::nat44},
     {"firewall6", DeviceKind::firewall6},
     {"simulated", DeviceKind::simulated}}};

/// One name, or a list of them.
void read_devices(Reader& reader, const toml::table& root, Settings& settings) {
  constexpr std::string_view names = "\"nat64\", \"nat64-remote\", \"nat44\", \"firewall6\" or \"simulated\"";
  const toml::node* node = root.get("device");
  if (node == nullptr)
    return reader.fail_missing(
        root, "device",
        "write device = \"nat64\", \"nat64-remote\" for a portolan-nat64, \"nat44\" or \"firewall6\" for the "
        "kernel's, several as [\"nat44\", \"firewall6\"], or \"simulated\" for a dry run");
  std::vector<DeviceKind> devices;
  const auto read = [&](const toml::node& element) {
    const auto text = element.value_exact<std::string>();
    const auto* const known =
        std::ranges::find(device_names, text.value_or(""), [](const auto& named) { return named.first; });
    if (known == device_names.end())
      reader.fail(element, "device", fmt::format("must be {}, or a list of them", names));
    else if (std::ranges::find(devices, known->second) != devices.end())
      reader.fail(element, "device", "is named twice: remove one");
    else
      devices.push_back(known->second);
  };
  if (const toml::array* list = node->as_array()) {
    if (list->empty() || list->size() > device_names.size())
      return reader.fail(*node, "device", fmt::format("must be {}, or a list of them", names));
    for (const toml::node& element : *list) read(element);
  } else {
    read(*node);
  }
  if (devices.empty()) return;
  settings.devices = std::move(devices);
  if (settings.has(DeviceKind::nat64) && settings.has(DeviceKind::nat64_remote))
    reader.fail(*node, "device", "has two NAT64: keep \"nat64\" or \"nat64-remote\"");
  // It would answer for all hosts, and no packet of theirs would pass.
  if (settings.has(DeviceKind::simulated) && settings.devices.size() > 1)
    reader.fail(*node, "device",
                "has \"simulated\" beside others: that one serves all hosts, and stands alone");
}

void read_mapping_log(Reader& reader, const toml::table& root, MappingLogSettings& log) {
  constexpr std::string_view where = "mapping_log.";
  const toml::table* table = reader.table(root, "mapping_log");
  if (table == nullptr) return;
  reader.refuse_unknown(*table, where, {"file", "blocks"});
  log.is_on = true;
  reader.flag(*table, where, "blocks", log.blocks);
  if (table->get("file") == nullptr)
    return reader.fail_missing(*table, "mapping_log.file",
                               "write file = \"/var/log/portolan/mappings\", or \"stdout\"");
  const auto path = reader.text(*table, where, "file");
  if (path && path->starts_with('/') && !path->ends_with('/'))
    log.path = *path;
  else if (path && *path != "stdout")
    reader.fail(*table->get("file"), "mapping_log.file",
                R"(must be "stdout" or the absolute path of a file, such as "/var/log/portolan/mappings")");
}

void read_root(Reader& reader, const toml::table& root, Settings& settings) {
  reader.refuse_unknown(root, "",
                        {"run_as",
                         "unexpected_calls",
                         "device",
                         "store",
                         "store_path",
                         "runtime_directory",
                         "pcp",
                         "user",
                         "prefix64",
                         "third_party_id",
                         "mapping",
                         "mapping_log",
                         "inside",
                         "nat64",
                         "nat64_remote",
                         "nat44",
                         "firewall6",
                         "simulated",
                         "router_advertisement",
                         "management"});
  settings.confinement = gateway::read_confinement(reader, root);
  read_devices(reader, root, settings);
  if (const auto store = reader.text(root, "", "store")) {
    if (*store == "memory")
      settings.store = StoreKind::memory;
    else if (*store != "sqlite")
      reader.fail(*root.get("store"), "store",
                  "must be \"sqlite\", or \"memory\" to accept that a restart loses mappings");
  }
  if (auto path = reader.text(root, "", "store_path")) {
    if (path->starts_with('/') && !path->ends_with('/'))
      settings.store_path = std::move(*path);
    else
      reader.fail(*root.get("store_path"), "store_path",
                  "must be the absolute path of a file, such as \"/var/lib/portolan/portoland.db\"");
  }
  reader.path(root, "", "runtime_directory", settings.runtime_directory);
}

}  // namespace

auto to_string(DeviceKind kind) -> std::string_view {
  return std::ranges::find(device_names, kind, [](const auto& named) { return named.second; })->first;
}

auto named_by(const Settings& settings) -> gateway::Named {
  gateway::Named named{.tls = settings.remote.tls,
                       .runs_nft = settings.has(DeviceKind::nat44) || settings.has(DeviceKind::firewall6)};
  for (const InsideInterface& inside : settings.inside) named.interfaces.push_back(inside.interface);
  if (settings.has(DeviceKind::nat64)) {
    if (!settings.nat64.outside.empty()) named.interfaces.push_back(settings.nat64.outside);
    if (settings.nat64.own_address) named.interfaces.push_back(settings.nat64.own_address->interface);
  }
  if (settings.has(DeviceKind::nat44)) named.interfaces.push_back(settings.nat44.outside);
  if (settings.has(DeviceKind::firewall6)) named.interfaces.push_back(settings.firewall6.outside);
  if (settings.advertisement)
    named.interfaces.insert(named.interfaces.end(), settings.advertisement->interfaces.begin(),
                            settings.advertisement->interfaces.end());
  return named;
}

auto needs_of(const Settings& settings) -> gateway::Needs {
  using enum io::Capability;
  gateway::Needs needs{.directories = {settings.runtime_directory}};
  const bool is_durable = settings.store == StoreKind::sqlite;
  if (is_durable) needs.directories.push_back(settings.store_path.parent_path());
  const bool runs_nft = settings.has(DeviceKind::nat44) || settings.has(DeviceKind::firewall6);
  // The others change nothing on this host.
  if (runs_nft || settings.has(DeviceKind::nat64)) needs.to_run.push_back(net_admin);
  needs.to_start = needs.to_run;
  if (settings.has(DeviceKind::nat64) && settings.nat64.workers > 1) needs.to_start.push_back(bpf);
  if (settings.advertisement) needs.to_start.push_back(net_raw);
  if (settings.listen_port < Port{1024}) needs.to_start.push_back(net_bind_service);
  needs.system_calls = {.keeps_store = is_durable, .runs_programs = runs_nft};
  return needs;
}

auto parse_settings(std::string_view text, std::string_view file, const Settings* running)
    -> std::expected<Settings, std::vector<std::string>> {
  const auto parsed = gateway::parse_toml(text, file);
  if (!parsed) return std::unexpected(parsed.error());
  const toml::table& root = *parsed;
  Reader reader(file);
  Settings settings;
  settings.listen_port = Port{wire::server_port};
  read_root(reader, root, settings);
  detail::read_pcp(reader, root, settings);
  detail::read_users(reader, root, settings);
  read_mapping_log(reader, root, settings.mapping_log);
  read_inside(reader, root, settings);
  gateway::read_nat64(reader, root, settings.has(DeviceKind::nat64) ? "device \"nat64\"" : "",
                      settings.nat64);
  read_advertisement(reader, root, settings);
  read_remote(reader, root, settings.remote, settings.has(DeviceKind::nat64_remote));
  detail::read_nat44(reader, root, settings);
  detail::read_firewall6(reader, root, settings);
  read_simulated(reader, root, settings);
  detail::read_management(reader, root, settings);
  detail::read_prefix64(reader, root, settings);
  if (!reader.has_errors()) detail::read_mappings(reader, root, settings);
  if (running != nullptr && !reader.has_errors()) detail::refuse_changes(reader, root, settings, *running);
  if (auto errors = reader.take_errors(); !errors.empty()) return std::unexpected(std::move(errors));
  return settings;
}

auto load_settings(const std::filesystem::path& path, const Settings* running)
    -> std::expected<Settings, std::vector<std::string>> {
  const auto text = gateway::read_file(path);
  if (!text) return std::unexpected(text.error());
  auto settings = parse_settings(*text, path.string(), running);
  if (settings) settings->file = path;
  return settings;
}

}  // namespace portolan::portoland
