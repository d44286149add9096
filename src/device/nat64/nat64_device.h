// SPDX-License-Identifier: BSD-2-Clause
//
// The NAT64 as a device: `device = "nat64"`. Translates in a thread of its own; batches of the server go
// to that thread, and their results come back to the caller's.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/random.h"
#include "device/device.h"
#include "device/nat64/packet_link.h"
#include "device/nat64/worker.h"
#include "nat/config.h"

namespace portolan::device {

class Nat64Device final : public Device {
 public:
  /// Batches not answered yet; each beyond them is refused with no_resources, in its turn.
  static constexpr std::size_t batches_max = 1024;

  /// Starts translating what `link` brings. `config` has passed nat::check(). `clock` is called on the
  /// worker's thread; `post` runs a function later on the thread that calls apply(), where completions
  /// come. With `awaits_reconciliation` packets wait until
  /// reconciled(), so that nobody's traffic gets a port that was promised. Throws std::bad_alloc,
  /// std::system_error.
  Nat64Device(std::unique_ptr<PacketLink> link, std::unique_ptr<Random> random,
              std::function<TimePoint()> clock, const nat::Config& config, Completion completion,
              std::function<void(std::function<void()>)> post, EventHandler events = {},
              bool awaits_reconciliation = false);
  /// Stops translating. Batches without an answer get none.
  ~Nat64Device() override;
  Nat64Device(const Nat64Device&) = delete;
  auto operator=(const Nat64Device&) -> Nat64Device& = delete;

  void apply(BatchId batch, std::vector<Operation> operations) override;
  void reconciled() override { worker_.open(); }

  /// Changes the external addresses after the batches applied so far; explicit mappings at addresses that
  /// are gone move or are lost, and the event handler is told in one call. `pool` is as in a nat::Config
  /// that passes nat::check().
  void set_pool(std::vector<Ipv4Address> pool);

  /// What has been counted. Thread: any.
  [[nodiscard]] auto counters() const -> WorkerCounters { return worker_.counters(); }
  [[nodiscard]] auto worker() -> Worker& { return worker_; }

 private:
  /// Lives as long as answers may be on their way; they find out whether the device does.
  struct Answers {
    Completion completion;
    EventHandler events;
    std::size_t outstanding = 0;
    bool is_device_gone = false;
  };

  std::shared_ptr<Answers> answers_;
  std::function<void(std::function<void()>)> post_;
  Worker worker_;
};

}  // namespace portolan::device
