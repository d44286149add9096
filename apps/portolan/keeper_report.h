// SPDX-License-Identifier: BSD-2-Clause
//
// What happens to kept mappings, as lines for a person.
#pragma once

#include <string>

#include "client/client.h"

namespace portolan {

/// One line without end; empty if the event is no news to a person. `name` is the mapping's, as key_of()
/// gives it; of one that is dropped nothing is asked for again.
[[nodiscard]] auto event_line(const std::string& name, const client::ClientEvent& event, bool is_dropped)
    -> std::string;

/// "[2001:db8::7]:80 is reachable at 192.0.2.14:40000", or where it reaches its peer from.
[[nodiscard]] auto place_text(const client::Mapping& mapping) -> std::string;

/// Whether the event changes what is held.
[[nodiscard]] auto changes_mapping(const client::Event& event) -> bool;

}  // namespace portolan
