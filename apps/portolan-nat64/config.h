// SPDX-License-Identifier: BSD-2-Clause
//
// portolan-nat64's configuration file (TOML). docs/man/portolan-nat64.8 describes every key.
#pragma once

#include <expected>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "gateway/advertisement_settings.h"
#include "gateway/confinement.h"
#include "gateway/host_check.h"
#include "gateway/nat64_settings.h"
#include "io/stream.h"

namespace portolan::nat64 {

struct Settings {
  gateway::ConfinementSettings confinement;
  std::filesystem::path runtime_directory = "/run/portolan";
  gateway::Nat64Settings nat64;
  std::optional<gateway::AdvertisementSettings> advertisement;
  std::vector<io::StreamAddress> listen;
  io::TlsFiles tls;
  /// Where /metrics is answered.
  std::vector<io::StreamAddress> metrics_listen;
  Seconds reconcile_grace{10};
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
/// Of the file at `path`, be it this program's or portoland's, section [nat64].
[[nodiscard]] auto load_nat64(const std::filesystem::path& path)
    -> std::expected<gateway::Nat64Settings, std::vector<std::string>>;

/// Reads the file at `path` likewise.
[[nodiscard]] auto load_settings(const std::filesystem::path& path, const Settings* running = nullptr)
    -> std::expected<Settings, std::vector<std::string>>;

}  // namespace portolan::nat64
