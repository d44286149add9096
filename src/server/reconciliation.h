// SPDX-License-Identifier: BSD-2-Clause
//
// Bringing a device that is there (again) to what the server promised: what is to be repaired, and what is
// under way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <vector>

#include <boost/unordered/unordered_flat_set.hpp>

#include "base/contract.h"
#include "device/device.h"
#include "server/contracts.h"

namespace portolan::server {

/// Operations of one batch of repairs, and how many batches are with the device.
constexpr std::size_t repairs_per_batch_max = 256;
constexpr std::size_t repair_batches_max = 4;
/// Contracts looked at by one call; more follow in the next.
constexpr std::size_t repair_looks_max = 4096;

/// One thing the device has not as promised.
struct Repair {
  enum class Kind : std::uint8_t {
    remove,   ///< nobody owns it
    restore,  ///< as promised, or not at all
    move,     ///< anywhere: what was promised is not to be had
  };
  Kind kind = Kind::restore;
  ContractKey key;
  std::uint16_t port_count = 1;
  /// Of its contract, if that was come by in the table.
  ContractTable::Place place = 0;
  /// No request about them begins meanwhile. An operation that was under way before has them already.
  bool holds_keys = false;
  /// Where the device has it, if elsewhere.
  std::optional<Endpoint> held_at{};
  /// The last of its operations in the batch.
  std::size_t operation = 0;
};

using KeySet = boost::unordered_flat_set<MappingKey, MappingKeyHash>;

struct Reconciliation {
  /// Contracts confirmed in it are as promised.
  std::uint32_t round = 0;
  /// Of operations under way when it began: they are carried out when the device is reconciled, if they were
  /// not before.
  KeySet keys_before;
  /// Which mappings, if not all: the device is made of several, and one of them is there (again).
  std::function<bool(const MappingKey&)> is_about{};
  bool is_about_profiles = true;
  bool is_inventory_complete = false;
  /// The device was out of reach again: what is under way is waited for.
  bool is_aborted = false;
  /// Where the walk through the contracts is: first through mappings, then through what PEER keeps.
  ContractTable::Place cursor = 0;
  bool is_at_peers = false;
  /// Found, but not under way.
  std::deque<Repair> waiting{};
  /// What moves: after all else, so that it takes no place that was promised to another.
  std::deque<Repair> moving{};
  /// The same, as long as an operation that began later, or another repair, has their keys.
  std::vector<Repair> blocked{};
  struct Outstanding {
    device::BatchId id;
    std::vector<Repair> repairs;
  };
  std::vector<Outstanding> outstanding{};

  [[nodiscard]] auto covers(const MappingKey& key) const -> bool { return !is_about || is_about(key); }
};

/// Makes `contract` at the device what it was, wherever its owner may have ports by now.
void append_restoring(TimePoint now, const Contract& contract, std::vector<device::Operation>& operations);

}  // namespace portolan::server
