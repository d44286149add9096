// SPDX-License-Identifier: BSD-2-Clause
//
// Batches on their way through device and store, and back if a commit fails.
#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/prefetch.h"
#include "server/server.h"

namespace portolan::server {
namespace {

/// How long the server waits between attempts to write while read-only.
constexpr Seconds write_attempt_interval{1};

/// Of a contract no client made.
constexpr std::uint16_t no_path = 0xffff;

}  // namespace

void append_restoring(TimePoint now, const Contract& contract, std::vector<device::Operation>& operations) {
  if (contract.key.is_peer()) {
    operations.emplace_back(
        device::ReleasePeer{.key = contract.key.mapping, .remote_peer = contract.key.remote_peer});
    operations.emplace_back(device::InstallPeer{.key = contract.key.mapping,
                                                .remote_peer = contract.key.remote_peer,
                                                .external_address = contract.external_address,
                                                .external_port = contract.external_port,
                                                .lifetime = remaining_life(contract, now)});
    return;
  }
  operations.emplace_back(device::Install{.key = contract.key.mapping,
                                          .external_address = contract.external_address,
                                          .external_port = contract.external_port,
                                          .match = device::Match::exact,
                                          .lifetime = remaining_life(contract, now),
                                          .filters = contract.filters(),
                                          .port_count = contract.port_count,
                                          .preserve_parity = contract.preserve_parity,
                                          .reserves_companion = contract.format == Format::nat_pmp,
                                          .is_restoration = true,
                                          .is_bound_to_address = contract.prefer_failure});
}

void Server::submit(Batch batch) {
  if (batch.items.empty()) return;
  batch.id = {++last_batch_};
  Apply apply{.batch = batch.id, .operations = {}};
  apply.operations.reserve(batch.items.size());
  for (const Item& item : batch.items) apply.operations.push_back(operation_for(item));
  actions_.apply.push_back(std::move(apply));
  pipeline_.push_back(std::move(batch));
}

auto Server::operation_for(const Item& item) -> device::Operation {
  const MappingKey& key = item.key.mapping;
  if (item.lifetime == Seconds{0} && item.key.is_peer())
    return device::ReleasePeer{.key = key, .remote_peer = item.key.remote_peer};
  if (item.lifetime == Seconds{0}) return device::Remove{.key = key, .port_count = item.port_count};
  // A renewal suggests what is mapped: should the device have lost it, it comes back there if it can,
  // and the client learns the new place otherwise.
  const IpAddress address = item.before ? item.before->external_address : item.suggested_external_address;
  const Port port = item.before ? item.before->external_port : item.suggested_external_port;
  // What is promised at another address stays there.
  const IpAddress given = item.before ? IpAddress{} : item.given_address;
  if (item.key.is_peer())
    return device::InstallPeer{.key = key,
                               .remote_peer = item.key.remote_peer,
                               .external_address = address,
                               .external_port = port,
                               .lifetime = item.lifetime,
                               .external_ports = item.external_ports,
                               .given_address = given};
  return device::Install{
      .key = key,
      .external_address = address,
      .external_port = port,
      .match = item.prefer_failure ? device::Match::exact : device::Match::suggested,
      .lifetime = item.lifetime,
      .filters = item.details ? item.details->filters : std::vector<RemoteFilter>{},
      .port_count = item.port_count,
      .preserve_parity = item.preserve_parity,
      .external_ports = item.external_ports,
      .reserves_companion = (item.before ? item.before->format : item.format) == Format::nat_pmp,
      .is_bound_to_address = item.prefer_failure,
      .given_address = given};
}

void Server::applied(TimePoint now, device::BatchId batch, std::span<const device::Result> results) {
  if (undo_ && undo_->id == batch) return undone(now, results);
  if (reconciliation_) {
    const auto& repairs = reconciliation_->outstanding;
    const auto repair = std::ranges::find(repairs, batch, &Reconciliation::Outstanding::id);
    if (repair != repairs.end())
      return repaired(now, static_cast<std::size_t>(repair - repairs.begin()), results);
  }
  const auto profiles = std::ranges::find(profile_batches_, batch, &ProfileBatch::id);
  if (profiles != profile_batches_.end())
    return profiles_applied(now, static_cast<std::size_t>(profiles - profile_batches_.begin()), results);
  const auto found = std::ranges::find(pipeline_, batch, &Batch::id);
  PORTOLAN_CHECK(found != pipeline_.end() && !found->is_applied);
  PORTOLAN_CHECK(results.size() == found->items.size());
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (i % fetched_together_max == 0)
      fetch_settled(std::span(found->items).subspan(i, std::min(fetched_together_max, results.size() - i)));
    settle(now, found->items[i], results[i]);
  }
  found->is_applied = true;
  undo_if_possible(now);
  commit_if_possible(now);
}

void Server::fetch_settled(std::span<const Item> items) const {
  using Call = ContractTable::Upcoming::Call;
  std::array<ContractTable::Upcoming, fetched_together_max> calls;
  std::size_t count = 0;
  for (const Item& item : items)
    calls[count++] = contracts_.upcoming(item.lifetime == Seconds{0} ? Call::erase : Call::put, item.key,
                                         item.subscriber, item.place);
  contracts_.fetch(std::span(calls).first(count));
}

void Server::settle(TimePoint now, Item& item, const device::Result& result) {
  item.outcome = result;
  if (!result && item.is_static) static_refused(item.key.mapping, result.error());
  if (result) {
    // Restored by an undo, it lived longer at the device than here: the device rounds up, and counts traffic.
    if (!item.before && item.lifetime > Seconds{0} && result->port_count > item.port_count)
      ++counters_.larger_sets_found;
    // Of what the operator deletes clients hear; if the device lost it meanwhile, they are being told.
    if (item.operation.value == 0) updates_.cease(item.key);
    // A host's mapping had to give way.
    if (item.is_static && item.lifetime == Seconds{0} && item.before && !item.before->is_static)
      updates_.begin(now, *item.before);
    if (item.lifetime == Seconds{0})
      contracts_.erase(item.key, item.place);
    else
      item.place = contracts_.put(
          now,
          {.key = item.key,
           .external_address = result->external_address,
           .external_port = result->external_port,
           .port_count = result->port_count,
           .nonce = item.nonce,
           .format = item.before && !item.is_static ? item.before->format : item.format,
           .prefer_failure = item.prefer_failure,
           .is_static = item.is_static,
           .preserve_parity = item.preserve_parity,
           .client_port = item.client.port,
           .path = item.is_static ? no_path : path_number(item.path),
           .subscriber = item.subscriber,
           .expires = now + (item.is_static ? item.lifetime : std::min(result->lifetime, lifetime_max)),
           .details = item.details},
          item.place);
  }
  // After put(): the subscriber's state must not end in between.
  if (!item.before && item.lifetime > Seconds{0}) contracts_.release(item.subscriber, item.port_count);
}

void Server::commit_if_possible(TimePoint now) {
  if (commit_ || is_undoing_ || is_read_only_) return;
  const auto first_unapplied = std::ranges::find(pipeline_, false, &Batch::is_applied);
  const auto batches = static_cast<std::size_t>(first_unapplied - pipeline_.begin());
  std::vector<store::Row> rows;
  std::size_t items = 0;
  for (std::size_t i = 0; i < batches; ++i) items += pipeline_[i].items.size();
  rows.reserve(housekeeping_.size() + items);
  std::vector<Prefix> users;
  std::vector<MappingKey> statics;
  rows.insert(rows.end(), housekeeping_.begin(), housekeeping_.end());
  for (std::size_t i = 0; i < batches; ++i)
    for (const Item& item : pipeline_[i].items) append_row(item, rows);
  append_change_rows(rows, users, statics);
  if (rows.empty()) {
    if (batches > 0) finish(now, batches);
    return;
  }
  commit_ = {.id = {++last_commit_},
             .batches = batches,
             .housekeeping = std::exchange(housekeeping_, {}),
             .moved = std::exchange(moved_, {}),
             .users = std::move(users),
             .statics = std::move(statics)};
  actions_.commit.push_back({.commit = commit_->id, .rows = std::move(rows)});
}

auto Server::row_of(const Contract& contract) const -> store::PutMapping {
  TimePoint since = config_.epoch_base;
  if (config_.epoch_scope == EpochScope::subscriber)
    since = contracts_.state_since(contract.subscriber).value_or(since);
  return {.contract = contract, .state_since = since};
}

void Server::append_row(const Item& item, std::vector<store::Row>& rows) const {
  if (!*item.outcome) return;
  // Of the operator's mappings those are in the store that were added by hand.
  if (item.lifetime == Seconds{0} || item.is_static) {
    if (item.before && !item.before->is_static) rows.emplace_back(store::DropMapping{item.key});
    if (!item.is_static) return;
    const auto wanted = statics_.find(item.key.mapping);
    const auto change = static_changes_.find(item.key.mapping);
    if (item.lifetime > Seconds{0} && wanted != statics_.end() && wanted->second.origin == Origin::by_hand)
      rows.emplace_back(store::PutStatic{wanted->second.mapping});
    if (item.lifetime == Seconds{0} && change != static_changes_.end() && change->second.is_deletion)
      rows.emplace_back(store::DropStatic{item.key.mapping});
    return;
  }
  const Contract* contract = contracts_.find(item.key, item.place);
  PORTOLAN_CHECK(contract != nullptr);
  rows.emplace_back(row_of(*contract));
}

void Server::committed(TimePoint now, store::CommitId commit, bool ok) {
  PORTOLAN_CHECK(commit_ && commit_->id == commit);
  OutstandingCommit done = std::move(*commit_);
  commit_.reset();
  if (ok) {
    if (std::exchange(is_read_only_, false)) {
      next_static_review_ = {};
      review_statics(now);
    }
    for (const ContractKey& key : done.moved) {
      updates_.begin(now, key);
      if (const Contract* contract = contracts_.find(key)) record(now, Event::Kind::mapping_moved, *contract);
    }
    finish(now, done.batches);
    changes_committed(now, done.users, done.statics);
    return commit_if_possible(now);
  }
  ++counters_.failed_commits;
  housekeeping_.insert(housekeeping_.begin(), done.housekeeping.begin(), done.housekeeping.end());
  moved_.insert(moved_.begin(), done.moved.begin(), done.moved.end());
  next_write_attempt_ = now + write_attempt_interval;
  if (is_read_only_) return;
  changes_not_durable();
  is_undoing_ = true;
  undo_if_possible(now);
}

/// Answers the oldest `batches`, which are durable or changed nothing.
void Server::finish(TimePoint now, std::size_t batches) {
  std::vector<Batch> done;
  for (std::size_t i = 0; i < batches; ++i) {
    done.push_back(std::move(pipeline_.front()));
    pipeline_.pop_front();
  }
  for (const Batch& batch : done) {
    for (const Item& item : batch.items) {
      count_change(item);
      answer(now, batch.inbound(item), item);
      record_finished(now, item);
      if (item.is_static) static_changed(item);
      if (item.operation.value != 0) deletion_finished(now, item);
    }
  }
  release_keys(now, done);
}

void Server::count_change(const Item& item) {
  if (!*item.outcome) return;
  if (item.lifetime > Seconds{0})
    ++(item.before ? counters_.renewed : counters_.made);
  else if (item.before)
    ++counters_.deleted;
}

/// Once the device is done with every uncommitted batch, takes all of them back, newest first.
void Server::undo_if_possible(TimePoint now) {
  if (!is_undoing_ || undo_) return;
  if (std::ranges::find(pipeline_, false, &Batch::is_applied) != pipeline_.end()) return;
  Apply apply{.batch = {++last_batch_}, .operations = {}};
  Undo undo{.id = apply.batch, .keys = {}};
  for (auto batch = pipeline_.rbegin(); batch != pipeline_.rend(); ++batch) {
    for (auto item = batch->items.rbegin(); item != batch->items.rend(); ++item) {
      if (!*item->outcome || (item->lifetime == Seconds{0} && !item->before)) continue;
      if (item->before && item->before->expires > now) {
        contracts_.put(now, *item->before);
        append_restoring(now, *item->before, apply.operations);
      } else {
        contracts_.erase(item->key);
        // Also of a new one: a row is to be written if the device moved it.
        housekeeping_.emplace_back(store::DropMapping{item->key});
        if (item->key.is_peer())
          apply.operations.emplace_back(
              device::ReleasePeer{.key = item->key.mapping, .remote_peer = item->key.remote_peer});
        else
          apply.operations.emplace_back(
              device::Remove{.key = item->key.mapping, .port_count = (*item->outcome)->port_count});
      }
      undo.keys.resize(apply.operations.size(), item->key);
    }
  }
  undo_ = std::move(undo);
  actions_.apply.push_back(std::move(apply));
}

void Server::undone(TimePoint now, std::span<const device::Result> results) {
  PORTOLAN_CHECK(results.size() == undo_->keys.size());
  std::vector<device::Event> moved;
  for (std::size_t i = 0; i < results.size(); ++i) {
    const Contract* contract = contracts_.find(undo_->keys[i]);
    if (contract == nullptr) continue;
    if (results[i]) {
      // Of what ended at the device meanwhile, a port set may come back smaller. The last word counts.
      if (contract->key.is_peer() || results[i]->port_count == contract->port_count) continue;
      const auto later = std::ranges::subrange(undo_->keys).next(static_cast<std::ptrdiff_t>(i) + 1);
      if (std::ranges::find(later, undo_->keys[i]) == later.end())
        moved.emplace_back(device::Moved{.key = contract->key.mapping,
                                         .port_count = results[i]->port_count,
                                         .external_address = results[i]->external_address,
                                         .external_port = results[i]->external_port});
      continue;
    }
    // It is brought to what was promised when it is back.
    if (results[i].error() == device::Refusal::unreachable) continue;
    // The device lost the mapping for good: the contract can't be kept.
    ++counters_.refused_undos;
    record(now, Event::Kind::mapping_lost, *contract);
    contracts_.erase(undo_->keys[i]);
    housekeeping_.emplace_back(store::DropMapping{undo_->keys[i]});
  }
  undo_.reset();
  is_undoing_ = false;
  is_read_only_ = true;
  if (!moved.empty()) happened(now, moved);
  std::vector<Batch> batches(std::make_move_iterator(pipeline_.begin()),
                             std::make_move_iterator(pipeline_.end()));
  pipeline_.clear();
  for (Batch& batch : batches) {
    for (Item& item : batch.items) {
      if (item.is_static) unsettled_statics_.try_emplace(item.key.mapping);
      if (item.operation.value != 0) deletion_undone(item);
      if (!*item.outcome) {
        answer(now, batch.inbound(item), item);
        continue;
      }
      const Contract* contract = contracts_.find(item.key);
      item.before = contract != nullptr ? std::optional(*contract) : std::nullopt;
      decide_read_only(now, batch.inbound(item), item);
    }
  }
  release_keys(now, batches);
}

/// Lets the requests that waited for `batches` be decided, in order of arrival for each mapping.
void Server::release_keys(TimePoint now, const std::vector<Batch>& batches) {
  std::vector<Deferred> waiting;
  for (const Batch& batch : batches)
    for (const Item& item : batch.items)
      for_each_key(item, [&](const MappingKey& key) { release_key(key, waiting); });
  // First what a device that is there again lacks: else who asks without end keeps it waiting.
  if (has_repairs()) reconcile(now);
  admit_again(now, std::move(waiting));
}

void Server::release_key(const MappingKey& key, std::vector<Deferred>& waiting) {
  const auto found = in_flight_.find(key);
  PORTOLAN_CHECK(found != in_flight_.end());
  deferred_ -= found->second.size();
  std::ranges::move(found->second, std::back_inserter(waiting));
  in_flight_.erase(found);
  if (!reconciliation_) return;
  reconciliation_->keys_before.erase(key);
  std::ranges::move(reconciliation_->blocked, std::back_inserter(reconciliation_->waiting));
  reconciliation_->blocked.clear();
}

void Server::admit_again(TimePoint now, std::vector<Deferred> waiting) {
  Batch batch;
  for (Deferred& deferred : waiting) {
    // One that waited in front of it has what it waits for.
    if (const auto busy = in_flight_.find(deferred.key); busy != in_flight_.end()) {
      ++deferred_;
      busy->second.push_back(std::move(deferred));
      continue;
    }
    admit(now, {.client = deferred.client, .path = deferred.path, .payload = deferred.datagram}, batch, true);
  }
  submit(std::move(batch));
}

void Server::happened(TimePoint now, std::span<const device::Event> events) {
  bool address_changed = false;
  const std::size_t moved_before = moved_.size();
  for (const device::Event& event : events) {
    if (const auto* moved = std::get_if<device::Moved>(&event))
      address_changed |= move_contract(now, *moved);
    else if (const auto* lost = std::get_if<device::Lost>(&event))
      address_changed |= lose_contract(now, {.mapping = lost->key, .remote_peer = {}});
    else if (const auto* peer = std::get_if<device::LostPeer>(&event))
      address_changed |= lose_contract(now, {.mapping = peer->key, .remote_peer = peer->remote_peer});
  }
  // RFC 6887 s8.5: the epoch begins anew when external addresses change, or mappings are lost.
  bool is_new_for_all = address_changed && config_.epoch_scope == EpochScope::server && announce_restart(now);
  is_new_for_all |= std::exchange(has_epochs_to_announce_, false);
  if (is_new_for_all || config_.epoch_scope == EpochScope::subscriber)
    announce_epochs(now, std::span(moved_).subspan(moved_before));
  commit_if_possible(now);
}

auto Server::move_contract(TimePoint now, const device::Moved& moved) -> bool {
  const Contract* found = contracts_.find({.mapping = moved.key, .remote_peer = {}});
  if (found == nullptr) return false;
  Contract contract = *found;
  const bool address_changed = contract.external_address != moved.external_address;
  contract.external_address = moved.external_address;
  contract.external_port = moved.external_port;
  contract.port_count = moved.port_count;
  contracts_.put(now, contract);
  if (config_.epoch_scope == EpochScope::subscriber) contracts_.restart_state(now, contract.subscriber);
  // What is under way would be undone to where the device no longer has it.
  for (Batch& batch : pipeline_)
    for (Item& item : batch.items)
      if (item.before && item.key == contract.key) item.before = contract;
  if (contract.is_static) {
    unsettled_statics_.try_emplace(moved.key);
    return address_changed;
  }
  housekeeping_.emplace_back(row_of(contract));
  moved_.push_back(contract.key);
  ++counters_.moved;
  return address_changed;
}

void Server::tell_epoch(TimePoint now, const Contract& contract,
                        std::set<std::pair<Endpoint, std::uint16_t>>& told) {
  if (contract.is_static || contract.format != Format::pcp_2 || contract.path >= paths_.size()) return;
  const Endpoint client{contract.client_address(), contract.client_port};
  if (told.size() >= EpochAnnouncements::waiting_max || !told.emplace(client, contract.path).second) return;
  epoch_announcements_.begin(now,
                             {.client = client, .path = contract.path, .subscriber = contract.subscriber});
}

void Server::announce_epochs(TimePoint now, std::span<const ContractKey> moved) {
  std::set<std::pair<Endpoint, std::uint16_t>> told;
  std::set<Prefix> subscribers;
  const auto path_of = [](const Contract& contract) {
    return std::pair{Endpoint{contract.client_address(), contract.client_port}, contract.path};
  };
  const auto tell = [&](const Contract& contract) { tell_epoch(now, contract, told); };
  for (const ContractKey& key : moved) {
    if (const Contract* contract = contracts_.find(key)) {
      told.insert(path_of(*contract));
      subscribers.insert(contract->subscriber);
    }
  }
  if (config_.epoch_scope == EpochScope::server) return contracts_.for_each(tell);
  for (const Prefix& subscriber : subscribers) contracts_.for_each_of(subscriber, tell);
}

auto Server::lose_contract(TimePoint now, const ContractKey& key) -> bool {
  const Contract* found = contracts_.find(key);
  if (found == nullptr) return false;
  const Contract contract = *found;
  for (Batch& batch : pipeline_) {
    for (Item& item : batch.items) {
      if (item.key != key) continue;
      if (item.outcome) {
        // The device has taken back what it said of a request that is not answered yet.
        if (*item.outcome) item.outcome = std::unexpected(device::Refusal::network_failure);
      } else if (item.before) {
        // A renewal that the device has yet to see makes a new mapping, in the place of this one.
        item.before.reset();
        if (item.lifetime > Seconds{0}) contracts_.reserve(now, item.subscriber, item.port_count);
      }
    }
  }
  if (config_.epoch_scope == EpochScope::subscriber) contracts_.restart_state(now, contract.subscriber);
  contracts_.erase(key);
  if (contract.is_static) {
    unsettled_statics_.try_emplace(key.mapping);
    return true;
  }
  housekeeping_.emplace_back(store::DropMapping{key});
  updates_.begin(now, contract);
  record(now, Event::Kind::mapping_lost, contract);
  ++counters_.lost;
  return true;
}

}  // namespace portolan::server
