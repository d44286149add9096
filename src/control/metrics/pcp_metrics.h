// SPDX-License-Identifier: BSD-2-Clause
//
// What a PCP server counts, as metrics. Names and labels are what dashboards and alerts go by: they stay.
// Nothing here grows with the number of mappings or users.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/histogram.h"
#include "control/metrics/exposition.h"
#include "device/operation_counts.h"
#include "device/pool_use.h"
#include "server/counters.h"
#include "server/management.h"

namespace portolan::control {

/// What the engine does not count: present numbers, and what happens around it.
struct PcpSurroundings {
  server::Gauges gauges{};
  /// Since the epoch began; none where each user has one of its own.
  std::optional<std::uint32_t> epoch_s{};
  /// Datagrams that never got to the engine.
  std::uint64_t dropped_not_inside = 0;
  std::uint64_t dropped_not_unicast = 0;
  std::uint64_t dropped_wrong_inside = 0;
  /// Answers, updates and announcements that the kernel did not take.
  std::uint64_t unsent = 0;
  /// Datagrams decided together.
  SizeHistogram batch_requests{};
};

void append_pcp(const server::Counters& counters, const PcpSurroundings& surroundings, Exposition& out);

/// A device, by its name in the configuration.
struct DeviceMetrics {
  std::string device{};
  device::OperationCounters operations{};
  bool is_in_reach = true;
  std::vector<device::PoolUse> pool{};
};
/// All of them, in one call: a family has its samples together.
void append_devices(const std::vector<DeviceMetrics>& devices, Exposition& out);

/// The kernel's tables of a NAT44 or firewall.
struct TableMetrics {
  std::string device{};
  std::uint64_t repairs = 0;
  std::uint64_t failed_repairs = 0;
};
void append_tables(const std::vector<TableMetrics>& tables, Exposition& out);

}  // namespace portolan::control
