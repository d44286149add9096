// SPDX-License-Identifier: BSD-2-Clause
//
// Several devices as one: each operation goes to the device that serves its internal address and gives
// external addresses of its family. A home router has a NAT44, a firewall for IPv6 and a NAT64 at once.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "base/address.h"
#include "device/device.h"

namespace portolan::device {

/// What a device is for.
struct Served {
  Family internal_family = Family::ipv6;
  Family external_family = Family::ipv4;
  /// The internal addresses; empty: all of the family.
  std::vector<Prefix> inside{};
  /// Whether it carries out PutProfile. At most one of several does.
  bool keeps_profiles = false;

  [[nodiscard]] auto contains(const MappingKey& key) const -> bool;
};

/// A batch is split among the devices that it concerns, and answered when all of them have. Batches of
/// apply() are answered in order, so one that is slow holds up what was applied after it; one that is out of
/// reach does not: what is for it is answered with unreachable at once.
///
/// What no device serves is refused: with unsupported_protocol if none gives such hosts external addresses of
/// that family, else with not_inside. Removing it succeeds, for it is not there. Profiles are the one's that
/// keeps them.
///
/// Inventories come from each device apart (Inventory::is_about), when it is there (again): one after the
/// other, each when the one before is reconciled. What no device serves is part of each, so that the server
/// ends what was promised by a device that is no longer configured.
class SeveralDevices final : public Device {
 public:
  struct Handlers {
    Completion completion;
    EventHandler events;
    InventoryHandler inventory;
    /// Runs a function later on the caller's thread.
    std::function<void(std::function<void()>)> post;
  };
  /// What a device is made with, to be one of these. A device that has no inventory to tell, because it
  /// begins with this process, has `inventory` called with an empty one when it is ready.
  struct Place {
    std::size_t number = 0;
    Completion completion;
    EventHandler events;
    InventoryHandler inventory;
  };

  explicit SeveralDevices(Handlers handlers);
  ~SeveralDevices() override;
  SeveralDevices(const SeveralDevices&) = delete;
  auto operator=(const SeveralDevices&) -> SeveralDevices& = delete;

  /// A place for one more device, before anything is applied. Of those that serve a mapping the first has it.
  [[nodiscard]] auto add(Served served) -> Place;
  /// Puts it there. `is_in_reach` says whether it can carry out batches now; empty: always.
  void put(std::size_t place, std::unique_ptr<Device> device, std::function<bool()> is_in_reach = {});

  /// The place of the device that has `key`.
  [[nodiscard]] auto place_of(const MappingKey& key) const -> std::optional<std::size_t>;
  /// How that one stands; there, if there is none.
  [[nodiscard]] auto standing_of(const MappingKey& key) const -> Standing;

  void apply(BatchId batch, std::vector<Operation> operations) override;
  void reconcile(BatchId batch, std::vector<Operation> operations) override;
  void reconciled() override;

 private:
  /// What a part says besides answers to batches of apply(): of reconcile() it has answered one.
  using Told = std::variant<std::vector<Event>, Inventory, BatchId>;
  struct Later {
    std::size_t part = 0;
    Told told;
  };
  struct Part {
    Served served;
    std::unique_ptr<Device> device;
    std::function<bool()> is_in_reach;
    /// Parts of its inventory that wait until the server is done with another's.
    std::deque<Inventory> inventories;
    /// First parts that it has told and the server does not have: in `inventories`, or behind answers.
    std::size_t firsts_to_come = 0;

    [[nodiscard]] auto is_there() const -> bool { return !is_in_reach || is_in_reach(); }
  };
  /// Which of a batch's operations a part has, by their places.
  struct Share {
    std::size_t part = 0;
    std::vector<std::size_t> operations;
    bool is_answered = false;
  };
  struct Batch {
    BatchId id;
    std::vector<Result> results;
    std::vector<Share> shares;
    /// What parts told after they answered it, while others had not.
    std::vector<Later> then;

    [[nodiscard]] auto is_answered() const -> bool;
    [[nodiscard]] auto share_of(std::size_t part) -> Share*;
  };
  using Batches = std::deque<Batch>;
  using Carry = void (Device::*)(BatchId, std::vector<Operation>);

  /// The part that has `operation`; none if no part has, and then it has this result.
  [[nodiscard]] auto part_of(const Operation& operation, Result& otherwise) const
      -> std::optional<std::size_t>;
  [[nodiscard]] auto refusal_of(const MappingKey& key) const -> Refusal;
  void split(Batches& batches, BatchId id, std::vector<Operation> operations, Carry carry);
  void answered(std::size_t part, BatchId id, std::vector<Result> results);
  /// Answers what is complete, in order.
  void tell_answers(Batches& batches);
  void tell_answers();
  /// What a part says comes after the answers it gave before.
  void tell(std::size_t part, Told told);
  void pass_on(Later later);
  /// Hands over inventories, if the server may have them.
  void tell_inventories();
  /// Whether the server has begun with the inventory of `reconciling_`; what it says before is about one that
  /// is lost, or began anew.
  [[nodiscard]] auto has_begun() const -> bool;
  /// The server will not finish the reconciliation that it is at.
  [[nodiscard]] auto is_reconciliation_over() const -> bool;
  void call_later(void (SeveralDevices::*function)());

  Handlers handlers_;
  std::vector<Part> parts_;
  Batches applied_;
  Batches reconciling_batches_;
  /// Whose inventory the server has, and has not reconciled.
  std::optional<std::size_t> reconciling_;
  /// That one went out of reach meanwhile.
  bool is_aborted_ = false;
  /// What is posted finds out whether this still exists.
  std::shared_ptr<bool> exists_ = std::make_shared<bool>(true);
};

}  // namespace portolan::device
