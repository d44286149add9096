// SPDX-License-Identifier: BSD-2-Clause
//
// A gateway's pool among its counters, by which a server learns how much of it is left.
#pragma once

#include <vector>

#include "control/messages.h"
#include "device/pool_use.h"

namespace portolan::control {

/// As counters: "pool_ports_udp", "pool_ports_taken_udp" and so on.
void append_pool(const std::vector<device::PoolUse>& pool, std::vector<Counter>& counters);
/// As append_pool() wrote it; protocols that a gateway says nothing of are not there.
[[nodiscard]] auto pool_of(const std::vector<Counter>& counters) -> std::vector<device::PoolUse>;

}  // namespace portolan::control
