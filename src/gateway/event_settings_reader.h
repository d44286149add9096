// SPDX-License-Identifier: BSD-2-Clause
//
// Reading what section [nat64] says of the event log.
#pragma once

#include "gateway/config_reader.h"
#include "gateway/nat64_settings.h"

namespace portolan::gateway {

/// Reads `events`, `event_log`, `event_destinations` and [[nat64.events_of]]; mistakes go to `reader`.
void read_events(Reader& reader, const toml::table& nat64, EventSettings& events);

}  // namespace portolan::gateway
