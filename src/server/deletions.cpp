// SPDX-License-Identifier: BSD-2-Clause
//
// Mappings that the operator deletes, one or a million: found by a walk through the table in steps of bounded
// size, deleted in batches like any other change, so that requests are served in between. What others are at
// work on is met again in another round. Clients are told when it is durable.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "server/server.h"

namespace portolan::server {
namespace {

using Reason = Failure::Reason;

/// Of one deletion; as many as of repairs.
constexpr std::size_t under_way_max = repair_batches_max * repairs_per_batch_max;
/// Until what was busy is looked at again.
constexpr Milliseconds round_interval{100};

auto failure(Reason reason, std::string text) -> std::unexpected<Failure> {
  return std::unexpected(Failure{.reason = reason, .refusal = {}, .text = std::move(text)});
}

auto name_of(const ContractKey& key) -> std::string {
  return fmt::format("mapping of {} port {} of {}", key.mapping.protocol, key.mapping.internal_port,
                     key.mapping.internal_address);
}

}  // namespace

auto Server::delete_mapping(TimePoint now, const ContractKey& key) -> std::expected<OperationId, Failure> {
  if (auto may = may_change(); !may) return std::unexpected(std::move(may.error()));
  const auto wanted = key.is_peer() ? statics_.end() : statics_.find(key.mapping);
  if (!key.is_peer() && static_changes_.contains(key.mapping))
    return failure(Reason::busy, fmt::format("the {}: a change is under way", name_of(key)));
  if (wanted != statics_.end()) {
    if (wanted->second.origin == Origin::configured)
      return failure(
          Reason::configured,
          fmt::format("the {} is in the configuration: remove it there, and reload", name_of(key)));
    const OperationId id = next_operation();
    begin_static_deletion(id, key.mapping);
    review_statics(now);
    commit_if_possible(now);
    return id;
  }
  const Contract* const contract = contracts_.find(key);
  if (contract == nullptr || contract->expires <= now)
    return failure(Reason::not_found, fmt::format("there is no {}", name_of(key)));
  return begin_deletion(now, {.id = next_operation(), .only = key});
}

auto Server::delete_mappings(TimePoint now, const MappingFilter& filter)
    -> std::expected<OperationId, Failure> {
  if (auto may = may_change(); !may) return std::unexpected(std::move(may.error()));
  return begin_deletion(now, {.id = next_operation(), .filter = filter});
}

auto Server::begin_deletion(TimePoint now, Deletion deletion) -> OperationId {
  const OperationId id = deletion.id;
  deletions_.push_back(std::move(deletion));
  next_deletion_round_ = now;
  return id;
}

auto Server::has_deletions_due() const -> bool {
  if (is_undoing_ || is_read_only_) return false;
  bool has_met_many = false;
  return std::ranges::any_of(deletions_, [&](const Deletion& deletion) {
    if (!deletion.only && std::exchange(has_met_many, true)) return false;
    if (deletion.is_walked) return deletion.under_way == 0;
    return pipeline_.size() < config_.batches_in_flight_max && deletion.under_way < under_way_max;
  });
}

void Server::review_deletions(TimePoint now) {
  if (deletions_.empty() || is_undoing_ || is_read_only_) return;
  Batch batch;
  bool has_met_many = false;
  for (auto deletion = deletions_.begin(); deletion != deletions_.end();) {
    // Of those that walk through all, one at a time.
    const bool waits = !deletion->only && std::exchange(has_met_many, true);
    if (!waits && !deletion->is_walked && now >= next_deletion_round_) walk_deletion(now, *deletion, batch);
    if (!deletion->is_walked || deletion->under_way != 0) {
      ++deletion;
    } else if (deletion->has_met_busy) {
      deletion->has_met_busy = deletion->is_walked = false;
      deletion->cursor = 0;
      deletion->outcome.kept = 0;
      next_deletion_round_ = now + round_interval;
      ++deletion;
    } else {
      actions_.finished.push_back({.id = deletion->id, .result = result_of(*deletion)});
      deletion = deletions_.erase(deletion);
    }
  }
  submit(std::move(batch));
}

auto Server::result_of(const Deletion& deletion) -> std::expected<Outcome, Failure> {
  if (!deletion.refusal) return deletion.outcome;
  return std::unexpected(
      Failure{.reason = Reason::refused,
              .refusal = deletion.refusal,
              .text = fmt::format("{} mappings are deleted, the device keeps others: {}",
                                  deletion.outcome.deleted, to_string(*deletion.refusal))});
}

void Server::walk_deletion(TimePoint now, Deletion& deletion, Batch& batch) {
  if (pipeline_.size() >= config_.batches_in_flight_max || deletion.under_way >= under_way_max) return;
  if (deletion.only) {
    if (const Contract* const contract = contracts_.find(*deletion.only))
      delete_contract(now, deletion, *contract, batch);
    deletion.is_walked = true;
    return;
  }
  std::size_t looks = page_looks_max;
  while (batch.items.size() < repairs_per_batch_max) {
    const Contract* const contract = contracts_.next(deletion.cursor, looks);
    if (contract == nullptr) break;
    if (is_meant(deletion, *contract)) delete_contract(now, deletion, *contract, batch);
  }
  if (contracts_.has_more(deletion.cursor)) return;
  deletion.is_walked = true;
  if (deletion.of_user) return;
  // Static ones that are not in force have no place in the table.
  std::vector<Contract> others;
  for (const auto& [key, refusal] : unsettled_statics_) {
    const auto wanted = statics_.find(key);
    if (wanted == statics_.end() || contracts_.find({.mapping = key, .remote_peer = {}}) != nullptr) continue;
    others.push_back(contract_of(now, wanted->second.mapping));
    if (!matches(deletion.filter, others.back())) others.pop_back();
  }
  for (const Contract& contract : others) delete_contract(now, deletion, contract, batch);
}

void Server::delete_contract(TimePoint now, Deletion& deletion, const Contract& contract, Batch& batch) {
  if (contract.is_static) {
    const MappingKey key = contract.key.mapping;
    const auto wanted = statics_.find(key);
    if (static_changes_.contains(key)) {
      deletion.has_met_busy = true;
    } else if (wanted == statics_.end()) {
      return;  // it is on its way out
    } else if (wanted->second.origin == Origin::configured) {
      ++deletion.outcome.kept;
    } else {
      ++deletion.under_way;
      begin_static_deletion(deletion.id, key);
    }
    return;
  }
  if (contract.expires <= now) return;
  bool is_busy = false;
  for_each_key(contract, [&](const MappingKey& key) { is_busy |= in_flight_.contains(key); });
  if (is_busy) {
    deletion.has_met_busy = true;
    return;
  }
  Item item;
  item.is_answered = false;
  item.format = contract.format;
  item.key = contract.key;
  item.operation = deletion.id;
  item.port_count = contract.port_count;
  item.subscriber = contract.subscriber;
  item.place = contracts_.place_of(contract);
  item.before = contract;
  take_under_way(now, item);
  batch.items.push_back(std::move(item));
  ++deletion.under_way;
}

auto Server::is_meant(const Deletion& deletion, const Contract& contract) const -> bool {
  if (!deletion.of_user) return matches(deletion.filter, contract);
  const IpAddress& address = contract.key.mapping.internal_address;
  if (contract.is_static || !deletion.of_user->contains(address)) return false;
  const User* const user = users_.find(address);
  return user == nullptr || user->profile.users.length() < deletion.of_user->length();
}

void Server::deletion_finished(TimePoint now, const Item& item) {
  const auto deletion = std::ranges::find(deletions_, item.operation, &Deletion::id);
  PORTOLAN_CHECK(deletion != deletions_.end());
  --deletion->under_way;
  if (contracts_.find(item.key) != nullptr) {
    if (!deletion->refusal) deletion->refusal = item.outcome->error();
    return;
  }
  ++deletion->outcome.deleted;
  if (*item.outcome && item.before) updates_.begin(now, *item.before, true);
}

void Server::deletion_undone(const Item& item) {
  const auto deletion = std::ranges::find(deletions_, item.operation, &Deletion::id);
  PORTOLAN_CHECK(deletion != deletions_.end());
  --deletion->under_way;
  deletion->has_met_busy = true;
}

}  // namespace portolan::server
