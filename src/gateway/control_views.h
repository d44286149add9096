// SPDX-License-Identifier: BSD-2-Clause
//
// What the engine counts and finds, in the words of the control protocol.
#pragma once

#include <vector>

#include "control/messages.h"
#include "device/nat64/nat64_device.h"

namespace portolan::gateway {

/// Every counter with its name, as in metrics.
[[nodiscard]] auto counters_of(const device::WorkerCounters& counters) -> std::vector<control::Counter>;
/// A trace with its steps told.
[[nodiscard]] auto trace_of(const control::TraceQuery& query, const nat::TraceResult& result)
    -> control::Trace;

}  // namespace portolan::gateway
