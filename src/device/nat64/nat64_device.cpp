// SPDX-License-Identifier: BSD-2-Clause
#include "device/nat64/nat64_device.h"

#include <utility>

#include "device/nat64/operations.h"

namespace portolan::device {

Nat64Device::Nat64Device(std::vector<std::unique_ptr<PacketLink>> links, std::unique_ptr<Random> random,
                         std::function<TimePoint()> clock, const nat::Config& config, Completion completion,
                         std::function<void(std::function<void()>)> post, EventHandler events,
                         bool awaits_reconciliation)
    : answers_(std::make_shared<Answers>()),
      post_(std::move(post)),
      workers_(config, std::move(links), std::move(random), std::move(clock), !awaits_reconciliation) {
  answers_->completion = std::move(completion);
  answers_->events = std::move(events);
  set_event_rules({});
}

Nat64Device::~Nat64Device() { answers_->is_device_gone = true; }

void Nat64Device::apply(BatchId batch, std::vector<Operation> operations) {
  // Only this thread, the one answers come to, looks into *answers_; the workers just carries it.
  const bool is_refused = answers_->outstanding >= batches_max;
  ++answers_->outstanding;
  workers_.submit([answers = answers_, post = post_, batch, is_refused, operations = std::move(operations)](
                      TimePoint now, nat::Nat64& nat64) {
    std::vector<Result> results =
        is_refused ? std::vector<Result>(operations.size(), std::unexpected(Refusal::no_resources))
                   : device::apply(nat64, now, operations);
    post([answers, batch, results = std::move(results)]() mutable {
      if (answers->is_device_gone) return;
      --answers->outstanding;
      answers->completion(batch, std::move(results));
    });
  });
}

void Nat64Device::set_pool(std::vector<nat::PoolRange> pool) {
  workers_.submit(
      [answers = answers_, post = post_, pool = std::move(pool)](TimePoint now, nat::Nat64& nat64) {
        std::vector<Event> events;
        for (const nat::PoolChange& change : nat64.set_pool(now, pool)) events.push_back(event_of(change));
        if (events.empty()) return;
        post([answers, events = std::move(events)]() mutable {
          if (!answers->is_device_gone && answers->events) answers->events(std::move(events));
        });
      });
}

}  // namespace portolan::device
