// SPDX-License-Identifier: BSD-2-Clause
#include "device/simulated/simulated_device.h"

#include <utility>

namespace portolan::device {

SimulatedDevice::SimulatedDevice(SimulatedConfig config, Completion completion,
                                 std::function<TimePoint()> now,
                                 std::function<void(std::function<void()>)> post, EventHandler events)
    : nat_(std::move(config)),
      completion_(std::move(completion)),
      now_(std::move(now)),
      post_(std::move(post)),
      events_(std::move(events)) {}

void SimulatedDevice::apply(BatchId batch, std::vector<Operation> operations) {
  std::vector<Result> results;
  results.reserve(operations.size());
  for (const Operation& operation : operations) results.push_back(nat_.apply(now_(), operation));
  post_([this, batch, results = std::move(results)]() mutable { completion_(batch, std::move(results)); });
}

void SimulatedDevice::set_pool(std::vector<IpAddress> pool) {
  std::vector<Event> events = nat_.set_pool(now_(), std::move(pool));
  if (events.empty() || !events_) return;
  post_([this, events = std::move(events)]() mutable { events_(std::move(events)); });
}

}  // namespace portolan::device
