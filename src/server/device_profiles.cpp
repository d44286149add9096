// SPDX-License-Identifier: BSD-2-Clause
#include "server/device_profiles.h"

#include <algorithm>
#include <limits>

#include "base/check.h"

namespace portolan::server {
namespace {

auto key_of(const device::PutProfile& profile) -> ProfileKey {
  return {profile.realm, profile.internal_prefix};
}

auto key_of(const device::DropProfile& profile) -> ProfileKey {
  return {profile.realm, profile.internal_prefix};
}

/// A range without ports for hosts' own traffic, which gets none below this, is about mappings only.
constexpr Port first_port_of_traffic{1024};

auto profile_of(const Profile& user) -> device::PutProfile {
  const Allotment& allotment = user.allotment;
  device::PutProfile profile{.realm = {},
                             .internal_prefix = user.users,
                             .subscriber_prefix_length = 0,
                             .external_address = allotment.external_address,
                             .external_ports = allotment.external_ports,
                             .port_block_size = allotment.port_block_size,
                             .ports_max = allotment.ports_max,
                             .sessions_max = allotment.sessions_max,
                             .sessions_per_second_max = allotment.sessions_per_second_max};
  if (profile.external_ports.last < first_port_of_traffic) profile.external_ports = {};
  if (user.subscriber_prefix_length)
    profile.subscriber_prefix_length =
        static_cast<std::uint8_t>(std::max<unsigned>(*user.subscriber_prefix_length, user.users.length()));
  return profile;
}

}  // namespace

auto profile_key(const Prefix& users) -> ProfileKey { return {Realm{}, users}; }

auto is_given_something(const Profile& user) -> bool {
  return user.allotment != Allotment{} || user.subscriber_prefix_length;
}

auto wanted_profile(const Users& users, const Profile& user) -> std::optional<device::PutProfile> {
  if (user.users.length() == 0) return {};
  const auto gives = [](const User& other) { return is_given_something(other.profile); };
  if (!is_given_something(user) && !users.any_around(user.users, gives)) return {};
  return profile_of(user);
}

auto profile_table(const Users& users) -> ProfileTable {
  ProfileTable table;
  Users::Place cursor = 0;
  std::size_t looks = std::numeric_limits<std::size_t>::max();
  while (const User* const user = users.next(cursor, looks))
    if (auto profile = wanted_profile(users, user->profile))
      table.emplace(profile_key(user->profile.users), *std::move(profile));
  return table;
}

void DeviceProfiles::want(ProfileTable wanted) {
  for (auto before = wanted_.begin(); before != wanted_.end();) {
    const ProfileKey key = before->first;
    ++before;
    if (!wanted.contains(key)) want(key, std::nullopt);
  }
  for (auto& [key, profile] : wanted) want(key, profile);
}

void DeviceProfiles::want(const ProfileKey& key, std::optional<device::PutProfile> profile) {
  const auto before = wanted_.find(key);
  if (!profile) {
    if (before == wanted_.end()) return;
    wanted_.erase(before);
    told_before_.erase(key);
  } else {
    if (before != wanted_.end() && before->second == *profile) return;
    wanted_.insert_or_assign(key, *std::move(profile));
  }
  refused_.erase(key);
  note(key);
}

void DeviceProfiles::begin() {
  is_known_ = false;
  held_.clear();
  refused_.clear();
  superfluous_.clear();
  missing_.clear();
}

void DeviceProfiles::has(const device::PutProfile& profile) {
  const ProfileKey key = key_of(profile);
  held_.insert_or_assign(key, profile);
  note(key);
}

void DeviceProfiles::knows_all() {
  if (std::exchange(is_known_, true)) return;
  for (const auto& [key, profile] : wanted_) note(key);
}

void DeviceProfiles::note(const ProfileKey& key) {
  const auto wanted = wanted_.find(key);
  const auto held = held_.find(key);
  const bool is_wanted = wanted != wanted_.end() && !refused_.contains(key);
  const bool is_held = held != held_.end();
  superfluous_.erase(key);
  missing_.erase(key);
  if (!is_wanted && is_held) superfluous_.insert(key);
  if (is_wanted && !(is_held && held->second == wanted->second)) missing_.insert(key);
}

auto DeviceProfiles::take(std::size_t most) -> std::vector<device::Operation> {
  std::vector<device::Operation> operations;
  while (operations.size() < most && !superfluous_.empty()) {
    const ProfileKey key = *superfluous_.begin();
    superfluous_.erase(superfluous_.begin());
    held_.erase(key);
    ++taken_[key];
    operations.emplace_back(device::DropProfile{.realm = key.first, .internal_prefix = key.second});
  }
  while (operations.size() < most && !missing_.empty()) {
    const ProfileKey key = *missing_.begin();
    missing_.erase(missing_.begin());
    const device::PutProfile& profile = wanted_.at(key);
    held_.insert_or_assign(key, profile);
    ++taken_[key];
    operations.emplace_back(profile);
  }
  return operations;
}

void DeviceProfiles::applied(std::span<const device::Operation> operations,
                             std::span<const device::Result> results) {
  PORTOLAN_CHECK(operations.size() == results.size());
  bool has_room = false;
  for (std::size_t i = 0; i < results.size(); ++i) {
    const auto* const put = std::get_if<device::PutProfile>(&operations[i]);
    const ProfileKey key =
        put != nullptr ? key_of(*put) : key_of(std::get<device::DropProfile>(operations[i]));
    if (const auto taken = taken_.find(key); taken != taken_.end() && --taken->second == 0)
      taken_.erase(taken);
    // The next inventory tells.
    if (!results[i] && results[i].error() == device::Refusal::unreachable) continue;
    // Another may be wanted, or on its way, by now: what this one did is undone then.
    const auto wanted = wanted_.find(key);
    if (put == nullptr) {
      held_.erase(key);
      // What was refused itself had no room that others could have now.
      has_room = has_room || !refused_.contains(key);
    } else if (results[i]) {
      held_.insert_or_assign(key, *put);
      told_before_.erase(key);
    } else if (wanted != wanted_.end() && wanted->second == *put) {
      // Rather none than one of before.
      refused_.insert_or_assign(key, results[i].error());
      const auto told = told_before_.find(key);
      if (told == told_before_.end() || told->second != results[i].error())
        told_.push_back({.users = key.second, .refusal = results[i].error()});
      told_before_.insert_or_assign(key, results[i].error());
    }
    note(key);
  }
  if (has_room) try_refused_again();
}

void DeviceProfiles::try_refused_again() {
  for (auto refused = refused_.begin(); refused != refused_.end();) {
    const auto& [key, refusal] = *refused;
    if (refusal != device::Refusal::no_resources) {
      ++refused;
      continue;
    }
    const ProfileKey again = key;
    refused = refused_.erase(refused);
    note(again);
  }
}

}  // namespace portolan::server
