// SPDX-License-Identifier: BSD-2-Clause
//
// SimulatedNat as a device: `device = "simulated"` answers requests and forwards nothing.
#pragma once

#include <functional>

#include "device/device.h"
#include "device/simulated/simulated_nat.h"

namespace portolan::device {

class SimulatedDevice final : public Device {
 public:
  /// `now` reads the monotonic clock; `post` runs a function later on the caller's thread.
  SimulatedDevice(SimulatedConfig config, Completion completion, std::function<TimePoint()> now,
                  std::function<void(std::function<void()>)> post, EventHandler events = {});

  void apply(BatchId batch, std::vector<Operation> operations) override;
  /// Changes the external addresses; the event handler is told later what that did to mappings.
  void set_pool(std::vector<IpAddress> pool);
  [[nodiscard]] auto pool_use() const -> std::vector<PoolUse> { return nat_.pool_use(now_()); }

 private:
  SimulatedNat nat_;
  Completion completion_;
  std::function<TimePoint()> now_;
  std::function<void(std::function<void()>)> post_;
  EventHandler events_;
};

}  // namespace portolan::device
