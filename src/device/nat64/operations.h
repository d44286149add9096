// SPDX-License-Identifier: BSD-2-Clause
//
// The server's operations in the words of the NAT64 engine.
#pragma once

#include <span>
#include <vector>

#include "device/device.h"
#include "nat/nat64.h"

namespace portolan::device {

/// Carries `operations` out on `nat64` as device.h says.
[[nodiscard]] auto apply(nat::Nat64& nat64, TimePoint now, std::span<const Operation> operations)
    -> std::vector<Result>;

/// What the server is told of a change that a new pool brought.
[[nodiscard]] auto event_of(const nat::PoolChange& change) -> Event;

}  // namespace portolan::device
