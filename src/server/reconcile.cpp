// SPDX-License-Identifier: BSD-2-Clause
//
// The device is there (again): brings it to what was promised. What it has is compared as its inventory comes
// in; then the contracts that were not in it are gone through. Profiles come first, so that what is restored
// is counted for the right subscribers; what has to find another place comes last, so that it takes nobody's.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "server/server.h"

namespace portolan::server {
namespace {

/// Device and server round lifetimes and count from moments that differ by the way in between.
constexpr Seconds lifetime_slack{2};

auto sorted(std::vector<RemoteFilter> filters) -> std::vector<RemoteFilter> {
  std::ranges::sort(filters);
  return filters;
}

auto is_as_promised(TimePoint now, const device::MappingRecord& held, const Contract& contract) -> bool {
  const Seconds promised = remaining_life(contract, now);
  return held.remaining + lifetime_slack >= promised && held.remaining <= promised + lifetime_slack &&
         held.port_count == contract.port_count && held.is_bound_to_address == contract.prefer_failure &&
         held.preserve_parity == contract.preserve_parity &&
         sorted(held.filters) == sorted(contract.filters());
}

/// A tuple may live longer (RFC 6887 s12.3).
auto is_as_promised(TimePoint now, const device::PeerRecord& held, const Contract& contract) -> bool {
  return held.remaining + lifetime_slack >= remaining_life(contract, now);
}

}  // namespace

void Server::connected(TimePoint now, const device::Inventory& inventory) {
  if (inventory.is_first) {
    PORTOLAN_CHECK(!reconciliation_ || reconciliation_->outstanding.empty());
    PORTOLAN_CHECK(profile_repairs() == 0);
    if (reconciliation_) {
      const auto unfinished = take_unfinished();
      reconciliation_.reset();
      release_repairs(now, unfinished);
    }
    if (inventory.is_about_profiles) {
      device_profiles_.begin();
      for (ProfileBatch& batch : profile_batches_) batch.is_before_inventory = true;
    }
    reconciliation_ = Reconciliation{.round = ++last_round_,
                                     .keys_before = KeySet(0, in_flight_.hash_function()),
                                     .is_about = inventory.is_about,
                                     .is_about_profiles = inventory.is_about_profiles};
    for (const auto& [key, waiting] : in_flight_) reconciliation_->keys_before.insert(key);
  }
  if (!reconciliation_ || reconciliation_->is_aborted) return;
  for (const device::PutProfile& held : inventory.profiles) device_profiles_.has(held);
  const bool has_told_profiles = !inventory.mappings.empty() || !inventory.peers.empty() || inventory.is_last;
  if (reconciliation_->is_about_profiles && has_told_profiles) device_profiles_.knows_all();
  for (const device::MappingRecord& held : inventory.mappings)
    compare(now, {.mapping = held.key, .remote_peer = {}}, {held.external_address, held.external_port},
            held.port_count, [&](const Contract& contract) { return is_as_promised(now, held, contract); });
  for (const device::PeerRecord& held : inventory.peers)
    compare(now, {.mapping = held.key, .remote_peer = held.remote_peer},
            {held.external_address, held.external_port}, 1,
            [&](const Contract& contract) { return is_as_promised(now, held, contract); });
  reconciliation_->is_inventory_complete = inventory.is_last;
  reconcile(now);
  commit_if_possible(now);
}

auto Server::awaits_reconciliation(const MappingKey& key) const -> bool {
  switch (standing_of_ ? standing_of_(key) : device::Standing::there) {
    case device::Standing::awaits_reconciliation: return true;
    // What was begun with it ends with its next inventory, which may never come.
    case device::Standing::out_of_reach: return false;
    case device::Standing::there: break;
  }
  return is_reconciling(key);
}

/// Notes what is to be done about a thing that the device has.
template <typename IsRight>
void Server::compare(TimePoint now, const ContractKey& key, const Endpoint& external,
                     std::uint16_t port_count, IsRight is_right) {
  Repair repair{.key = key, .port_count = std::max<std::uint16_t>(port_count, 1)};
  const Contract* contract = contracts_.find(key);
  if (contract != nullptr && contract->expires > now) {
    contracts_.confirm(key, reconciliation_->round);
    const bool is_there = external == Endpoint{contract->external_address, contract->external_port};
    if (is_there && is_right(*contract)) return;
    if (!is_there) repair.held_at = external;
    repair.port_count = contract->port_count;
  } else if (is_owned(key, external)) {
    return;
  } else {
    repair.kind = Repair::Kind::remove;
  }
  reconciliation_->waiting.push_back(std::move(repair));
}

/// Although there is no contract: an undo has it, or the operator wants it just there. What a batch under way
/// made is not: nobody was told of it, it may be where something is that was promised, and the batch is
/// carried out again.
auto Server::is_owned(const ContractKey& key, const Endpoint& external) const -> bool {
  if (undo_ && in_flight_.contains(key.mapping) && std::ranges::find(undo_->keys, key) != undo_->keys.end())
    return true;
  const auto wanted = key.is_peer() ? statics_.end() : statics_.find(key.mapping);
  return wanted != statics_.end() &&
         external == Endpoint{wanted->second.mapping.external_address, wanted->second.mapping.external_port};
}

/// What is restored counts for the right subscribers only once their profiles are there.
auto Server::waits_for_profiles() const -> bool {
  return reconciliation_->is_about_profiles && device_profiles_.has_more();
}

auto Server::has_repairs() const -> bool {
  return reconciliation_ && !reconciliation_->is_aborted && !waits_for_profiles() &&
         reconciliation_->outstanding.size() + profile_repairs() < repair_batches_max &&
         (!reconciliation_->waiting.empty() ||
          (reconciliation_->is_inventory_complete &&
           (!reconciliation_->is_at_peers || contracts_.has_more(reconciliation_->cursor) ||
            !reconciliation_->moving.empty())));
}

void Server::submit_profiles() {
  const bool reconciles = reconciliation_ && reconciliation_->is_about_profiles;
  if (reconciles && reconciliation_->is_aborted) return;
  // Otherwise one at a time: the device has all of it soon enough, and may be out of reach.
  const auto has_room = [&] {
    return reconciles ? reconciliation_->outstanding.size() + profile_repairs() < repair_batches_max
                      : profile_batches_.empty();
  };
  while (device_profiles_.has_more() && has_room()) {
    auto operations = device_profiles_.take(repairs_per_batch_max);
    actions_.apply.push_back({.batch = {++last_batch_}, .operations = operations, .reconciles = reconciles});
    profile_batches_.push_back(
        {.id = {last_batch_}, .operations = std::move(operations), .reconciles = reconciles});
  }
}

void Server::profiles_applied(TimePoint now, std::size_t batch, std::span<const device::Result> results) {
  const ProfileBatch done = std::move(profile_batches_[batch]);
  profile_batches_.erase(profile_batches_.begin() + static_cast<std::ptrdiff_t>(batch));
  device_profiles_.applied(done.operations, results);
  for (const RefusedProfile& refused : device_profiles_.take_refused())
    if (!user_changes_.contains(refused.users)) actions_.refused_profiles.push_back(refused);
  const bool is_out_of_reach =
      !done.is_before_inventory && std::ranges::any_of(results, [](const device::Result& result) {
        return !result && result.error() == device::Refusal::unreachable;
      });
  if (reconciliation_ && done.reconciles && is_out_of_reach) {
    reconciliation_->is_aborted = true;
    release_repairs(now, take_unfinished());
  }
  // It tells anew what it has.
  if (is_out_of_reach) device_profiles_.begin();
  review_user_changes();
  if (reconciliation_)
    reconcile(now);
  else
    submit_profiles();
  commit_if_possible(now);
}

void Server::reconcile(TimePoint now) {
  if (!reconciliation_) return;
  review_user_changes();
  submit_profiles();
  std::size_t looks = repair_looks_max;
  while (has_repairs() && looks > 0) {
    Apply apply{.batch = {}, .operations = {}, .reconciles = true};
    std::vector<Repair> repairs;
    while (repairs.size() < repairs_per_batch_max) {
      auto repair = next_repair(now, looks);
      if (!repair) break;
      if (!take_keys(*repair)) {
        reconciliation_->blocked.push_back(*std::move(repair));
        continue;
      }
      append_operations(now, *repair, apply.operations);
      repairs.push_back(*std::move(repair));
    }
    if (repairs.empty()) continue;
    apply.batch = {++last_batch_};
    reconciliation_->outstanding.push_back({.id = apply.batch, .repairs = std::move(repairs)});
    actions_.apply.push_back(std::move(apply));
  }
  if (!reconciliation_->outstanding.empty() || profile_repairs() > 0) return;
  if (reconciliation_->is_aborted) return reconciliation_.reset();
  if (has_repairs() || waits_for_profiles() || !reconciliation_->blocked.empty() ||
      !reconciliation_->is_inventory_complete)
    return;
  actions_.reconciled = true;
  const Reconciliation done = *std::exchange(reconciliation_, std::nullopt);
  // Before new requests and hosts' own traffic, which are let in now, and could have their ports.
  submit_statics(now, [&](const MappingKey& key) { return done.covers(key); });
}

auto Server::take_unfinished() -> std::vector<Repair> {
  std::vector<Repair> unfinished;
  for (auto* const repairs : {&reconciliation_->waiting, &reconciliation_->moving}) {
    std::ranges::move(*repairs, std::back_inserter(unfinished));
    repairs->clear();
  }
  return unfinished;
}

auto Server::next_repair(TimePoint now, std::size_t& looks) -> std::optional<Repair> {
  auto& waiting = reconciliation_->waiting;
  if (!waiting.empty()) {
    Repair repair = std::move(waiting.front());
    waiting.pop_front();
    return repair;
  }
  if (!reconciliation_->is_inventory_complete) return {};
  for (;;) {
    while (const Contract* contract =
               contracts_.next_unconfirmed(reconciliation_->cursor, reconciliation_->round, looks))
      if (contract->expires > now && contract->key.is_peer() == reconciliation_->is_at_peers &&
          reconciliation_->covers(contract->key.mapping))
        return Repair{.key = contract->key,
                      .port_count = contract->port_count,
                      .place = contracts_.place_of(*contract)};
    if (contracts_.has_more(reconciliation_->cursor)) return {};
    if (reconciliation_->is_at_peers) break;
    // A tuple that came first would bind a port in the midst of a port set, which then ended before it.
    reconciliation_->is_at_peers = true;
    reconciliation_->cursor = 0;
  }
  auto& moving = reconciliation_->moving;
  if (moving.empty()) return {};
  Repair repair = std::move(moving.front());
  moving.pop_front();
  return repair;
}

auto Server::take_keys(Repair& repair) -> bool {
  if (repair.holds_keys) return true;
  bool is_busy = false;
  bool is_older = false;
  for_each_key(repair, [&](const MappingKey& key) {
    if (!in_flight_.contains(key)) return;
    is_busy = true;
    is_older = is_older || reconciliation_->keys_before.contains(key);
  });
  // What began before the device was there is carried out on what is repaired. New mappings wait: nothing
  // under way is about what nobody owns.
  if (is_busy) return is_older || repair.kind == Repair::Kind::remove;
  for_each_key(repair, [&](const MappingKey& key) { in_flight_.try_emplace(key); });
  repair.holds_keys = true;
  return true;
}

void Server::append_operations(TimePoint now, Repair& repair,
                               std::vector<device::Operation>& operations) const {
  const ContractKey& key = repair.key;
  const Contract* contract = contracts_.find(key, repair.place);
  if (repair.kind == Repair::Kind::remove || repair.held_at || contract == nullptr) {
    if (key.is_peer())
      operations.emplace_back(device::ReleasePeer{.key = key.mapping, .remote_peer = key.remote_peer});
    else
      operations.emplace_back(device::Remove{.key = key.mapping, .port_count = repair.port_count});
  }
  if (repair.kind != Repair::Kind::remove && contract != nullptr) {
    append_restoring(now, *contract, operations);
    // Reserved by the next renewal: now it might be in the way of another who was there before.
    if (auto* install = std::get_if<device::Install>(&operations.back())) install->reserves_companion = false;
    if (repair.kind == Repair::Kind::move) {
      auto& install = std::get<device::Install>(operations.back());
      install.match = device::Match::suggested;
      install.is_restoration = false;
      install.external_ports = asker_of(key.mapping.internal_address, {}).policy->external_ports;
      if (repair.held_at) {
        install.external_address = repair.held_at->address;
        install.external_port = repair.held_at->port;
      }
    }
  }
  repair.operation = operations.size() - 1;
}

void Server::repaired(TimePoint now, std::size_t batch, std::span<const device::Result> results) {
  auto& outstanding = reconciliation_->outstanding;
  std::vector<Repair> repairs = std::move(outstanding[batch].repairs);
  outstanding.erase(outstanding.begin() + static_cast<std::ptrdiff_t>(batch));
  PORTOLAN_CHECK(!repairs.empty() && results.size() == repairs.back().operation + 1);
  std::vector<device::Event> events;
  std::vector<Repair> done;
  for (Repair& repair : repairs) {
    const device::Result& result = results[repair.operation];
    const Contract* contract = contracts_.find(repair.key, repair.place);
    if (!result && result.error() == device::Refusal::unreachable) reconciliation_->is_aborted = true;
    if (reconciliation_->is_aborted || repair.kind == Repair::Kind::remove || contract == nullptr) {
      if (result && repair.kind == Repair::Kind::remove) ++counters_.unowned_removed;
      done.push_back(std::move(repair));
      continue;
    }
    const bool is_peer = repair.key.is_peer();
    if (result) {
      ++counters_.reinstalled;
      const bool is_there = result->external_address == contract->external_address &&
                            result->external_port == contract->external_port;
      if (is_peer && !is_there)
        events.emplace_back(
            device::LostPeer{.key = repair.key.mapping, .remote_peer = repair.key.remote_peer});
      else if (!is_peer && (!is_there || result->port_count != contract->port_count))
        events.emplace_back(device::Moved{.key = repair.key.mapping,
                                          .port_count = result->port_count,
                                          .external_address = result->external_address,
                                          .external_port = result->external_port});
    } else if (is_peer) {
      events.emplace_back(device::LostPeer{.key = repair.key.mapping, .remote_peer = repair.key.remote_peer});
    } else if (repair.kind == Repair::Kind::restore && !contract->prefer_failure) {
      // Its keys stay taken until it has found another place.
      repair.kind = Repair::Kind::move;
      reconciliation_->moving.push_back(std::move(repair));
      continue;
    } else {
      events.emplace_back(device::Lost{repair.key.mapping});
    }
    done.push_back(std::move(repair));
  }
  if (reconciliation_->is_aborted) {
    std::ranges::move(take_unfinished(), std::back_inserter(done));
    if (reconciliation_->is_about_profiles) device_profiles_.begin();
  }
  if (!events.empty()) happened(now, events);
  release_repairs(now, done);
  reconcile(now);
  commit_if_possible(now);
}

void Server::release_repairs(TimePoint now, std::span<const Repair> repairs) {
  std::vector<Deferred> waiting;
  for (const Repair& repair : repairs)
    if (repair.holds_keys) for_each_key(repair, [&](const MappingKey& key) { release_key(key, waiting); });
  admit_again(now, std::move(waiting));
}

}  // namespace portolan::server
