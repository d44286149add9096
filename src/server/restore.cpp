// SPDX-License-Identifier: BSD-2-Clause
//
// What the store has at start (RFC 6887 s8.5, s14.1.3).
#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"
#include "base/prefetch.h"
#include "server/server.h"

namespace portolan::server {
namespace {

/// Of a contract whose client can't be told anything.
constexpr std::uint16_t no_path = 0xffff;
constexpr std::size_t nowhere = static_cast<std::size_t>(-1);

}  // namespace

void Server::restore_user(const Profile& user) {
  if (users_.find_exactly(user.users) == nullptr) {
    PORTOLAN_CHECK(users_.put({.profile = user, .origin = Origin::by_hand}));
    return;
  }
  housekeeping_.emplace_back(store::DropUser{user.users});
  actions_.overruled.push_back({.user = user.users, .mapping = {}});
}

void Server::restore_static(TimePoint now, const StaticMapping& mapping) {
  if (mapping.expires && *mapping.expires <= now) {
    housekeeping_.emplace_back(store::DropStatic{mapping.key});
    return;
  }
  if (!statics_.contains(mapping.key)) return put_static({.mapping = mapping, .origin = Origin::by_hand});
  housekeeping_.emplace_back(store::DropStatic{mapping.key});
  actions_.overruled.push_back({.user = {}, .mapping = mapping.key});
}

void Server::fetch_restored(std::span<const store::Row> rows) const {
  std::array<ContractTable::Upcoming, fetched_together_max> calls;
  std::size_t count = 0;
  for (const store::Row& row : rows)
    if (const auto* mapping = std::get_if<store::PutMapping>(&row))
      calls[count++] = contracts_.upcoming(ContractTable::Upcoming::Call::put, mapping->contract.key,
                                           mapping->contract.subscriber);
  contracts_.fetch(std::span(calls).first(count));
}

auto Server::restore(TimePoint now, std::span<const store::Row> rows,
                     std::span<const std::uint32_t> interface_indexes)
    -> std::expected<Restored, std::string> {
  PORTOLAN_CHECK(contracts_.size() == 0 && paths_.empty());
  std::size_t ports = 0;
  bool has_epoch = false;
  std::size_t users = 0;
  std::size_t statics = 0;
  for (const store::Row& row : rows) {
    if (const auto* mapping = std::get_if<store::PutMapping>(&row)) {
      if (mapping->contract.expires > now) ports += mapping->contract.port_count;
    } else if (std::holds_alternative<store::PutUser>(row)) {
      ++users;
    } else if (std::holds_alternative<store::PutStatic>(row)) {
      ++statics;
    } else if (const auto* epoch = std::get_if<store::PutEpoch>(&row)) {
      config_.epoch_base = epoch->base;
      has_epoch = true;
    } else if (const auto* path = std::get_if<store::PutPath>(&row)) {
      const auto inside = std::ranges::find(config_.inside, path->interface, &Config::Inside::interface);
      if (path->number >= config_.paths_max || path->interface.empty() || inside == config_.inside.end())
        continue;
      const auto index = static_cast<std::size_t>(inside - config_.inside.begin());
      // Numbers stay what they are in the store; those in between lead nowhere.
      const Path unknown{.local_address = {}, .interface_index = 0, .inside = nowhere};
      if (path->number >= paths_.size()) paths_.resize(path->number + std::size_t{1}, unknown);
      paths_[path->number] = {
          .local_address = path->local_address,
          .interface_index = index < interface_indexes.size() ? interface_indexes[index] : 0,
          .inside = index};
    }
  }
  if (ports > config_.mappings_max)
    return std::unexpected(fmt::format("the store has {} mapped ports, more than mappings_max = {}: raise it",
                                       ports, config_.mappings_max));

  if (users > config_.users_by_hand_max || statics > config_.statics_by_hand_max)
    return std::unexpected(
        fmt::format("the store has {} users and {} static mappings, more than the {} and {} there may be",
                    users, statics, config_.users_by_hand_max, config_.statics_by_hand_max));
  for (const store::Row& row : rows) {
    if (const auto* user = std::get_if<store::PutUser>(&row)) restore_user(user->user);
    if (const auto* fixed = std::get_if<store::PutStatic>(&row)) restore_static(now, fixed->mapping);
  }
  device_profiles_.want(profile_table(users_));
  // They may be in the way of the configuration's.
  configure_statics();

  if (config_.epoch_base > now) has_epoch = false;
  Restored restored{
      .epoch_goes_on = has_epoch, .users = users_.count_of(Origin::by_hand), .statics = statics_by_hand_};
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (i % fetched_together_max == 0)
      fetch_restored(rows.subspan(i, std::min(fetched_together_max, rows.size() - i)));
    const auto* mapping = std::get_if<store::PutMapping>(&rows[i]);
    if (mapping == nullptr) continue;
    Contract contract = mapping->contract;
    if (contract.expires <= now) {
      ++restored.expired;
      housekeeping_.emplace_back(store::DropMapping{contract.key});
      continue;
    }
    if (contract.path >= paths_.size() || paths_[contract.path].inside == nowhere) contract.path = no_path;
    const TimePoint since = has_epoch ? std::min(mapping->state_since, now) : now;
    contracts_.reserve(since, contract.subscriber, contract.port_count);
    contracts_.put(now, contract);
    contracts_.release(contract.subscriber, contract.port_count);
    // What moved has begun anew for its subscriber.
    if (*contracts_.state_since(contract.subscriber) < since)
      contracts_.restart_state(since, contract.subscriber);
    ++restored.mappings;
  }
  // Limits and rights may be other ones today.
  was_reconfigured_ = was_reconfigured_ || restored.mappings > 0;
  // Routers may keep multicasts from the clients that are known.
  if (!has_epoch && announce_restart(now) && config_.epoch_scope == EpochScope::server)
    announce_epochs(now, {});
  restored.epoch_goes_on = has_epoch;
  return restored;
}

}  // namespace portolan::server
