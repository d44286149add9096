// SPDX-License-Identifier: BSD-2-Clause
//
// Where the server is and how it is reached: from the command line, the environment, or a file, in this
// order.
#pragma once

#include <expected>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "base/time.h"
#include "io/http_client.h"
#include "portolanctl/command_line.h"

namespace portolan::ctl {

inline constexpr const char* default_server = "unix:/run/portolan/management.sock";

struct Settings {
  std::string server = default_server;
  std::filesystem::path token_file{};
  std::filesystem::path ca{};
  Seconds timeout{30};
};

/// A variable of the environment; none if it is not set, or empty.
using Environment = std::function<std::optional<std::string>(const char* name)>;

/// Files that are read if they are there, what the first has counts: the user's, the host's.
[[nodiscard]] auto settings_files(const Environment& environment) -> std::vector<std::filesystem::path>;

/// Errors  text that names file and line, variable or option
[[nodiscard]] auto read_settings(const Arguments& given, const Environment& environment)
    -> std::expected<Settings, std::string>;

/// The server that the settings name, its addresses looked up and files read.
[[nodiscard]] auto server_of(const Settings& settings) -> std::expected<io::HttpServer, std::string>;

/// Where the shell keeps its history; empty if this user has no home.
[[nodiscard]] auto history_file(const Environment& environment) -> std::filesystem::path;

}  // namespace portolan::ctl
