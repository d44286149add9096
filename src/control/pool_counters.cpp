// SPDX-License-Identifier: BSD-2-Clause
#include "control/pool_counters.h"

#include <algorithm>
#include <string>

#include <fmt/format.h>

namespace portolan::control {
namespace {

auto ports_name(Protocol protocol) -> std::string { return fmt::format("pool_ports_{}", protocol); }
auto taken_name(Protocol protocol) -> std::string { return fmt::format("pool_ports_taken_{}", protocol); }

}  // namespace

void append_pool(const std::vector<device::PoolUse>& pool, std::vector<Counter>& counters) {
  for (const device::PoolUse& use : pool) {
    counters.push_back({.name = ports_name(use.protocol), .value = use.ports});
    counters.push_back({.name = taken_name(use.protocol), .value = use.taken});
  }
}

auto pool_of(const std::vector<Counter>& counters) -> std::vector<device::PoolUse> {
  std::vector<device::PoolUse> pool;
  for (const Protocol protocol : {Protocol::tcp, Protocol::udp, Protocol::icmp}) {
    const auto ports = std::ranges::find(counters, ports_name(protocol), &Counter::name);
    const auto taken = std::ranges::find(counters, taken_name(protocol), &Counter::name);
    if (ports != counters.end() && taken != counters.end())
      pool.push_back({.protocol = protocol, .ports = ports->value, .taken = taken->value});
  }
  return pool;
}

}  // namespace portolan::control
