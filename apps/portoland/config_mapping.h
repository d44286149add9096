// SPDX-License-Identifier: BSD-2-Clause
//
// Tables mapping: what the operator maps for hosts.
#pragma once

#include "gateway/config_reader.h"
#include "portoland/config.h"

namespace portolan::portoland::detail {

using gateway::Reader;

/// To be read after the tables of devices: a mapping must be one that the device can have.
void read_mappings(Reader& reader, const toml::table& root, Settings& settings);

}  // namespace portolan::portoland::detail
