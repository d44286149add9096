// SPDX-License-Identifier: BSD-2-Clause
#include "portolan-nat64/config.h"

#include <algorithm>
#include <utility>

#include "control/messages.h"
#include "gateway/advertisement_reader.h"
#include "gateway/confinement_reader.h"
#include "gateway/nat64_config_reader.h"

namespace portolan::nat64 {

// Whatever pool can be configured, the control protocol tells of.
static_assert(gateway::pool_max <= control::pool_ranges_max);

namespace {

using gateway::Reader;

/// The addresses of `table`'s key listen.
auto read_listen(Reader& reader, const toml::table& table, std::string_view where, std::string_view example)
    -> std::vector<io::StreamAddress> {
  std::vector<io::StreamAddress> listen;
  const auto name = fmt::format("{}listen", where);
  reader.texts(table, where, "listen", example, [&](const std::string& text, const toml::node& node) {
    auto address = io::parse_stream_address(text);
    if (!address)
      reader.fail(node, name, address.error());
    else if (std::ranges::find(listen, *address) != listen.end())
      reader.fail(node, name, "is listed twice: remove one");
    else
      listen.push_back(*std::move(address));
  });
  return listen;
}

void read_metrics(Reader& reader, const toml::table& root, Settings& settings) {
  const toml::table* const metrics = reader.table(root, "metrics");
  if (metrics == nullptr) return;
  reader.refuse_unknown(*metrics, "metrics.", {"listen"});
  settings.metrics_listen = read_listen(reader, *metrics, "metrics.", "[\"tcp:127.0.0.1:9464\"]");
}

void read_control(Reader& reader, const toml::table& root, Settings& settings) {
  const toml::table* const control = reader.table(root, "control");
  if (control == nullptr)
    return reader.fail_missing(root, "[control]",
                               "write where a server reaches the gateway: listen = "
                               "[\"unix:/run/portolan/nat64.sock\"]");
  reader.refuse_unknown(*control, "control.",
                        {"listen", "certificate", "key", "authorities", "reconcile_grace"});
  settings.listen = read_listen(reader, *control, "control.", "[\"unix:/run/portolan/nat64.sock\"]");
  reader.path(*control, "control.", "certificate", settings.tls.certificate);
  reader.path(*control, "control.", "key", settings.tls.key);
  reader.path(*control, "control.", "authorities", settings.tls.authorities);
  reader.number(*control, "control.", "reconcile_grace", 0, 3600, " seconds",
                [&](auto number) { settings.reconcile_grace = Seconds{number}; });
  const auto is_tls = [](const io::StreamAddress& address) {
    return address.kind == io::StreamAddress::Kind::tls;
  };
  if (!std::ranges::any_of(settings.listen, is_tls) && !std::ranges::any_of(settings.metrics_listen, is_tls))
    return;
  for (const auto& [key, path] :
       {std::pair{"certificate", &settings.tls.certificate}, std::pair{"key", &settings.tls.key},
        std::pair{"authorities", &settings.tls.authorities}})
    if (path->empty() && control->get(key) == nullptr)
      reader.fail_missing(*control, fmt::format("control.{}", key), "\"tls:\" needs that file, in PEM");
}

}  // namespace

auto named_by(const Settings& settings) -> gateway::Named {
  gateway::Named named{.tls = settings.tls};
  if (!settings.nat64.outside.empty()) named.interfaces.push_back(settings.nat64.outside);
  if (settings.nat64.own_address) named.interfaces.push_back(settings.nat64.own_address->interface);
  if (settings.advertisement)
    named.interfaces.insert(named.interfaces.end(), settings.advertisement->interfaces.begin(),
                            settings.advertisement->interfaces.end());
  return named;
}

auto needs_of(const Settings& settings) -> gateway::Needs {
  using enum io::Capability;
  gateway::Needs needs{
      .directories = {settings.runtime_directory}, .to_start = {net_admin}, .to_run = {net_admin}};
  if (settings.nat64.workers > 1) needs.to_start.push_back(bpf);
  if (settings.advertisement) needs.to_start.push_back(net_raw);
  const auto is_privileged = [](const io::StreamAddress& address) {
    return address.kind != io::StreamAddress::Kind::unix_socket && address.endpoint.port < Port{1024};
  };
  if (std::ranges::any_of(settings.listen, is_privileged)) needs.to_start.push_back(net_bind_service);
  return needs;
}

auto parse_settings(std::string_view text, std::string_view file, const Settings* running)
    -> std::expected<Settings, std::vector<std::string>> {
  const auto parsed = gateway::parse_toml(text, file);
  if (!parsed) return std::unexpected(parsed.error());
  const toml::table& root = *parsed;
  Reader reader(file);
  Settings settings;
  reader.refuse_unknown(root, "",
                        {"run_as", "unexpected_calls", "runtime_directory", "nat64", "control", "metrics",
                         "router_advertisement"});
  settings.confinement = gateway::read_confinement(reader, root);
  reader.path(root, "", "runtime_directory", settings.runtime_directory);
  gateway::read_nat64(reader, root, "portolan-nat64", settings.nat64);
  read_metrics(reader, root, settings);
  read_control(reader, root, settings);
  settings.advertisement = gateway::read_advertisement(reader, root);
  if (running != nullptr && !reader.has_errors()) {
    gateway::Comparison top(reader, root, "");
    top.fixed("runtime_directory", settings.runtime_directory, running->runtime_directory);
    gateway::Comparison control(reader, root, "control");
    control.fixed("listen", settings.listen, running->listen);
    control.fixed("certificate", settings.tls.certificate, running->tls.certificate);
    control.fixed("key", settings.tls.key, running->tls.key);
    control.fixed("authorities", settings.tls.authorities, running->tls.authorities);
    control.fixed("reconcile_grace", settings.reconcile_grace, running->reconcile_grace);
    gateway::refuse_changes(reader, root, settings.confinement, running->confinement);
    gateway::refuse_changes(reader, root, settings.advertisement, running->advertisement);
    gateway::Comparison metrics(reader, root, "metrics");
    metrics.fixed("listen", settings.metrics_listen, running->metrics_listen);
    gateway::refuse_changes(reader, root, settings.nat64, running->nat64);
  }
  if (auto errors = reader.take_errors(); !errors.empty()) return std::unexpected(std::move(errors));
  return settings;
}

auto load_nat64(const std::filesystem::path& path)
    -> std::expected<gateway::Nat64Settings, std::vector<std::string>> {
  const auto text = gateway::read_file(path);
  if (!text) return std::unexpected(text.error());
  const auto parsed = gateway::parse_toml(*text, path.string());
  if (!parsed) return std::unexpected(parsed.error());
  Reader reader(path.string());
  gateway::Nat64Settings settings;
  gateway::read_nat64(reader, *parsed, "portolan-nat64", settings);
  if (auto errors = reader.take_errors(); !errors.empty()) return std::unexpected(std::move(errors));
  return settings;
}

auto load_settings(const std::filesystem::path& path, const Settings* running)
    -> std::expected<Settings, std::vector<std::string>> {
  const auto text = gateway::read_file(path);
  if (!text) return std::unexpected(text.error());
  return parse_settings(*text, path.string(), running);
}

}  // namespace portolan::nat64
