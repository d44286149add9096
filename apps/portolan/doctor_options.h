// SPDX-License-Identifier: BSD-2-Clause
//
// The command line of `portolan doctor`.
#pragma once

#include <string>

#include "portolan/options.h"

namespace CLI {  // NOLINT(readability-identifier-naming): the library's name.
class App;
}

namespace portolan {

/// Adds the options of `doctor`; they fill `command` while they are parsed.
void add_doctor(CLI::App& app, DoctorCommand& command);
/// Mistakes that take two arguments to make. Throws CLI::ValidationError
void check_combination(const DoctorCommand& command);

/// "viewer.example:7000", "192.0.2.10:7000", "[2001:db8::10]:7000". Throws CLI::ValidationError
[[nodiscard]] auto parse_host_and_port(const std::string& argument, const std::string& text) -> HostAndPort;

}  // namespace portolan
