// SPDX-License-Identifier: BSD-2-Clause
//
// What a NAT64 on this host has counted, gathered for metrics.
#pragma once

#include <functional>

#include "control/metrics/nat64_metrics.h"
#include "gateway/nat64_gateway.h"

namespace portolan::gateway {

/// Hands what `gateway` has counted to `take`, on the loop's thread, now or later; never if the gateway goes
/// before. Cost O(addresses of the pool), at most control::pool_addresses_max.
void gather_metrics(Nat64Gateway& gateway, std::function<void(control::Nat64Metrics)> take);

}  // namespace portolan::gateway
