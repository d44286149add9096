// SPDX-License-Identifier: BSD-2-Clause
#include "sim/engine_run.h"

#include <map>

#include <fmt/format.h>

#include "sim/answer_check.h"

namespace portolan::sim {
namespace {

using server::Answer;
using server::Config;

constexpr std::size_t network_datagrams_max = 64;
constexpr Seconds longest_lifetime{600};

auto config(Choices& choices, bool has_port_sets) -> Config {
  Config config{.minimum_lifetime = Seconds{5},
                .maximum_lifetime = longest_lifetime,
                .mappings_max = 24,
                .policy = {.mappings_max = 6, .filters_max = 2},
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
      world_(config(choices, has_port_sets_), device_config()) {
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
  count_answers();
  if (!world_.applying.empty() || world_.committing) return "work is left although all is quiet";
  if (auto broken = miscounted()) return broken;
  if (auto broken = unmapped()) return broken;
  return world_.disagreement(longest_lifetime);
}

auto EngineRun::run_out() -> std::optional<std::string> {
  if (auto broken = quiesce()) return broken;
  world_.pass(longest_lifetime);
  world_.pass(longest_lifetime);
  if (auto broken = quiesce()) return broken;
  if (world_.server.contracts().size() != 0) return "contracts are left";
  if (!world_.stored.empty()) return "rows are left";
  if (!world_.nat.explicit_mappings(world_.now).empty()) return "mappings are left at the device";
  return {};
}

auto EngineRun::act() -> std::optional<std::string> {
  switch (choices_.below(22)) {
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
    default: deliver(); break;
  }
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
  has_missed_events_ = has_missed_events_ || !world_.is_reconciled;
  world_.set_pool(pool_);
}

/// The device goes out of reach, perhaps with something done and not answered; or it begins anew.
void EngineRun::lose_device() {
  if (world_.is_connected) has_missed_events_ = has_missed_events_ && !world_.is_reconciled;
  const bool has_done_next = choices_.one_in(2);
  if (choices_.one_in(2)) return world_.disconnect(has_done_next);
  world_.restart_device(device_config(), has_done_next);
  static_cast<void>(world_.nat.set_pool(world_.now, pool_));
  is_gated_ = true;
}

auto EngineRun::disturbed() const -> std::uint64_t {
  const server::Counters& counters = world_.server.counters();
  return counters.moved + counters.lost + counters.refused_undos;
}

/// If the device is out of reach, it comes back; everything under way reaches it.
auto EngineRun::bring_back() -> std::optional<std::string> {
  if (!world_.is_connected) world_.connect(1 + choices_.below(8));
  const std::uint64_t before = disturbed();
  while (!world_.is_reconciled) {
    if (world_.server.next_deadline() == TimePoint{}) world_.pass(Nanoseconds{0});
    if (!world_.apply_next() && world_.server.next_deadline() != TimePoint{} && !world_.is_reconciled)
      return "the device is not reconciled, and nothing is to be done";
  }
  is_gated_ = false;
  if (disturbed() != before && !has_missed_events_) return "a device that came back moved or lost mappings";
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
  bool is_refused = true;
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
