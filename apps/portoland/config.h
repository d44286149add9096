// SPDX-License-Identifier: BSD-2-Clause
//
// portoland's configuration file (TOML): what it may say, and reading it with errors that name file,
// line, key, value and remedy. docs/man/portoland.toml.5 describes every key.
#pragma once

#include <algorithm>
#include <cstdint>
#include <expected>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "control/management/tokens.h"
#include "device/nftables/settings.h"
#include "gateway/advertisement_settings.h"
#include "gateway/confinement.h"
#include "gateway/host_check.h"
#include "gateway/nat64_settings.h"
#include "io/http_parser.h"
#include "io/stream.h"
#include "server/config.h"

namespace portolan::portoland {

enum class DeviceKind : std::uint8_t { nat64, nat64_remote, nat44, firewall6, simulated };
/// "nat64-remote", as `device` has it.
[[nodiscard]] auto to_string(DeviceKind kind) -> std::string_view;

struct InsideInterface {
  std::string interface;
  unsigned subscriber_prefix_length = 64;

  auto operator==(const InsideInterface&) const -> bool = default;
};

enum class StoreKind : std::uint8_t { sqlite, memory };

/// Explicit mappings of all devices, written down as they come and go.
struct MappingLogSettings {
  bool is_on = false;
  /// Empty: standard output.
  std::filesystem::path path;
  /// Ports of a user alone are told once.
  bool blocks = false;
};

using gateway::Nat64Settings;

/// Where a portolan-nat64 listens.
struct RemoteSettings {
  io::StreamAddress connect;
  io::TlsFiles tls;

  auto operator==(const RemoteSettings&) const -> bool = default;
};

/// Where operators reach the server, and who.
struct ManagementSettings {
  /// None: nowhere.
  std::vector<io::StreamAddress> listen;
  io::SocketRights rights;
  /// Of TLS listeners.
  std::filesystem::path certificate;
  std::filesystem::path key;
  std::filesystem::path tokens_file;
  management::Tokens tokens;
  /// Of this host, which clients may connect to.
  std::vector<std::string> names;
  io::HttpLimits limits;
};

struct SimulatedSettings {
  std::vector<IpAddress> pool;
  Port first_port{1024};
  Port last_port{65535};
};

struct Settings {
  gateway::ConfinementSettings confinement;
  /// Each once. A NAT64 is in this process or in another one; "simulated" is alone.
  std::vector<DeviceKind> devices{DeviceKind::nat64};
  StoreKind store = StoreKind::sqlite;
  std::filesystem::path store_path = "/var/lib/portolan/portoland.db";
  std::filesystem::path runtime_directory = "/run/portolan";
  Port listen_port;
  std::size_t receive_buffer_bytes = 0;
  /// Whether requests count only where the answer would go (RFC 6887 s8.2).
  bool check_return_path = true;
  server::Config server;
  std::vector<InsideInterface> inside;
  Nat64Settings nat64;
  MappingLogSettings mapping_log;
  std::optional<gateway::AdvertisementSettings> advertisement;
  RemoteSettings remote;
  device::Nat44Settings nat44;
  device::Firewall6Settings firewall6;
  SimulatedSettings simulated;
  ManagementSettings management;
  /// The file that these were read from, if from one.
  std::filesystem::path file;

  [[nodiscard]] auto has(DeviceKind kind) const -> bool { return std::ranges::count(devices, kind) > 0; }
};

/// What `settings` name on this host, for --check-config.
[[nodiscard]] auto named_by(const Settings& settings) -> gateway::Named;
/// What the daemon needs to do what `settings` say.
[[nodiscard]] auto needs_of(const Settings& settings) -> gateway::Needs;

/// Reads `text`; `file` is what error messages call it. With `running` it is to take the place of those
/// settings, and what only a restart changes must be as it is there.
///
/// Errors  every mistake found, one line each: "FILE:LINE: KEY = VALUE: what is wrong; what to do"
[[nodiscard]] auto parse_settings(std::string_view text, std::string_view file,
                                  const Settings* running = nullptr)
    -> std::expected<Settings, std::vector<std::string>>;

/// Reads the file at `path` likewise.
[[nodiscard]] auto load_settings(const std::filesystem::path& path, const Settings* running = nullptr)
    -> std::expected<Settings, std::vector<std::string>>;

}  // namespace portolan::portoland
