// SPDX-License-Identifier: BSD-2-Clause
#include "portolanctl/settings.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "gateway/config_reader.h"
#include "io/resolve.h"
#include "io/secrets.h"

namespace portolan::ctl {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t token_octets_max = 1024;

/// A folder of the XDG base directories.
auto user_folder(const Environment& environment, const char* variable, const char* below_home) -> fs::path {
  if (const auto folder = environment(variable); folder && folder->starts_with('/')) return *folder;
  const auto home = environment("HOME");
  return home ? fs::path(*home) / below_home : fs::path();
}

auto read_settings_file(const fs::path& path, Settings& settings) -> std::expected<void, std::string> {
  const auto first_of = [](std::vector<std::string> errors) {
    return std::unexpected(std::move(errors.front()));
  };
  auto text = gateway::read_file(path);
  if (!text) return first_of(std::move(text.error()));
  auto table = gateway::parse_toml(*text, path.string());
  if (!table) return first_of(std::move(table.error()));
  gateway::Reader reader(path.string());
  reader.refuse_unknown(*table, "", {"server", "token_file", "ca", "timeout"});
  if (auto server = reader.text(*table, "", "server")) settings.server = *std::move(server);
  reader.path(*table, "", "token_file", settings.token_file);
  reader.path(*table, "", "ca", settings.ca);
  reader.number(*table, "", "timeout", 1, 86400, " seconds",
                [&](std::int64_t seconds) { settings.timeout = Seconds{seconds}; });
  if (reader.has_errors()) return first_of(reader.take_errors());
  return {};
}

struct HostPort {
  std::string host;
  std::uint16_t port = 0;
};

/// Of "https://gateway.example.net:5380" or "https://[2001:db8::1]:5380".
auto host_and_port(std::string_view url) -> std::optional<HostPort> {
  url.remove_prefix(std::string_view("https://").size());
  if (url.ends_with('/')) url.remove_suffix(1);
  const std::size_t colon = url.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return {};
  std::string_view host = url.substr(0, colon);
  const bool is_bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (is_bracketed) host = host.substr(1, host.size() - 2);
  if (is_bracketed != (host.find(':') != std::string_view::npos) ||
      host.find_first_of("/@?#[] ") != std::string_view::npos)
    return {};
  const std::string_view digits = url.substr(colon + 1);
  HostPort found{.host = std::string(host)};
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), found.port);
  if (error != std::errc{} || end != digits.data() + digits.size() || found.port == 0) return {};
  return found;
}

auto read_token(const fs::path& path) -> std::expected<std::string, std::string> {
  auto text = io::read_secret_file(path, 2 * token_octets_max);
  if (!text) return text;
  text->erase(text->find_last_not_of(" \t\r\n") + 1);
  const bool is_token = !text->empty() && text->size() <= token_octets_max &&
                        std::ranges::all_of(*text, [](char octet) { return octet > ' ' && octet <= '~'; });
  if (!is_token)
    return std::unexpected(
        fmt::format("{}: no token: the file must hold one line of 1 to {} visible ASCII characters",
                    path.string(), token_octets_max));
  return *std::move(text);
}

auto remote_server(const Settings& settings) -> std::expected<io::HttpServer, std::string> {
  const auto where = host_and_port(settings.server);
  if (!where)
    return std::unexpected(fmt::format(
        "server '{}': write it as https://gateway.example.net:5380, with the port", settings.server));
  const auto addresses = io::resolve(where->host);
  if (!addresses) return std::unexpected(addresses.error());
  io::HttpServer server;
  for (const io::ScopedAddress& address : *addresses)
    server.addresses.push_back(
        {.kind = io::StreamAddress::Kind::tls, .path = {}, .endpoint = {address.address, Port{where->port}}});
  server.host = settings.server.substr(std::string_view("https://").size());
  if (server.host.ends_with('/')) server.host.pop_back();
  const bool is_address = IpAddress::parse(where->host).has_value();
  auto identity = io::TlsIdentity::client(settings.ca, is_address ? "" : where->host);
  if (!identity) return std::unexpected(identity.error());
  server.identity = *std::move(identity);
  return server;
}

}  // namespace

auto settings_files(const Environment& environment) -> std::vector<fs::path> {
  std::vector<fs::path> files;
  if (const fs::path folder = user_folder(environment, "XDG_CONFIG_HOME", ".config"); !folder.empty())
    files.push_back(folder / "portolan" / "portolanctl.toml");
  files.emplace_back("/etc/portolan/portolanctl.toml");
  return files;
}

auto read_settings(const Arguments& given, const Environment& environment)
    -> std::expected<Settings, std::string> {
  Settings settings;
  auto files = settings_files(environment);
  std::ranges::reverse(files);
  for (const fs::path& file : files) {
    std::error_code error;
    if (!fs::exists(file, error)) continue;
    if (auto read = read_settings_file(file, settings); !read)
      return std::unexpected(std::move(read.error()));
  }
  const auto value = [&](std::string_view option, const char* variable) -> std::optional<std::string> {
    if (const Argument* const argument = given.find(option)) return argument->values.front();
    return environment(variable);
  };
  if (auto server = value("server", "PORTOLANCTL_SERVER")) settings.server = *std::move(server);
  if (auto file = value("token-file", "PORTOLANCTL_TOKEN_FILE")) settings.token_file = *std::move(file);
  if (auto file = value("ca", "PORTOLANCTL_CA")) settings.ca = *std::move(file);
  if (const Argument* const timeout = given.find("timeout"))
    settings.timeout = Seconds{std::stoll(timeout->values.front())};
  return settings;
}

auto server_of(const Settings& settings) -> std::expected<io::HttpServer, std::string> {
  std::expected<io::HttpServer, std::string> server;
  if (settings.server.starts_with("https://")) {
    server = remote_server(settings);
  } else if (settings.server.starts_with("unix:")) {
    auto address = io::parse_stream_address(settings.server);
    if (!address) return std::unexpected(fmt::format("server '{}' {}", settings.server, address.error()));
    server->addresses.push_back(*std::move(address));
  } else {
    return std::unexpected(
        fmt::format("server '{}': it must begin with unix:/ or https://", settings.server));
  }
  if (!server || settings.token_file.empty()) return server;
  auto token = read_token(settings.token_file);
  if (!token) return std::unexpected(std::move(token.error()));
  server->token = *std::move(token);
  return server;
}

auto history_file(const Environment& environment) -> fs::path {
  const fs::path folder = user_folder(environment, "XDG_STATE_HOME", ".local/state");
  return folder.empty() ? folder : folder / "portolan" / "portolanctl_history";
}

}  // namespace portolan::ctl
