// SPDX-License-Identifier: BSD-2-Clause
//
// What a NAT64 counts, as metrics: the same in portoland and portolan-nat64. Nothing here grows with the
// number of bindings, sessions or subscribers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "control/metrics/exposition.h"
#include "device/nat64/workers.h"
#include "nat/config.h"
#include "nat/view.h"

namespace portolan::control {

/// Addresses that have samples of their own; of larger pools none has.
inline constexpr std::size_t pool_addresses_max = 256;

struct Nat64Metrics {
  device::WorkerCounters workers{};
  nat::Limits limits{};
  std::uint64_t pool_addresses = 0;
  /// All of them; none if there are more than pool_addresses_max.
  std::vector<nat::PoolRow> pool{};
};

void append_nat64(const Nat64Metrics& metrics, Exposition& out);

/// How a gateway stands with the server that drives it.
struct ControlMetrics {
  bool is_driven = false;
  bool awaits_reconciliation = false;
  std::size_t connections = 0;
};
void append_control(const ControlMetrics& metrics, Exposition& out);

}  // namespace portolan::control
