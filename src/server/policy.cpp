// SPDX-License-Identifier: BSD-2-Clause
#include "server/policy.h"

#include <algorithm>
#include <utility>

namespace portolan::server {

auto Policy::allows(Protocol protocol) const -> bool {
  return protocols.empty() || std::ranges::find(protocols, protocol) != protocols.end();
}

Profiles::Profiles(std::vector<Profile> profiles) {
  for (Profile& profile : profiles) {
    const Prefix users = profile.users;
    by_length_[users.length()].insert_or_assign(users, std::move(profile));
  }
}

auto Profiles::find(const IpAddress& address) const -> const Profile* {
  for (const auto& [length, profiles] : by_length_)
    if (const auto found = profiles.find(Prefix(address, length)); found != profiles.end())
      return &found->second;
  return nullptr;
}

}  // namespace portolan::server
