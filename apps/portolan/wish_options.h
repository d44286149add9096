// SPDX-License-Identifier: BSD-2-Clause
//
// The command line of `portolan map` and `portolan peer`.
#pragma once

#include "portolan/options.h"

namespace CLI {  // NOLINT(readability-identifier-naming): the library's name.
class App;
}

namespace portolan {

/// Adds the options of `map`; they fill `command` while they are parsed.
void add_map(CLI::App& app, MapCommand& command);
void add_peer(CLI::App& app, MapCommand& command);
/// Mistakes that take two arguments to make. Throws CLI::ValidationError
void check_combination(const MapCommand& command);

}  // namespace portolan
