// SPDX-License-Identifier: BSD-2-Clause
//
// The NAT64 as a device: `device = "nat64"`. Translates in threads of its own; batches of the server go
// to the first of them, and their results come back to the caller's.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/random.h"
#include "device/device.h"
#include "device/inventory.h"
#include "device/nat64/event_queue.h"
#include "device/nat64/packet_link.h"
#include "device/nat64/workers.h"
#include "device/pool_use.h"
#include "nat/config.h"
#include "nat/view.h"

namespace portolan::device {

/// What is counted of the pool.
[[nodiscard]] auto pool_use_of(const nat::Counters& counters) -> std::vector<PoolUse>;

class Nat64Device final : public Device {
 public:
  /// Batches not answered yet; each beyond them is refused with no_resources, in its turn.
  static constexpr std::size_t batches_max = 1024;

  /// Starts translating what `links` bring, one worker each (Workers). `config` has passed nat::check().
  /// `clock` is called on the workers' threads; `post` runs a function later on the thread that calls
  /// apply(), where completions come. With `awaits_reconciliation` packets wait until reconciled(), so that
  /// nobody's traffic gets a port that was promised. Throws std::bad_alloc, std::system_error.
  Nat64Device(std::vector<std::unique_ptr<PacketLink>> links, std::unique_ptr<Random> random,
              std::function<TimePoint()> clock, const nat::Config& config, Completion completion,
              std::function<void(std::function<void()>)> post, EventHandler events = {},
              bool awaits_reconciliation = false);
  /// Stops translating. Batches without an answer get none.
  ~Nat64Device() override;
  Nat64Device(const Nat64Device&) = delete;
  auto operator=(const Nat64Device&) -> Nat64Device& = delete;

  void apply(BatchId batch, std::vector<Operation> operations) override;
  void reconciled() override { workers_.open(); }

  /// Changes the external addresses after the batches applied so far; explicit mappings at addresses that
  /// are gone move or are lost, and the event handler is told in one call. `pool` is as in a nat::Config
  /// that passes nat::check().
  void set_pool(std::vector<nat::PoolRange> pool);

  /// Where a walk over the device's tables goes on; the default is where one begins.
  struct Cursor {
    std::uint32_t table = 0;
    std::uint32_t place = 0;
    bool is_end = false;
  };
  /// Takes part of a walk, which may be empty, and where it goes on.
  template <typename Part>
  using Take = std::function<void(Part, Cursor)>;
  struct InventoryPart {
    std::vector<MappingRecord> mappings;
    std::vector<PeerRecord> peers;
    std::vector<PutProfile> profiles;
  };

  /// What the server wants of the device, after the batches applied so far, profiles first. A call answers
  /// with a part, by `take`, on the thread that called; who wants more calls again. What is there throughout
  /// a walk is in one part exactly.
  void inventory(Cursor from, Take<InventoryPart> take);
  /// The same for rows of the tables.
  void bindings(const nat::RowFilter& filter, Cursor from, Take<std::vector<nat::BindingRow>> take);
  void sessions(const nat::RowFilter& filter, Cursor from, Take<std::vector<nat::SessionRow>> take);
  void hosts(const nat::RowFilter& filter, Cursor from, Take<std::vector<nat::HostRow>> take);
  void pools(const nat::RowFilter& filter, Cursor from, Take<std::vector<nat::PoolRow>> take);
  void profiles(const nat::RowFilter& filter, Cursor from, Take<std::vector<nat::ProfileRow>> take);
  /// What would become of a packet.
  void trace(const nat::TraceQuery& query, std::function<void(nat::TraceResult)> take);
  /// Whether flows from inside may have external ports of their own, after the batches applied so far; they
  /// may at first (nat::Nat64::allow_implicit()).
  void allow_implicit(bool is_allowed);

  /// What is told of bindings, sessions and blocks from now on; at first nothing but exhaustion.
  void set_event_rules(nat::EventRules rules);
  /// Where it arrives.
  [[nodiscard]] auto events() -> EventQueue& { return events_; }

  /// What has been counted. Thread: any.
  [[nodiscard]] auto counters() const -> WorkerCounters { return workers_.counters(); }
  [[nodiscard]] auto workers() -> Workers& { return workers_; }

 private:
  /// Lives as long as answers may be on their way; they find out whether the device does.
  struct Answers {
    Completion completion;
    EventHandler events;
    std::size_t outstanding = 0;
    bool is_device_gone = false;
  };

  template <typename Row>
  void view(const nat::RowFilter& filter, Cursor from, Take<std::vector<Row>> take);

  std::shared_ptr<Answers> answers_;
  std::function<void(std::function<void()>)> post_;
  EventQueue events_;  // before the workers, which write to it
  Workers workers_;
};

}  // namespace portolan::device
