// SPDX-License-Identifier: BSD-2-Clause
#include "gateway/nat64_metrics.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <numeric>
#include <utility>

namespace portolan::gateway {
namespace {

struct Gathering {
  device::Nat64Device& device;
  control::Nat64Metrics metrics;
  std::function<void(control::Nat64Metrics)> take;
};

/// Part by part, between packets.
void gather_pool(const std::shared_ptr<Gathering>& gathering, device::Nat64Device::Cursor from) {
  gathering->device.pools(
      {}, from, [gathering](const std::vector<nat::PoolRow>& rows, device::Nat64Device::Cursor next) {
        std::ranges::copy(rows, std::back_inserter(gathering->metrics.pool));
        if (next.is_end)
          gathering->take(std::move(gathering->metrics));
        else
          gather_pool(gathering, next);
      });
}

}  // namespace

void gather_metrics(Nat64Gateway& gateway, std::function<void(control::Nat64Metrics)> take) {
  const std::vector<nat::PoolRange> pool = gateway.pool();
  const std::uint64_t addresses =
      std::accumulate(pool.begin(), pool.end(), std::uint64_t{0},
                      [](std::uint64_t sum, const nat::PoolRange& range) { return sum + range.size(); });
  control::Nat64Metrics metrics{.workers = gateway.device().counters(),
                                .limits = gateway.settings().limits,
                                .pool_addresses = addresses,
                                .pool = {}};
  if (addresses == 0 || addresses > control::pool_addresses_max) return take(std::move(metrics));
  gather_pool(std::make_shared<Gathering>(gateway.device(), std::move(metrics), std::move(take)), {});
}

}  // namespace portolan::gateway
