// SPDX-License-Identifier: BSD-2-Clause
//
// What the device is told of users, so that their own traffic too has what the operator gave them: which
// profiles it should have, which it has, and what brings the one to the other. No order of operations here
// makes an explicit mapping fail: profiles are about what is new and has no place yet.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/mapping_key.h"
#include "device/device.h"
#include "server/users.h"

namespace portolan::server {

/// Names a profile.
using ProfileKey = std::pair<Realm, Prefix>;
using ProfileTable = std::map<ProfileKey, device::PutProfile>;

[[nodiscard]] auto profile_key(const Prefix& users) -> ProfileKey;
/// Whether the device is to give `user` something.
[[nodiscard]] auto is_given_something(const Profile& user) -> bool;
/// What the device should have for `user`, one of `users`: a profile for all who are given something of it,
/// and for those within them who are not, because the most specific profile counts.
[[nodiscard]] auto wanted_profile(const Users& users, const Profile& user)
    -> std::optional<device::PutProfile>;
/// For all of `users`.
[[nodiscard]] auto profile_table(const Users& users) -> ProfileTable;

/// The device did not take a profile: its users have what everybody has.
struct RefusedProfile {
  Prefix users;
  device::Refusal refusal{};
};

class DeviceProfiles {
 public:
  /// The device should have `wanted` from now on. What it refused and is still wanted likewise is not tried
  /// again, but for want of room once another is dropped.
  void want(ProfileTable wanted);
  /// The same of one alone; nothing: it should have none.
  void want(const ProfileKey& key, std::optional<device::PutProfile> profile);
  /// The device is there (again), and tells what it has: begin(), has() for each, knows_all().
  void begin();
  void has(const device::PutProfile& profile);
  void knows_all();

  /// Whether take() has anything.
  [[nodiscard]] auto has_more() const -> bool {
    return is_known_ && !(superfluous_.empty() && missing_.empty());
  }
  /// The next operations, at most `most`. What nobody wants goes first, so that there is room.
  [[nodiscard]] auto take(std::size_t most) -> std::vector<device::Operation>;
  /// Whether something about `key` is to be done, or under way, at a device that is there.
  [[nodiscard]] auto is_unsettled(const ProfileKey& key) const -> bool {
    return taken_.contains(key) || (is_known_ && (superfluous_.contains(key) || missing_.contains(key)));
  }
  /// Results of operations from take(), those of one call in order.
  void applied(std::span<const device::Operation> operations, std::span<const device::Result> results);
  /// Each refusal once, until it is another.
  [[nodiscard]] auto take_refused() -> std::vector<RefusedProfile> { return std::exchange(told_, {}); }

  [[nodiscard]] auto wanted() const -> const ProfileTable& { return wanted_; }
  [[nodiscard]] auto refused() const -> const std::map<ProfileKey, device::Refusal>& { return refused_; }

 private:
  /// Notes what is to be done about `key`.
  void note(const ProfileKey& key);
  void try_refused_again();

  ProfileTable wanted_;
  /// What the device has once it has done all that was taken.
  ProfileTable held_;
  bool is_known_ = false;
  std::set<ProfileKey> superfluous_;
  std::set<ProfileKey> missing_;
  std::map<ProfileKey, device::Refusal> refused_;
  /// How many operations about it are under way.
  std::map<ProfileKey, unsigned> taken_;
  std::map<ProfileKey, device::Refusal> told_before_;
  std::vector<RefusedProfile> told_;
};

}  // namespace portolan::server
