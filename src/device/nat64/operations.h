// SPDX-License-Identifier: BSD-2-Clause
//
// The server's operations in the words of the NAT64 engine.
#pragma once

#include "device/device.h"
#include "nat/nat64.h"

namespace portolan::device {

/// Carries `operation` out on `nat64` as device.h says.
[[nodiscard]] auto apply(nat::Nat64& nat64, TimePoint now, const Operation& operation) -> Result;

/// What the server is told of a change that a new pool brought.
[[nodiscard]] auto event_of(const nat::PoolChange& change) -> Event;

}  // namespace portolan::device
