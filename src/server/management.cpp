// SPDX-License-Identifier: BSD-2-Clause
//
// What the operator changes while the server runs: users, static mappings, settings, announcements. A user is
// in force at once; the device is told, then the store, and if either fails all is as before.
#include <algorithm>
#include <limits>
#include <set>
#include <utility>

#include "base/check.h"
#include "server/server.h"

namespace portolan::server {
namespace {

using Reason = Failure::Reason;

constexpr std::uint32_t filters_max_max = 64;
constexpr std::uint16_t port_set_max_max = 4096;
/// FILTER entries of a static mapping: as many as a device takes.
constexpr std::size_t static_filters_max = 8;
constexpr std::size_t protocols_max = 256;
constexpr std::uint16_t port_block_unit = 64;
/// How often clients may be told the epoch at the operator's wish.
constexpr Seconds announcement_interval{1};

auto failure(Reason reason, std::string text) -> std::unexpected<Failure> {
  return std::unexpected(Failure{.reason = reason, .refusal = {}, .text = std::move(text)});
}

auto in_configuration(std::string_view what) -> std::unexpected<Failure> {
  return failure(Reason::configured,
                 fmt::format("{} is in the configuration: change it there, and reload", what));
}

auto is_multicast(const IpAddress& address) -> bool {
  return address.is_ipv4() ? address.ipv4().value >> 28U == 0xe : address.bits().octets[0] == 0xff;
}

/// What is wrong with a policy; empty if nothing is.
auto problem_of(const Policy& policy) -> std::string {
  if (policy.internal_ports.last < policy.internal_ports.first) return "internal ports end before they begin";
  if (policy.external_ports.last < policy.external_ports.first) return "external ports end before they begin";
  if (policy.mappings_max < 1) return "mappings_per_user_max must be at least 1";
  if (policy.filters_max < 1 || policy.filters_max > filters_max_max)
    return fmt::format("filters_max must be 1 to {}", filters_max_max);
  if (policy.port_set_max < 1 || policy.port_set_max > port_set_max_max)
    return fmt::format("port_set_max must be 1 to {}", port_set_max_max);
  if (policy.protocols.size() > protocols_max)
    return fmt::format("there are no more than {} protocols", protocols_max);
  return {};
}

}  // namespace

auto problem_of(const Profile& user) -> std::string {
  const Allotment& allotment = user.allotment;
  if (allotment.external_ports.last < allotment.external_ports.first)
    return "external ports end before they begin";
  if (allotment.port_block_size != device::PutProfile::no_port_blocks &&
      allotment.port_block_size % port_block_unit != 0)
    return fmt::format("port_block_size must be a multiple of {}", port_block_unit);
  const auto& length = user.subscriber_prefix_length;
  if (length && (*length < 1 || *length > 128)) return "subscriber_prefix_length must be 1 to 128";
  return problem_of(user.policy);
}

auto problem_of(const StaticMapping& mapping) -> std::string {
  const MappingKey& key = mapping.key;
  if (key.protocol != Protocol::tcp && key.protocol != Protocol::udp) return "protocol must be tcp or udp";
  if (key.internal_address.is_unspecified() || is_multicast(key.internal_address))
    return "internal address must be a host's";
  if (key.internal_port == Port{0} || mapping.external_port == Port{0}) return "ports must be 1 to 65535";
  if (mapping.external_address.family() != key.external_family || is_multicast(mapping.external_address))
    return "external address must be one of the device's";
  if (key.protocol == Protocol::udp &&
      (mapping.external_port == Port{wire::client_port} || mapping.external_port == Port{wire::server_port}))
    return "external port is one of PCP itself, which no host may have";
  if (mapping.description.size() > description_octets_max)
    return fmt::format("description must be at most {} octets", description_octets_max);
  if (mapping.filters.size() > static_filters_max)
    return fmt::format("there must be at most {} filters", static_filters_max);
  return {};
}

auto Server::may_change() const -> std::expected<void, Failure> {
  if (is_undoing_ || is_read_only_)
    return failure(Reason::read_only, "the store does not write: nothing can be changed until it does");
  if (user_changes_.size() + static_changes_.size() + deletions_.size() >= operations_max)
    return failure(Reason::busy,
                   fmt::format("{} changes are under way: wait for some to end", operations_max));
  return {};
}

void Server::end(OperationId operation, std::expected<Outcome, Failure> result) {
  const auto deletion = std::ranges::find(deletions_, operation, &Deletion::id);
  if (deletion == deletions_.end())
    return actions_.finished.push_back({.id = operation, .result = std::move(result)});
  --deletion->under_way;
  if (result)
    deletion->outcome.deleted += result->deleted;
  else if (result.error().reason == Reason::configured)
    ++deletion->outcome.kept;
  else
    deletion->has_met_busy = true;
}

auto Server::check_user(const Profile& user) const -> std::expected<const User*, Failure> {
  if (auto may = may_change(); !may) return std::unexpected(std::move(may.error()));
  if (const auto problem = problem_of(user); !problem.empty())
    return failure(Reason::invalid, fmt::format("user {}: {}", user.users, problem));
  return find_own_user(user.users);
}

/// Nothing is under way about it, and the configuration has none.
auto Server::find_own_user(const Prefix& prefix) const -> std::expected<const User*, Failure> {
  if (user_changes_.contains(prefix))
    return failure(Reason::busy, fmt::format("user {}: a change is under way", prefix));
  const User* const present = users_.find_exactly(prefix);
  if (present != nullptr && present->origin == Origin::configured)
    return in_configuration(fmt::format("user {}", prefix));
  return present;
}

auto Server::add_user(TimePoint now, Profile user) -> std::expected<OperationId, Failure> {
  const Prefix prefix = user.users;
  const auto present = check_user(user);
  if (!present) return std::unexpected(present.error());
  if (*present != nullptr)
    return failure(Reason::exists, fmt::format("user {} is there already: change it", prefix));
  if (users_.count_of(Origin::by_hand) >= config_.users_by_hand_max)
    return failure(Reason::limit, fmt::format("{} users were added by hand, which is the most: delete some",
                                              config_.users_by_hand_max));
  return change_user_to(now, prefix, std::move(user));
}

auto Server::change_user(TimePoint now, Profile user) -> std::expected<OperationId, Failure> {
  const Prefix prefix = user.users;
  const auto present = check_user(user);
  if (!present) return std::unexpected(present.error());
  if (*present == nullptr)
    return failure(Reason::not_found, fmt::format("there is no user {} of its own: add it", prefix));
  return change_user_to(now, prefix, std::move(user));
}

auto Server::delete_user(TimePoint now, const Prefix& prefix) -> std::expected<OperationId, Failure> {
  if (auto may = may_change(); !may) return std::unexpected(std::move(may.error()));
  const auto present = find_own_user(prefix);
  if (!present) return std::unexpected(present.error());
  if (*present != nullptr) return change_user_to(now, prefix, std::nullopt);
  const auto* subscriber = contracts_.find_subscriber(prefix);
  if (subscriber == nullptr || subscriber->contracts == 0 || prefix.length() == 0)
    return failure(Reason::not_found, fmt::format("there is no user {}", prefix));
  return begin_deletion(now, {.id = next_operation(), .of_user = prefix});
}

auto Server::change_user_to(TimePoint now, const Prefix& prefix, std::optional<Profile> after)
    -> OperationId {
  const User* const present = users_.find_exactly(prefix);
  UserChange change{.id = next_operation(),
                    .before = present != nullptr ? std::optional(present->profile) : std::nullopt,
                    .after = after};
  if (change.before && after)
    change.awaits_device = change.before->allotment != after->allotment ||
                           change.before->subscriber_prefix_length != after->subscriber_prefix_length;
  const OperationId id = change.id;
  user_changes_.emplace(prefix, std::move(change));
  // Limits may have become smaller than what was promised.
  was_reconfigured_ = true;
  std::optional<User> user;
  if (after) user = User{.profile = *std::move(after), .origin = Origin::by_hand, .is_changing = true};
  put_user(prefix, std::move(user));
  review_user_changes();
  submit_profiles();
  commit_if_possible(now);
  return id;
}

void Server::put_user(const Prefix& prefix, std::optional<User> user) {
  const User* const before = users_.find_exactly(prefix);
  const bool gave = before != nullptr && is_given_something(before->profile);
  const bool gives = user && is_given_something(user->profile);
  if (user)
    PORTOLAN_CHECK(users_.put(*std::move(user)));
  else
    users_.erase(prefix);
  const User* const after = users_.find_exactly(prefix);
  device_profiles_.want(profile_key(prefix),
                        after != nullptr ? wanted_profile(users_, after->profile) : std::nullopt);
  // Those within it should have a profile of their own, or need none any more.
  if (gave != gives && prefix.length() > 0 && users_.has_longer_than(prefix.length())) profile_walk_ = 0;
}

void Server::walk_profiles() {
  if (!profile_walk_) return;
  std::size_t looks = page_looks_max;
  while (const User* const user = users_.next(*profile_walk_, looks))
    device_profiles_.want(profile_key(user->profile.users), wanted_profile(users_, user->profile));
  if (!users_.has_more(*profile_walk_)) profile_walk_.reset();
  submit_profiles();
}

void Server::review_user_changes() {
  for (auto next = user_changes_.begin(); next != user_changes_.end();) {
    const Prefix prefix = next->first;
    UserChange& change = next->second;
    ++next;
    if (!change.awaits_device) continue;
    const ProfileKey key = profile_key(prefix);
    const auto refused = device_profiles_.refused().find(key);
    if (!change.after || refused == device_profiles_.refused().end()) {
      change.awaits_device = device_profiles_.is_unsettled(key);
      continue;
    }
    const device::Refusal refusal = refused->second;
    const OperationId id = change.id;
    roll_back_user(prefix);
    end(id, std::unexpected(
                Failure{.reason = Reason::refused,
                        .refusal = refusal,
                        .text = fmt::format("the device does not give user {} what it should have: {}",
                                            prefix, to_string(refusal))}));
  }
}

void Server::roll_back_user(const Prefix& prefix) {
  auto change = user_changes_.extract(prefix);
  std::optional<User> before;
  if (change.mapped().before)
    before = User{.profile = *std::move(change.mapped().before), .origin = Origin::by_hand};
  put_user(prefix, std::move(before));
}

void Server::append_change_rows(std::vector<store::Row>& rows, std::vector<Prefix>& users,
                                std::vector<MappingKey>& statics) {
  for (auto& [prefix, change] : user_changes_) {
    if (change.awaits_device || change.is_committing) continue;
    change.is_committing = true;
    users.push_back(prefix);
    if (change.after)
      rows.emplace_back(store::PutUser{*change.after});
    else
      rows.emplace_back(store::DropUser{prefix});
  }
  for (auto& [key, change] : static_changes_) {
    if (!change.awaits_store || change.is_committing) continue;
    change.is_committing = true;
    statics.push_back(key);
    if (change.is_deletion)
      rows.emplace_back(store::DropStatic{key});
    else
      rows.emplace_back(store::PutStatic{change.mapping});
  }
}

void Server::changes_committed(TimePoint now, const std::vector<Prefix>& users,
                               const std::vector<MappingKey>& statics) {
  // Those that a configuration has overruled meanwhile are not there.
  for (const Prefix& prefix : users) {
    const auto found = user_changes_.find(prefix);
    if (found == user_changes_.end() || !found->second.is_committing) continue;
    UserChange change = std::move(found->second);
    user_changes_.erase(found);
    Event::Kind kind = Event::Kind::user_deleted;
    if (change.after) kind = change.before ? Event::Kind::user_changed : Event::Kind::user_added;
    events_.record({.time = now, .kind = kind, .user = prefix});
    if (change.after) {
      put_user(prefix, User{.profile = *std::move(change.after), .origin = Origin::by_hand});
      end(change.id, Outcome{});
    } else {
      begin_deletion(now, {.id = change.id, .of_user = prefix});
    }
  }
  for (const MappingKey& key : statics) {
    const auto found = static_changes_.find(key);
    if (found == static_changes_.end() || !found->second.is_committing) continue;
    const StaticChange change = std::move(found->second);
    static_changes_.erase(found);
    end(change.id, Outcome{.deleted = change.is_deletion ? std::size_t{1} : std::size_t{0}});
  }
  // A user around one of these, added meanwhile, may be given something.
  submit_profiles();
}

void Server::changes_not_durable() {
  const Failure failure{
      .reason = Reason::not_durable, .refusal = {}, .text = "the store did not write it: all is as before"};
  while (!user_changes_.empty()) {
    const Prefix prefix = user_changes_.begin()->first;
    const OperationId id = user_changes_.begin()->second.id;
    roll_back_user(prefix);
    end(id, std::unexpected(failure));
  }
  while (!static_changes_.empty()) {
    const MappingKey key = static_changes_.begin()->first;
    const OperationId id = static_changes_.begin()->second.id;
    roll_back_static(key);
    end(id, std::unexpected(failure));
  }
  submit_profiles();
}

void Server::configure_users() {
  PORTOLAN_CHECK(config_.profiles.size() <= config_.profiles_max);
  std::vector<Profile> profiles = std::exchange(config_.profiles, {});
  std::ranges::sort(profiles, {}, &Profile::users);
  std::vector<Prefix> gone;
  Users::Place cursor = 0;
  std::size_t looks = std::numeric_limits<std::size_t>::max();
  while (const User* const user = users_.next(cursor, looks))
    if (user->origin == Origin::configured &&
        !std::ranges::binary_search(profiles, user->profile.users, {}, &Profile::users))
      gone.push_back(user->profile.users);
  for (const Prefix& prefix : gone) users_.erase(prefix);
  for (Profile& profile : profiles) {
    overrule_user(profile.users);
    PORTOLAN_CHECK(users_.put({.profile = std::move(profile), .origin = Origin::configured}));
  }
  device_profiles_.want(profile_table(users_));
  profile_walk_.reset();
}

void Server::overrule_user(const Prefix& prefix) {
  const User* const present = users_.find_exactly(prefix);
  const auto change = user_changes_.find(prefix);
  const bool is_by_hand = present != nullptr && present->origin == Origin::by_hand;
  if (!is_by_hand && change == user_changes_.end()) return;
  housekeeping_.emplace_back(store::DropUser{prefix});
  actions_.overruled.push_back({.user = prefix, .mapping = {}});
  if (change == user_changes_.end()) return;
  const OperationId id = change->second.id;
  user_changes_.erase(change);
  end(id, in_configuration(fmt::format("user {}", prefix)));
}

auto Server::add_mapping(TimePoint now, StaticMapping mapping) -> std::expected<OperationId, Failure> {
  const MappingKey key = mapping.key;
  const auto name =
      fmt::format("the mapping of {} port {} of {}", key.protocol, key.internal_port, key.internal_address);
  if (auto may = may_change(); !may) return std::unexpected(std::move(may.error()));
  if (const auto problem = problem_of(mapping); !problem.empty())
    return failure(Reason::invalid, fmt::format("{}: {}", name, problem));
  if (!gives(key))
    return failure(Reason::invalid, fmt::format("{}: no device maps {} to {}", name,
                                                key.internal_address.family(), key.external_family));
  if (static_changes_.contains(key))
    return failure(Reason::busy, fmt::format("{}: a change is under way", name));
  if (const auto present = statics_.find(key); present != statics_.end()) {
    if (present->second.origin == Origin::configured) return in_configuration(name);
    return failure(Reason::exists, fmt::format("{} is there already: delete it first", name));
  }
  if (statics_by_hand_ >= config_.statics_by_hand_max)
    return failure(Reason::limit,
                   fmt::format("{} static mappings were added by hand, which is the most: delete some",
                               config_.statics_by_hand_max));
  const OperationId id = next_operation();
  static_changes_.emplace(key, StaticChange{.id = id, .mapping = mapping});
  put_static({.mapping = std::move(mapping), .origin = Origin::by_hand});
  next_static_review_ = {};
  review_statics(now);
  commit_if_possible(now);
  return id;
}

auto Server::announce(TimePoint now, bool begins_epoch) -> std::expected<void, Failure> {
  if (now < next_announcement_) return failure(Reason::busy, "clients were told less than a second ago");
  const bool is_for_all = config_.epoch_scope == EpochScope::server;
  if (begins_epoch && is_for_all && !announce_restart(now))
    return failure(Reason::busy, "the epoch began less than a second ago");
  next_announcement_ = now + announcement_interval;
  if (!begins_epoch && is_for_all) announcements_.begin(now, config_.announcements);
  std::set<std::pair<Endpoint, std::uint16_t>> told;
  contracts_.for_each([&](const Contract& contract) {
    if (begins_epoch && !is_for_all) contracts_.restart_state(now, contract.subscriber);
    tell_epoch(now, contract, told);
  });
  commit_if_possible(now);
  return {};
}

auto Server::announce_to(TimePoint now, const Prefix& user, bool begins_epoch)
    -> std::expected<std::size_t, Failure> {
  if (begins_epoch && config_.epoch_scope == EpochScope::server)
    return failure(Reason::invalid, "all users have the same epoch: begin it for all, or not at all");
  if (!find_user(now, user)) return failure(Reason::not_found, fmt::format("there is no user {}", user));
  std::set<std::pair<Endpoint, std::uint16_t>> told;
  ContractTable::Place cursor = 0;
  std::size_t looks = std::numeric_limits<std::size_t>::max();
  while (const auto* subscriber = contracts_.next_subscriber(cursor, looks)) {
    const Prefix prefix = subscriber->prefix;
    if (prefix.length() < user.length() || !user.contains(prefix.address())) continue;
    if (begins_epoch) contracts_.restart_state(now, prefix);
    contracts_.for_each_of(prefix, [&](const Contract& contract) { tell_epoch(now, contract, told); });
  }
  return told.size();
}

auto Server::runtime_settings() const -> RuntimeSettings {
  const Policy& policy = config_.policy;
  return {.minimum_lifetime = config_.minimum_lifetime,
          .maximum_lifetime = config_.maximum_lifetime,
          .short_error_lifetime = config_.short_error_lifetime,
          .long_error_lifetime = config_.long_error_lifetime,
          .announcements = config_.announcements,
          .map = policy.map,
          .peer = policy.peer,
          .third_party = policy.third_party,
          .mappings_per_user_max = policy.mappings_max,
          .filters_max = policy.filters_max,
          .port_set_max = policy.port_set_max};
}

auto Server::set(const RuntimeSettings& settings) -> std::expected<void, Failure> {
  const auto require_lifetime = [](std::string_view name, Seconds value, Seconds least) {
    if (value >= least && value <= lifetime_max) return std::string();
    return fmt::format("{} must be {} to {} s", name, least.count(), lifetime_max.count());
  };
  std::string problem = require_lifetime("minimum_lifetime", settings.minimum_lifetime, Seconds{1});
  if (problem.empty())
    problem = require_lifetime("maximum_lifetime", settings.maximum_lifetime, settings.minimum_lifetime);
  if (problem.empty())
    problem = require_lifetime("short_error_lifetime", settings.short_error_lifetime, Seconds{0});
  if (problem.empty())
    problem = require_lifetime("long_error_lifetime", settings.long_error_lifetime, Seconds{0});
  if (problem.empty() && settings.announcements > announcements_max)
    problem = fmt::format("announcements must be 0 to {}", announcements_max);
  Policy policy = config_.policy;
  policy.map = settings.map;
  policy.peer = settings.peer;
  policy.third_party = settings.third_party;
  policy.mappings_max = settings.mappings_per_user_max;
  policy.filters_max = settings.filters_max;
  policy.port_set_max = settings.port_set_max;
  if (problem.empty()) problem = problem_of(policy);
  if (!problem.empty()) return failure(Reason::invalid, std::move(problem));
  config_.policy = std::move(policy);
  config_.minimum_lifetime = settings.minimum_lifetime;
  config_.maximum_lifetime = settings.maximum_lifetime;
  config_.short_error_lifetime = settings.short_error_lifetime;
  config_.long_error_lifetime = settings.long_error_lifetime;
  config_.announcements = settings.announcements;
  was_reconfigured_ = true;
  return {};
}

}  // namespace portolan::server
