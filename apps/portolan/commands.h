// SPDX-License-Identifier: BSD-2-Clause
//
// The commands. Each returns the exit status.
#pragma once

#include "portolan/options.h"

namespace portolan {

auto run_map(const MapCommand& command) -> int;
auto run_announce(const AnnounceCommand& command) -> int;
auto run_discover(const DiscoverCommand& command) -> int;
auto run_decode(const DecodeCommand& command) -> int;
auto run_send(const SendCommand& command) -> int;

}  // namespace portolan
