// SPDX-License-Identifier: BSD-2-Clause
//
// What comes in: datagrams (RFC 6887 s8.2, s9; RFC 6886 s3), and time.
#include "server/server.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "base/prefetch.h"

namespace portolan::server {

using wire::ResultCode;

namespace {

auto prefix64_data_of(const Config::Nat64Prefix& nat64) -> std::vector<std::byte> {
  std::vector<std::byte> list(nat64.ipv4_prefixes.size() * wire::Ipv4PrefixList::entry_octets);
  wire::Prefix64 option;
  option.prefix = nat64.prefix;
  if (!nat64.ipv4_prefixes.empty())
    option.ipv4_prefixes = wire::Ipv4PrefixList::write(nat64.ipv4_prefixes, list);
  std::vector<std::byte> data(option.data_octets());
  ByteWriter writer(data);
  option.write(writer);
  return data;
}

/// Those of `addresses` that are not in `others`, sorted.
auto difference(std::vector<Ipv4Address> addresses, std::vector<Ipv4Address> others)
    -> std::vector<Ipv4Address> {
  std::ranges::sort(addresses);
  std::ranges::sort(others);
  std::vector<Ipv4Address> rest;
  std::ranges::set_difference(addresses, others, std::back_inserter(rest));
  return rest;
}

}  // namespace

Server::Server(Config config, Random& random, device::StandingOf standing_of)
    : config_(std::move(config)),
      standing_of_(std::move(standing_of)),
      users_(config_.profiles_max + config_.users_by_hand_max, random),
      contracts_(config_.mappings_max, random),
      updates_(random),
      statics_(0, MappingKeyHash(HashKey::generate(random))),
      static_hosts_(0, MappingKeyHash(HashKey::generate(random))),
      in_flight_(0, MappingKeyHash(HashKey::generate(random))) {
  derive_from_config();
}

void Server::derive_from_config() {
  PORTOLAN_CHECK(config_.minimum_lifetime >= Seconds{1});
  PORTOLAN_CHECK(config_.minimum_lifetime <= config_.maximum_lifetime);
  PORTOLAN_CHECK(config_.maximum_lifetime <= lifetime_max);
  configure_users();
  configure_statics();
  prefix64_data_.clear();
  for (const Config::Nat64Prefix& nat64 : config_.prefix64) prefix64_data_.push_back(prefix64_data_of(nat64));
}

void Server::reconfigure(TimePoint now, Config config) {
  PORTOLAN_CHECK(config.inside.size() == config_.inside.size());
  PORTOLAN_CHECK(config.epoch_scope == config_.epoch_scope);
  const auto gone = difference(config_.external_addresses, config.external_addresses);
  const bool loses_address = !gone.empty();
  // They move, and then their clients hear it.
  std::vector<ContractKey> moving;
  if (loses_address)
    contracts_.for_each([&](const Contract& contract) {
      if (contract.external_address.is_ipv4() &&
          std::ranges::binary_search(gone, contract.external_address.ipv4()))
        moving.push_back(contract.key);
    });
  const auto prefixes_before = std::move(prefix64_data_);
  config.epoch_base = config_.epoch_base;
  // The tables have their size.
  config.mappings_max = config_.mappings_max;
  config.profiles_max = config_.profiles_max;
  config.users_by_hand_max = config_.users_by_hand_max;
  config_ = std::move(config);
  derive_from_config();
  was_reconfigured_ = true;
  submit_profiles();
  if (loses_address && config_.epoch_scope == EpochScope::server) {
    if (announce_restart(now)) announce_epochs(now, moving);
    return;
  }
  if (prefix64_data_ != prefixes_before) announcements_.begin(now, config_.announcements);
}

void Server::receive(TimePoint now, std::span<const Inbound> datagrams) {
  Batch batch;
  batch.items.reserve(datagrams.size());
  while (!datagrams.empty()) {
    const auto together = datagrams.first(std::min(datagrams.size(), fetched_together_max));
    datagrams = datagrams.subspan(together.size());
    fetch_requested(together);
    for (const Inbound& datagram : together) admit(now, datagram, batch);
  }
  submit(std::move(batch));
}

/// What plain MAP requests are about.
void Server::fetch_requested(std::span<const Inbound> datagrams) const {
  std::array<ContractTable::Upcoming, fetched_together_max> calls;
  std::size_t count = 0;
  for (const Inbound& datagram : datagrams) {
    const auto request = wire::decode_request(datagram.payload, {});
    const auto* map = request ? std::get_if<wire::MapRequest>(&request->body) : nullptr;
    if (map == nullptr) continue;
    calls[count++] =
        contracts_.upcoming(ContractTable::Upcoming::Call::find,
                            {.mapping = {.realm = {},
                                         .internal_address = datagram.client.address,
                                         .protocol = map->protocol,
                                         .external_family = map->suggested_external_address.family(),
                                         .internal_port = map->internal_port},
                             .remote_peer = {}},
                            asker_of(datagram.client.address, datagram.path).subscriber);
  }
  contracts_.fetch(std::span(calls).first(count));
}

// RFC 6887 s8.2, in its order.
void Server::admit(TimePoint now, const Inbound& datagram, Batch& batch, bool is_counted) {
  using wire::RequestError;
  if (config_.nat_pmp && datagram.is_nat_pmp()) return admit_nat_pmp(now, datagram, batch, is_counted);
  const auto request = wire::decode_request(datagram.payload, {.version_1 = config_.version_1});
  if (!request) {
    switch (request.error()) {
      case RequestError::shorter_than_2:
      case RequestError::shorter_than_header: ++counters_.dropped_too_short; return;
      case RequestError::is_response: ++counters_.dropped_response; return;
      case RequestError::unsupported_version:
        return answer_unparsed(now, datagram, ResultCode::unsupp_version);
      case RequestError::too_long:
      case RequestError::not_multiple_of_4:
      case RequestError::too_short_for_opcode:
        return answer_unparsed(now, datagram, ResultCode::malformed_request);
    }
    return;
  }
  if (request->client_address != datagram.client.address)
    return answer_error(now, datagram, ResultCode::address_mismatch);

  if (!is_counted) count_request(*request);
  switch (request->opcode) {
    case wire::Opcode::announce: return answer_announce(now, datagram, *request);
    case wire::Opcode::map:
    case wire::Opcode::peer: return decide(now, datagram, *request, batch);
    default: return answer_error(now, datagram, ResultCode::unsupp_opcode);
  }
}

void Server::count_request(const wire::Request& request) {
  switch (request.opcode) {
    case wire::Opcode::announce: ++counters_.announce_requests; break;
    case wire::Opcode::map: ++counters_.map_requests; break;
    case wire::Opcode::peer: ++counters_.peer_requests; break;
    default: ++counters_.other_requests; break;
  }
  ++counters_.versions[request.version];
  if (request.options.octets().empty()) return;
  for (const wire::Option& option : request.options) ++counters_.options[std::to_underlying(option.code)];
}

// RFC 6886 s3.5.
void Server::admit_nat_pmp(TimePoint now, const Inbound& datagram, Batch& batch, bool is_counted) {
  namespace nat_pmp = wire::nat_pmp;
  const auto request = nat_pmp::decode_request(datagram.payload);
  if (!request) {
    ++(request.error() == nat_pmp::RequestError::is_response ? counters_.dropped_response
                                                             : counters_.dropped_too_short);
    return;
  }
  if (!is_counted) {
    ++counters_.nat_pmp_requests;
    ++counters_.versions[0];
  }
  if (const auto* map = std::get_if<nat_pmp::MapRequest>(&*request))
    return decide_nat_pmp(now, datagram, *map, batch);
  if (std::holds_alternative<nat_pmp::AddressRequest>(*request)) return answer_nat_pmp_address(now, datagram);
  count_answer(datagram, ResultCode::unsupp_opcode);
  send(datagram.client, datagram.path, [&](std::span<std::byte> buffer) {
    return nat_pmp::write_unsupported_opcode(datagram.payload, buffer);
  });
}

auto Server::asker_of(const IpAddress& address, const Path& path) const -> Asker {
  PORTOLAN_CHECK(path.inside < config_.inside.size());
  const User* user = users_.find(address);
  const Profile* profile = user != nullptr ? &user->profile : nullptr;
  unsigned length = address.is_ipv4() ? 128 : config_.inside[path.inside].subscriber_prefix_length;
  if (profile != nullptr && profile->subscriber_prefix_length) length = *profile->subscriber_prefix_length;
  return {.policy = profile != nullptr ? &profile->policy : &config_.policy,
          .subscriber = {address, length},
          .external_address = profile != nullptr ? profile->allotment.external_address : IpAddress{}};
}

auto Server::path_number(const Path& path) -> std::uint16_t {
  const auto found = std::ranges::find(paths_, path);
  if (found != paths_.end()) return static_cast<std::uint16_t>(found - paths_.begin());
  // One more than there is room for stands for a path that is not known any more.
  if (paths_.size() >= config_.paths_max) return static_cast<std::uint16_t>(paths_.size());
  const auto number = static_cast<std::uint16_t>(paths_.size());
  paths_.push_back(path);
  housekeeping_.emplace_back(store::PutPath{.number = number,
                                            .local_address = path.local_address,
                                            .interface = config_.inside[path.inside].interface});
  return number;
}

void Server::learn_address(TimePoint now, std::optional<Ipv4Address> address) {
  if (std::exchange(learned_address_, address) == address || !address) return;
  const bool is_another = former_address_ && former_address_ != address;
  former_address_ = address;
  // RFC 6887 s8.5: the epoch begins anew, whoever's mappings have moved or were lost. The device's word of
  // those comes next: their clients need no other.
  if (is_another && config_.epoch_scope == EpochScope::server && announce_restart(now))
    has_epochs_to_announce_ = true;
  else if (nat_pmp_address() == address)
    announcements_.begin(now, config_.announcements);
}

auto Server::announce_restart(TimePoint now) -> bool {
  // Epochs count seconds: to clients a second restart within one is the same, and it is being announced.
  if (announcements_.next_due() && now < config_.epoch_base + Seconds{1}) return false;
  config_.epoch_base = now;
  housekeeping_.emplace_back(store::PutEpoch{now});
  announcements_.begin(now, config_.announcements);
  return true;
}

void Server::advance(TimePoint now) {
  if (std::exchange(has_epochs_to_announce_, false)) announce_epochs(now, {});
  const auto is_busy = [this](const Contract& contract) { return in_flight_.contains(contract.key.mapping); };
  std::size_t looks = config_.expiries_per_advance_max;
  while (const auto contract = contracts_.take_expired(now, is_busy, looks)) {
    ++counters_.expired;
    updates_.cease(contract->key);
    record(now, Event::Kind::mapping_expired, *contract);
    if (contract->is_static)
      end_static(now, contract->key.mapping);
    else
      housekeeping_.emplace_back(store::DropMapping{contract->key});
  }
  for (std::size_t i = 0; i < config_.updates_per_advance_max; ++i) {
    const auto update = updates_.take_due(now);
    if (!update) break;
    send_update(now, *update);
  }
  for (std::size_t i = 0; i < config_.updates_per_advance_max; ++i) {
    const auto recipient = epoch_announcements_.take_due(now);
    if (!recipient) break;
    send_epoch(now, *recipient);
  }
  if (announcements_.take_due(now)) send_announcements(now);
  walk_profiles();
  review_deletions(now);
  review_statics(now);
  if (has_repairs()) reconcile(now);
  if (is_read_only_ && !commit_ && now >= next_write_attempt_) {
    commit_ = {.id = {++last_commit_},
               .batches = 0,
               .housekeeping = std::exchange(housekeeping_, {}),
               .moved = std::exchange(moved_, {})};
    actions_.commit.push_back({.commit = commit_->id, .rows = commit_->housekeeping});
  }
  commit_if_possible(now);
}

auto Server::next_deadline() const -> std::optional<TimePoint> {
  std::optional<TimePoint> next;
  const auto consider = [&](std::optional<TimePoint> due) {
    if (due && (!next || *due < *next)) next = due;
  };
  consider(contracts_.next_expiry());
  consider(updates_.next_due());
  consider(announcements_.next_due());
  consider(epoch_announcements_.next_due());
  if (!unsettled_statics_.empty()) consider(next_static_review_);
  if (has_deletions_due()) consider(next_deletion_round_);
  if (profile_walk_) consider(TimePoint{});
  if (is_read_only_ && !commit_) consider(next_write_attempt_);
  if (has_repairs()) consider(TimePoint{});
  return next;
}

auto Server::take_actions() -> Actions { return std::exchange(actions_, {}); }

auto Server::epoch_time_s(TimePoint now, const Prefix& subscriber) const -> std::uint32_t {
  TimePoint since = config_.epoch_base;
  if (config_.epoch_scope == EpochScope::subscriber) since = contracts_.state_since(subscriber).value_or(now);
  return static_cast<std::uint32_t>(std::chrono::floor<Seconds>(now - since).count());
}

auto Server::broken_invariant(TimePoint now) const -> std::optional<std::string> {
  std::optional<std::string> broken;
  std::vector<std::pair<Protocol, Endpoint>> external;
  std::size_t ports = 0;
  contracts_.for_each([&](const Contract& contract) {
    const MappingKey& mapping = contract.key.mapping;
    ports += contract.port_count;
    // One whose time is up may wait to be taken off while the device gives its port away.
    const bool is_mapped = !contract.key.is_peer() && contract.expires > now;
    for (std::uint16_t i = 0; i < contract.port_count && is_mapped; ++i) {
      const Port port{static_cast<std::uint16_t>(contract.external_port.value + i)};
      external.emplace_back(mapping.protocol, Endpoint{contract.external_address, port});
    }
    if (!was_reconfigured_ && counters_.larger_sets_found == 0 && !contract.is_static &&
        contracts_.count_of(contract.subscriber) >
            asker_of(mapping.internal_address, {}).policy->mappings_max)
      broken = fmt::format("{} is over its quota", contract.subscriber);
  });
  std::ranges::sort(external);
  if (const auto shared = std::ranges::adjacent_find(external); shared != external.end())
    broken = fmt::format("two contracts share {} {}", shared->first, shared->second);
  if (ports != contracts_.ports()) broken = "ports are miscounted";
  if (ports > config_.mappings_max && !was_reconfigured_ && counters_.larger_sets_found == 0)
    broken = "more ports than mappings_max";
  std::size_t under_way = 0;
  for (const Batch& batch : pipeline_) {
    for (const Item& item : batch.items) {
      for_each_key(item, [&](const MappingKey& key) {
        ++under_way;
        if (!in_flight_.contains(key)) broken = "an operation under way has no key in flight";
      });
    }
  }
  if (reconciliation_) {
    for (const Reconciliation::Outstanding& repairs : reconciliation_->outstanding)
      for (const Repair& repair : repairs.repairs)
        if (repair.holds_keys) under_way += repair.port_count;
    for (const auto* const repairs : {&reconciliation_->waiting, &reconciliation_->moving})
      for (const Repair& repair : *repairs)
        if (repair.holds_keys) under_way += repair.port_count;
  }
  if (under_way != in_flight_.size()) broken = "a key in flight has no operation under way";
  if (!reconciliation_ && profile_batches_.empty() && device_profiles_.has_more())
    broken = "profiles that nobody brings to the device";
  std::size_t waiting = 0;
  for (const auto& [key, deferred] : in_flight_) waiting += deferred.size();
  if (waiting != deferred_ || waiting > config_.deferred_max) broken = "deferred requests are miscounted";
  if (pipeline_.empty() && contracts_.reserved() != 0) broken = "a reservation outlived its request";
  if (!broken) broken = broken_management();
  return broken;
}

}  // namespace portolan::server
