// SPDX-License-Identifier: BSD-2-Clause
#include "sim/engine_run.h"

#include <array>
#include <map>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "sim/answer_check.h"
#include "wire/nat_pmp.h"

namespace portolan::sim {
namespace {

using server::Answer;
using server::Config;

constexpr std::size_t network_datagrams_max = 64;
constexpr Seconds longest_lifetime{600};
/// Seconds after which what the operator asked for has an end, when all is quiet.
constexpr int turns_max = 100;

auto config(Choices& choices, bool has_port_sets) -> Config {
  Config config{.minimum_lifetime = Seconds{5},
                .maximum_lifetime = longest_lifetime,
                .mappings_max = 24,
                .policy = {.mappings_max = 6, .filters_max = 2},
                .profiles_max = 8,
                .users_by_hand_max = 3,
                .statics_by_hand_max = 3,
                .batches_in_flight_max = 6,
                .deferred_max = 8,
                .expiries_per_advance_max = 2,
                .updates_per_advance_max = 2,
                .inside = {{.subscriber_prefix_length = 128}},
                .external_addresses = {external_address(0).ipv4()},
                .nat_pmp_addresses = {external_address(0).ipv4()},
                .version_1 = true};
  config.profiles = {
      {.users = *Prefix::parse("2001:db8:113::/64"),
       .policy = {.third_party = true, .nonce = server::NoncePolicy::relaxed, .mappings_max = 9}},
      {.users = *Prefix::parse("198.51.100.0/24"), .policy = {.mappings_max = 5}}};
  config.profiles[0].allotment.ports_max = 3;
  config.profiles[1].allotment.external_address = external_address(0);
  if (!has_port_sets) {
    config.policy.port_set_max = 1;
    for (server::Profile& profile : config.profiles) profile.policy.port_set_max = 1;
  }
  config.port_reservation = has_port_sets;
  config.third_party_ids = {{third_party_id(), Realm{5}}};
  if (choices.one_in(2))
    config.prefix64 = {{.prefix = *Prefix::parse("2001:db8:64:ff9b::/96"), .ipv4_prefixes = {}}};
  config.experimental_prefix64 = choices.one_in(2);
  config.unsupp_family = choices.one_in(2);
  config.relaxed_nonce_answer = choices.one_in(2);
  if (choices.one_in(2)) config.epoch_scope = server::EpochScope::subscriber;
  return config;
}

auto device_config() -> device::SimulatedConfig {
  return {.pool = {external_address(0)},
          .first_port = Port{first_external_port},
          .last_port = Port{last_external_port}};
}

/// Users that may be added by hand, and one that may not.
auto user_prefix(Choices& choices) -> Prefix {
  constexpr std::array<std::string_view, 6> prefixes{"2001:db8:112::/64",   "2001:db8:112::1/128",
                                                     "2001:db8:112::2/128", "198.51.100.1/32",
                                                     "2001:db8:113::1/128", "2001:db8:113::/64"};
  return *Prefix::parse(prefixes.at(choices.below(prefixes.size())));
}

auto static_mapping(Choices& choices) -> StaticMapping {
  constexpr std::array<std::string_view, 3> hosts{"2001:db8:112::1", "2001:db8:113::2", "198.51.100.2"};
  const auto external_port = first_external_port + choices.below(12);
  return {.key = {.realm = {},
                  .internal_address = *IpAddress::parse(hosts.at(choices.below(hosts.size()))),
                  .protocol = Protocol::udp,
                  .external_family = Family::ipv4,
                  .internal_port = Port{static_cast<std::uint16_t>(3000 + choices.below(4))}},
          .external_address = external_address(choices.below(2)),
          .external_port = Port{static_cast<std::uint16_t>(external_port)}};
}

/// What deletes all a host has of a protocol passes over the operator's mappings, and is refused therefore,
/// with the others gone (RFC 6886 s3.4).
auto deletes_all(const Ask& ask) -> bool {
  if (!ask.first.address.is_ipv4()) return false;
  const auto request = wire::nat_pmp::decode_request(ask.second);
  const auto* const map = request ? std::get_if<wire::nat_pmp::MapRequest>(&*request) : nullptr;
  return map != nullptr && map->is_delete_all();
}

/// All that an error answer must leave alone; not what only waits to be taken off.
struct State {
  std::map<ContractKey, Contract> contracts;
  std::map<MappingKey, Endpoint> at_device;
  auto operator==(const State&) const -> bool = default;
};

auto state_of(const server::World& world) -> State {
  State state{.contracts = {}, .at_device = world.nat.explicit_mappings(world.now)};
  world.server.contracts().for_each([&](const Contract& contract) {
    if (contract.expires > world.now) state.contracts[contract.key] = contract;
  });
  return state;
}

}  // namespace

EngineRun::EngineRun(Choices& choices)
    : choices_(choices),
      has_port_sets_(choices.one_in(2)),
      config_(config(choices, has_port_sets_)),
      world_(config_, device_config()),
      has_operator_(choices.one_in(2)) {
  // It begins with an inventory of nothing, and gets its profiles.
  world_.connect();
  world_.settle();
}

auto EngineRun::step() -> std::optional<std::string> {
  if (auto broken = act()) return broken;
  count_answers();
  return world_.server.broken_invariant(world_.now);
}

auto EngineRun::quiesce() -> std::optional<std::string> {
  world_.store_fails = false;
  world_.device_refuses.reset();
  if (auto broken = bring_back()) return broken;
  world_.settle();
  while (world_.server.is_read_only() || is_due()) world_.pass(Seconds{1});
  for (int i = 0; i < turns_max && world_.server.gauges().operations > 0; ++i) world_.pass(Seconds{1});
  count_answers();
  if (!world_.applying.empty() || world_.committing) return "work is left although all is quiet";
  if (auto broken = miscounted()) return broken;
  if (auto broken = unmapped()) return broken;
  if (auto broken = wrong_operations()) return broken;
  if (auto broken = wrong_listing()) return broken;
  return world_.disagreement(longest_lifetime);
}

auto EngineRun::run_out() -> std::optional<std::string> {
  if (auto broken = quiesce()) return broken;
  world_.server.reconfigure(world_.now, config_);
  for (const server::UserView& user : world_.users({.within = {}, .origin = server::Origin::by_hand}))
    begun(world_.server.delete_user(world_.now, user.prefix));
  begun(world_.server.delete_mappings(world_.now, {.origin = server::Origin::by_hand}));
  if (auto broken = quiesce()) return broken;
  world_.pass(longest_lifetime);
  world_.pass(longest_lifetime);
  if (auto broken = quiesce()) return broken;
  if (world_.server.contracts().size() != 0) return "contracts are left";
  if (!world_.stored.empty()) return "rows are left";
  if (!world_.stored_users.empty() || !world_.stored_statics.empty()) return "what was added by hand is left";
  if (!world_.nat.explicit_mappings(world_.now).empty()) return "mappings are left at the device";
  return {};
}

auto EngineRun::act() -> std::optional<std::string> {
  switch (choices_.below(24)) {
    case 0: world_.store_fails = choices_.one_in(3); break;
    case 1:
      world_.device_refuses =
          choices_.one_in(4) ? std::optional(device::Refusal::no_resources) : std::nullopt;
      break;
    case 2: world_.pass(Milliseconds{static_cast<int>(choices_.below(40'000))}); break;
    case 3: outbound(); break;
    case 4:
    case 5:
    case 6: world_.commit_next(); break;
    case 7:
    case 8:
    case 9: world_.apply_next(); break;
    case 10: world_.settle(); break;
    case 11: return ask_alone();
    case 12:
      if (choices_.one_in(4)) change_pool();
      break;
    case 13:
      if (choices_.one_in(8)) return quiesce();
      break;
    case 14:
      if (choices_.one_in(4)) lose_device();
      break;
    case 15:
      if (choices_.one_in(2)) return bring_back();
      if (choices_.one_in(4)) world_.give_up();
      break;
    case 16:
    case 17:
      if (has_operator_) manage();
      if (has_operator_ && choices_.one_in(4)) return wrong_listing();
      break;
    default: deliver(); break;
  }
  return {};
}

void EngineRun::manage() {
  switch (choices_.below(8)) {
    case 0:
    case 1: change_users(); break;
    case 2:
      if (choices_.one_in(4)) reload();
      break;
    case 3: {
      server::RuntimeSettings settings = world_.server.runtime_settings();
      settings.maximum_lifetime = longest_lifetime - Seconds{static_cast<int>(choices_.below(700))};
      settings.mappings_per_user_max = static_cast<std::uint32_t>(choices_.below(7));
      static_cast<void>(world_.server.set(settings));
      break;
    }
    case 4: {
      const Prefix user = user_prefix(choices_);
      const bool begins_epoch = choices_.one_in(2);
      if (choices_.one_in(2))
        static_cast<void>(world_.server.announce(world_.now, begins_epoch));
      else
        static_cast<void>(world_.server.announce_to(world_.now, user, begins_epoch));
      break;
    }
    default: change_mappings(); break;
  }
  world_.collect();
}

void EngineRun::change_users() {
  server::Profile user{.users = user_prefix(choices_)};
  user.policy.mappings_max = static_cast<std::uint32_t>(choices_.below(8));
  user.policy.filters_max = 2;
  user.policy.port_set_max = has_port_sets_ ? 3 : 1;
  if (choices_.one_in(2)) user.allotment.ports_max = static_cast<std::uint32_t>(choices_.below(4));
  // What the device refuses.
  if (choices_.one_in(8)) user.allotment.port_block_size = 64;
  switch (choices_.below(4)) {
    case 0: return begun(world_.server.delete_user(world_.now, user.users));
    case 1: return begun(world_.server.change_user(world_.now, std::move(user)));
    default: return begun(world_.server.add_user(world_.now, std::move(user)));
  }
}

void EngineRun::change_mappings() {
  auto mapping = static_mapping(choices_);
  if (choices_.one_in(3))
    mapping.expires = world_.now + Seconds{1 + static_cast<std::int64_t>(choices_.below(300))};
  switch (choices_.below(8)) {
    case 0: {
      server::MappingFilter filter;
      if (choices_.one_in(2)) filter.user = user_prefix(choices_);
      if (choices_.one_in(2)) filter.origin = server::Origin{static_cast<std::uint8_t>(choices_.below(3))};
      return begun(world_.server.delete_mappings(world_.now, filter));
    }
    case 1:
    case 2: {
      const auto page = world_.server.list_mappings(world_.now, {}, {});
      if (page.rows.empty()) return;
      const auto& victim = page.rows[choices_.below(page.rows.size())];
      return begun(world_.server.delete_mapping(world_.now, victim.contract.key));
    }
    case 3:
      return begun(world_.server.delete_mapping(world_.now, {.mapping = mapping.key, .remote_peer = {}}));
    default: return begun(world_.server.add_mapping(world_.now, mapping));
  }
}

/// The configuration has some of what may be added by hand, or has it no more.
void EngineRun::reload() {
  server::Config config = config_;
  if (choices_.one_in(2)) {
    server::Profile user{.users = *Prefix::parse("2001:db8:112::/64"), .policy = config.policy};
    user.allotment.ports_max = 2;
    config.profiles.push_back(std::move(user));
  }
  if (choices_.one_in(2)) config.static_mappings.push_back(static_mapping(choices_));
  world_.server.reconfigure(world_.now, std::move(config));
}

void EngineRun::begun(const std::expected<server::OperationId, server::Failure>& operation) {
  if (operation) ++begun_;
  world_.collect();
}

/// All that is there is listed once.
auto EngineRun::wrong_listing() const -> std::optional<std::string> {
  std::size_t contracts = 0;
  world_.server.contracts().for_each(
      [&](const Contract& contract) { contracts += contract.expires > world_.now ? 1U : 0U; });
  std::map<ContractKey, int> listed;
  std::size_t in_table = 0;
  for (const server::MappingView& view : world_.mappings()) {
    if (++listed[view.contract.key] > 1) return "a mapping is listed twice";
    in_table += world_.server.contracts().find(view.contract.key) != nullptr ? 1U : 0U;
  }
  if (in_table != contracts) return fmt::format("{} of {} mappings are listed", in_table, contracts);
  const server::Gauges gauges = world_.server.gauges();
  std::size_t known = 0;
  std::map<Prefix, int> users;
  for (const server::UserView& view : world_.users()) {
    if (++users[view.prefix] > 1) return "a user is listed twice";
    known += view.origin != server::Origin::dynamic ? 1U : 0U;
  }
  if (known != gauges.users_configured + gauges.users_by_hand) return "not all users are listed";
  return {};
}

auto EngineRun::wrong_operations() const -> std::optional<std::string> {
  if (world_.server.gauges().operations > 0) return "an operation of the operator's does not end";
  std::map<server::OperationId, int> ended;
  for (const server::Finished& finished : world_.finished)
    if (++ended[finished.id] > 1) return "an operation has ended twice";
  if (ended.size() != begun_) return fmt::format("{} operations, {} ended", begun_, ended.size());
  return {};
}

/// Delivers 1 to 4 datagrams: new ones, or old ones again and out of order.
void EngineRun::deliver() {
  std::vector<Ask> batch;
  const std::uint64_t count = 1 + choices_.below(4);
  for (std::uint64_t i = 0; i < count; ++i) {
    if (network_.empty() || !choices_.one_in(3)) network_.push_back(make_ask(choices_));
    batch.push_back(network_[choices_.below(network_.size())]);
    if (network_.size() > network_datagrams_max) network_.erase(network_.begin());
  }
  asked_ += batch.size();
  world_.receive(batch);
}

void EngineRun::change_pool() {
  pool_.clear();
  for (std::uint64_t which = 0; which < external_addresses; ++which)
    if (!choices_.one_in(3)) pool_.push_back(external_address(which));
  // What is undone afterwards finds its external address gone.
  has_missed_events_ = has_missed_events_ || !world_.is_reconciled || !is_settled();
  world_.set_pool(pool_);
}

/// The device goes out of reach, perhaps with something done and not answered; or it begins anew.
void EngineRun::lose_device() {
  if (world_.is_connected && is_settled()) has_missed_events_ = has_missed_events_ && !world_.is_reconciled;
  const bool has_done_next = choices_.one_in(2);
  // What the device deleted, unanswered, traffic might take for good.
  is_gated_ = is_gated_ || has_done_next;
  if (choices_.one_in(2)) return world_.disconnect(has_done_next);
  world_.restart_device(device_config(), has_done_next);
  static_cast<void>(world_.nat.set_pool(world_.now, pool_));
  is_gated_ = true;
}

auto EngineRun::is_settled() const -> bool { return world_.applying.empty() && !world_.committing; }

auto EngineRun::disturbed() const -> std::uint64_t {
  const server::Counters& counters = world_.server.counters();
  return counters.moved + counters.lost + counters.refused_undos;
}

/// If the device is out of reach, it comes back; everything under way reaches it.
auto EngineRun::bring_back() -> std::optional<std::string> {
  if (!world_.is_connected) world_.connect(1 + choices_.below(8));
  // An undo is for want of a store: a port that the device gave others meanwhile may be kept by their
  // traffic.
  const auto lost_or_moved = [&] { return disturbed() - world_.server.counters().refused_undos; };
  const std::uint64_t before = lost_or_moved();
  while (!world_.is_reconciled) {
    if (world_.server.next_deadline() == TimePoint{}) world_.pass(Nanoseconds{0});
    if (!world_.apply_next() && world_.server.next_deadline() != TimePoint{} && !world_.is_reconciled)
      return "the device is not reconciled, and nothing is to be done";
  }
  is_gated_ = false;
  if (lost_or_moved() != before && !has_missed_events_)
    return "a device that came back moved or lost mappings";
  has_missed_events_ = false;
  return {};
}

void EngineRun::outbound() {
  if (is_gated_) return;
  const Ask ask = make_ask(choices_);
  world_.nat.outbound(world_.now,
                      {.realm = {},
                       .internal_address = ask.first.address,
                       .protocol = Protocol::udp,
                       .external_family = Family::ipv4,
                       .internal_port = Port{static_cast<std::uint16_t>(3000 + choices_.below(5))}});
}

/// With nothing else under way and no time passing, so that answer and state can be compared.
auto EngineRun::ask_alone() -> std::optional<std::string> {
  if (auto broken = bring_back()) return broken;
  world_.settle();
  count_answers();
  const State before = state_of(world_);
  const std::uint64_t disturbed_before = disturbed();
  const Ask ask = make_ask(choices_);
  ++asked_;
  world_.receive({ask});
  world_.settle();
  bool is_refused = !deletes_all(ask);
  for (const Answer& answer : world_.answers) {
    if (auto wrong = wrong_answer(ask, answer, world_.server.contracts(), world_.now)) return wrong;
    is_refused = is_refused && is_error(answer);
  }
  // What the device had ended by itself comes out when a commit fails and is undone.
  if (is_refused && disturbed() == disturbed_before && state_of(world_) != before)
    return "what was refused or dropped changed something";
  count_answers();
  return miscounted();
}

void EngineRun::count_answers() {
  answered_ += world_.answers.size();
  world_.answers.clear();
}

/// Every request is answered, or counted as dropped; only to be asked when nothing is under way.
auto EngineRun::miscounted() const -> std::optional<std::string> {
  const server::Counters& counters = world_.server.counters();
  const std::uint64_t unasked = counters.updates_sent + counters.announcements_sent - world_.announced.size();
  const std::uint64_t ends = answered_ - unasked + counters.dropped_too_short + counters.dropped_response +
                             counters.dropped_overload;
  if (has_port_sets_ ? ends < asked_ : ends != asked_)
    return fmt::format("{} requests, {} answers and drops", asked_, ends);
  return {};
}

/// What the device does with packets for the contracts, port by port and peer by peer.
auto EngineRun::unmapped() const -> std::optional<std::string> {
  std::optional<std::string> found;
  world_.server.contracts().for_each([&](const Contract& contract) {
    const MappingKey& key = contract.key.mapping;
    if (contract.expires <= world_.now || !contract.filters().empty()) return;
    for (std::uint16_t i = 0; i < contract.port_count; ++i) {
      const Endpoint external{contract.external_address,
                              Port{static_cast<std::uint16_t>(contract.external_port.value + i)}};
      const Endpoint internal{key.internal_address,
                              Port{static_cast<std::uint16_t>(key.internal_port.value + i)}};
      if (world_.nat.inbound(world_.now, key.protocol, external, contract.key.remote_peer) != internal)
        found = fmt::format("{} does not lead to {} (peer {}, protocol {}, set of {})", external, internal,
                            contract.key.remote_peer, key.protocol, contract.port_count);
    }
  });
  return found;
}

auto EngineRun::is_due() const -> bool {
  return world_.server.next_deadline().value_or(TimePoint::max()) <= world_.now;
}

}  // namespace portolan::sim
