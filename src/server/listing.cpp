// SPDX-License-Identifier: BSD-2-Clause
//
// What an operator sees: users and mappings page by page, in the order of their places in the tables, so that
// each page costs a bounded number of looks whatever comes and goes.
#include <limits>
#include <utility>

#include "base/check.h"
#include "server/server.h"

namespace portolan::server {

auto to_string(Origin origin) -> std::string_view {
  switch (origin) {
    case Origin::configured: return "configured";
    case Origin::by_hand: return "by-hand";
    case Origin::dynamic: return "dynamic";
  }
  return "unknown";
}

auto to_string(Failure::Reason reason) -> std::string_view {
  switch (reason) {
    case Failure::Reason::invalid: return "invalid";
    case Failure::Reason::exists: return "exists";
    case Failure::Reason::not_found: return "not-found";
    case Failure::Reason::configured: return "configured";
    case Failure::Reason::busy: return "busy";
    case Failure::Reason::limit: return "limit";
    case Failure::Reason::read_only: return "read-only";
    case Failure::Reason::refused: return "refused";
    case Failure::Reason::not_durable: return "not-durable";
  }
  return "unknown";
}

auto to_string(Event::Kind kind) -> std::string_view {
  switch (kind) {
    case Event::Kind::mapping_created: return "mapping-created";
    case Event::Kind::mapping_renewed: return "mapping-renewed";
    case Event::Kind::mapping_moved: return "mapping-moved";
    case Event::Kind::mapping_deleted: return "mapping-deleted";
    case Event::Kind::mapping_expired: return "mapping-expired";
    case Event::Kind::mapping_lost: return "mapping-lost";
    case Event::Kind::user_added: return "user-added";
    case Event::Kind::user_changed: return "user-changed";
    case Event::Kind::user_deleted: return "user-deleted";
  }
  return "unknown";
}

auto Server::list_users(TimePoint now, const UserFilter& filter, const Cursor& cursor) const
    -> Page<UserView> {
  Page<UserView> page;
  Cursor at = cursor;
  std::size_t looks = page_looks_max;
  const auto is_within = [&](const Prefix& prefix) {
    return !filter.within ||
           (prefix.length() >= filter.within->length() && filter.within->contains(prefix.address()));
  };
  while (at.part == 0 && page.rows.size() < page_rows_max) {
    const User* const user = users_.next(at.place, looks);
    if (user == nullptr) {
      if (users_.has_more(at.place)) break;
      at = {.part = 1};
    } else if ((!filter.origin || filter.origin == user->origin) && is_within(user->profile.users)) {
      page.rows.push_back(view_of(now, *user));
    }
  }
  const bool wants_dynamic = !filter.origin || filter.origin == Origin::dynamic;
  while (at.part == 1 && wants_dynamic && page.rows.size() < page_rows_max) {
    const auto* const subscriber = contracts_.next_subscriber(at.place, looks);
    if (subscriber == nullptr) break;
    // That of static mappings is nobody.
    if (subscriber->prefix.length() != 0 && is_within(subscriber->prefix) &&
        users_.find_exactly(subscriber->prefix) == nullptr)
      page.rows.push_back(view_of(now, *subscriber));
  }
  if (at.part == 0 || (wants_dynamic && contracts_.has_more_subscribers(at.place))) page.next = at;
  return page;
}

auto Server::find_user(TimePoint now, const Prefix& prefix) const -> std::optional<UserView> {
  if (const User* const user = users_.find_exactly(prefix)) return view_of(now, *user);
  const auto* const subscriber = contracts_.find_subscriber(prefix);
  if (subscriber == nullptr || subscriber->contracts == 0 || prefix.length() == 0) return {};
  return view_of(now, *subscriber);
}

auto Server::view_of(TimePoint now, const User& user) const -> UserView {
  UserView view{.prefix = user.profile.users,
                .origin = user.origin,
                .policy = user.profile.policy,
                .allotment = user.profile.allotment,
                .subscriber_prefix_length = user.profile.subscriber_prefix_length,
                .external_address = user.profile.allotment.external_address,
                .is_changing = user.is_changing};
  const auto refused = device_profiles_.refused().find(profile_key(view.prefix));
  if (refused != device_profiles_.refused().end()) view.refusal = refused->second;
  view_mappings(now, view);
  return view;
}

auto Server::view_of(TimePoint now, const ContractTable::Subscriber& subscriber) const -> UserView {
  UserView view{.prefix = subscriber.prefix, .policy = config_.policy};
  const User* const around = users_.find(subscriber.prefix.address());
  if (around != nullptr && around->profile.users.length() <= subscriber.prefix.length()) {
    view.policy = around->profile.policy;
    view.allotment = around->profile.allotment;
    view.external_address = view.allotment.external_address;
  }
  view_mappings(now, view);
  return view;
}

void Server::view_mappings(TimePoint now, UserView& view) const {
  view.epoch_time_s = epoch_time_s(now, view.prefix);
  const auto* const subscriber = contracts_.find_subscriber(view.prefix);
  if (subscriber == nullptr || view.prefix.length() == 0) return;
  view.mappings = subscriber->contracts;
  view.ports = subscriber->ports;
  const Contract* const last = contracts_.first_of(*subscriber);
  if (view.external_address.is_unspecified() && last != nullptr)
    view.external_address = last->external_address;
}

auto Server::list_mappings(TimePoint now, const MappingFilter& filter, const Cursor& cursor) const
    -> Page<MappingView> {
  Page<MappingView> page;
  Cursor at = cursor;
  std::size_t looks = page_looks_max;
  while (at.part == 0 && page.rows.size() < page_rows_max) {
    const Contract* const contract = contracts_.next(at.place, looks);
    if (contract == nullptr) {
      if (contracts_.has_more(at.place)) break;
      at = {.part = 1};
    } else if (contract->expires > now && matches(filter, *contract)) {
      page.rows.push_back(view_of(now, *contract));
    }
  }
  if (at.part == 0) {
    page.next = at;
    return page;
  }
  // Static ones that are not in force.
  auto unsettled = at.after ? unsettled_statics_.upper_bound(*at.after) : unsettled_statics_.begin();
  for (; unsettled != unsettled_statics_.end() && page.rows.size() < page_rows_max && looks > 0; --looks) {
    const auto& [key, refusal] = *unsettled;
    ++unsettled;
    at.after = key;
    const auto wanted = statics_.find(key);
    if (wanted == statics_.end() || contracts_.find({.mapping = key, .remote_peer = {}}) != nullptr) continue;
    if (const Contract contract = contract_of(now, wanted->second.mapping); matches(filter, contract))
      page.rows.push_back({.contract = contract,
                           .origin = wanted->second.origin,
                           .remaining = {},
                           .is_in_force = false,
                           .refusal = refusal});
  }
  if (unsettled != unsettled_statics_.end()) page.next = at;
  return page;
}

auto Server::find_mapping(TimePoint now, const ContractKey& key) const -> std::optional<MappingView> {
  const Contract* const contract = contracts_.find(key);
  if (contract != nullptr && contract->expires > now) return view_of(now, *contract);
  const auto wanted = key.is_peer() ? statics_.end() : statics_.find(key.mapping);
  if (wanted == statics_.end()) return {};
  MappingView view{.contract = contract_of(now, wanted->second.mapping),
                   .origin = wanted->second.origin,
                   .remaining = {},
                   .is_in_force = false};
  if (has_end(view.contract, now)) view.remaining = remaining_life(view.contract, now);
  if (const auto unsettled = unsettled_statics_.find(key.mapping); unsettled != unsettled_statics_.end())
    view.refusal = unsettled->second;
  return view;
}

auto Server::view_of(TimePoint now, const Contract& contract) const -> MappingView {
  MappingView view{.contract = contract, .origin = origin_of(contract), .remaining = {}};
  if (has_end(contract, now)) view.remaining = remaining_life(contract, now);
  if (!contract.is_static) return view;
  if (const auto wanted = statics_.find(contract.key.mapping); wanted != statics_.end())
    view.is_in_force = is_in_force(now, wanted->second.mapping);
  return view;
}

auto Server::origin_of(const Contract& contract) const -> Origin {
  if (!contract.is_static) return Origin::dynamic;
  const MappingKey& key = contract.key.mapping;
  if (const auto wanted = statics_.find(key); wanted != statics_.end()) return wanted->second.origin;
  return static_changes_.contains(key) ? Origin::by_hand : Origin::configured;
}

auto Server::matches(const MappingFilter& filter, const Contract& contract) const -> bool {
  const MappingKey& key = contract.key.mapping;
  const auto has = [&](const std::optional<Port>& port, Port first) {
    return !port || (*port >= first && port->value - first.value < contract.port_count);
  };
  return (!filter.user || filter.user->contains(key.internal_address)) &&
         (!filter.realm || *filter.realm == key.realm) &&
         (!filter.protocol || *filter.protocol == key.protocol) &&
         has(filter.internal_port, key.internal_port) && has(filter.external_port, contract.external_port) &&
         (!filter.external_address || *filter.external_address == contract.external_address) &&
         (!filter.origin || *filter.origin == origin_of(contract));
}

auto Server::gauges() const -> Gauges {
  return {.users_configured = users_.count_of(Origin::configured),
          .users_by_hand = users_.count_of(Origin::by_hand),
          .subscribers = contracts_.subscribers(),
          .contracts = contracts_.size(),
          .ports = contracts_.ports(),
          .statics_configured = statics_.size() - statics_by_hand_,
          .statics_by_hand = statics_by_hand_,
          .statics_not_in_force = unsettled_statics_.size(),
          .ports_max = config_.mappings_max,
          .users_by_hand_max = config_.users_by_hand_max,
          .batches = pipeline_.size(),
          .deferred = deferred_,
          .operations = user_changes_.size() + static_changes_.size() + deletions_.size(),
          .refused_profiles = device_profiles_.refused().size(),
          .is_read_only = is_read_only_,
          .is_reconciling = reconciliation_.has_value()};
}

void Server::record_finished(TimePoint now, const Item& item) {
  if (!events_.is_on() || !*item.outcome) return;
  if (item.lifetime == Seconds{0}) {
    if (item.before) record(now, Event::Kind::mapping_deleted, *item.before);
    return;
  }
  const Contract* const contract = contracts_.find(item.key, item.place);
  PORTOLAN_CHECK(contract != nullptr);
  record(now, item.before ? Event::Kind::mapping_renewed : Event::Kind::mapping_created, *contract);
}

auto Server::broken_management() const -> std::optional<std::string> {
  std::optional<std::string> broken;
  std::size_t changing = 0;
  Users::Place cursor = 0;
  std::size_t looks = std::numeric_limits<std::size_t>::max();
  while (const User* const user = users_.next(cursor, looks)) {
    changing += user->is_changing ? 1U : 0U;
    if (user->is_changing && !user_changes_.contains(user->profile.users))
      broken = "a user's change is nowhere";
    if (users_.find(user->profile.users.address()) == nullptr) broken = "a user has not its own address";
  }
  for (const auto& [prefix, change] : user_changes_) {
    changing -= change.after ? 1U : 0U;
    if (!change.after && users_.find_exactly(prefix) != nullptr) broken = "a user that goes is there still";
  }
  if (changing != 0) broken = "changes of users are miscounted";
  if (!profile_walk_ && device_profiles_.wanted() != profile_table(users_))
    broken = "the device should have other profiles than users are given";
  std::size_t by_hand = 0;
  for (const auto& [key, entry] : statics_) by_hand += entry.origin == Origin::by_hand ? 1U : 0U;
  if (by_hand != statics_by_hand_) broken = "static mappings are miscounted";
  for (const auto& [key, change] : static_changes_) {
    if (change.is_deletion == statics_.contains(key)) broken = "a static mapping is not as its change says";
    if (!change.awaits_store && !in_flight_.contains(key) && !unsettled_statics_.contains(key))
      broken = "nobody looks after the change of a static mapping";
  }
  for (const Deletion& deletion : deletions_) {
    std::size_t under_way = 0;
    for (const Batch& batch : pipeline_)
      for (const Item& item : batch.items) under_way += item.operation == deletion.id ? 1U : 0U;
    for (const auto& [key, change] : static_changes_) under_way += change.id == deletion.id ? 1U : 0U;
    if (under_way != deletion.under_way) broken = "what a deletion has under way is miscounted";
  }
  return broken;
}

}  // namespace portolan::server
