// SPDX-License-Identifier: BSD-2-Clause
//
// Mappings that the operator makes (RFC 6887 s2.2, s11.3): kept as the configuration has them, or as they
// were added by hand. What is not yet so is looked at again every second, because a host may have the place,
// or the device refuse. One that is being added by hand is given up then: who adds it is told why.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "server/server.h"

namespace portolan::server {
namespace {

constexpr Seconds review_interval{1};

auto details_of(const StaticMapping& mapping) -> ContractDetails {
  ContractDetails details;
  details.filters = mapping.filters;
  if (!mapping.description.empty()) details.description = mapping.description;
  return details;
}

/// The present contract has the external endpoint that the operator wants: at an unspecified address,
/// whichever the device has.
auto is_in_place(const Contract& contract, const StaticMapping& mapping) -> bool {
  const bool is_anywhere = mapping.external_address.is_unspecified();
  return (is_anywhere || contract.external_address == mapping.external_address) &&
         contract.external_port == mapping.external_port && contract.port_count == 1;
}

auto is_as_wanted(TimePoint now, const Contract& contract, const StaticMapping& mapping) -> bool {
  return contract.is_static && is_in_place(contract, mapping) &&
         has_end(contract, now) == mapping.expires.has_value() &&
         (contract.details ? *contract.details : ContractDetails{}) == details_of(mapping);
}

auto name_of(const MappingKey& key) -> std::string {
  return fmt::format("the mapping of {} port {} of {}", key.protocol, key.internal_port,
                     key.internal_address);
}

/// Protocol and external endpoint, one of which there is for one mapping.
auto external_of(const StaticMapping& mapping) -> std::pair<Protocol, Endpoint> {
  return {mapping.key.protocol, {mapping.external_address, mapping.external_port}};
}

}  // namespace

auto Server::contract_of(TimePoint now, const StaticMapping& mapping) -> Contract {
  Contract contract;
  contract.key = {.mapping = mapping.key, .remote_peer = {}};
  contract.external_address = mapping.external_address;
  contract.external_port = mapping.external_port;
  contract.is_static = true;
  contract.expires = mapping.expires.value_or(now + forever);
  if (const ContractDetails details = details_of(mapping); !details.is_empty())
    contract.details = SharedDetails(details);
  return contract;
}

void Server::put_static(Static entry) {
  const MappingKey key = entry.mapping.key;
  erase_static(key);
  if (entry.origin == Origin::by_hand) ++statics_by_hand_;
  ++static_hosts_[without_port(key)];
  statics_.emplace(key, std::move(entry));
  unsettled_statics_.try_emplace(key);
}

void Server::erase_static(const MappingKey& key) {
  const auto found = statics_.find(key);
  if (found == statics_.end()) return;
  if (found->second.origin == Origin::by_hand) --statics_by_hand_;
  const auto host = static_hosts_.find(without_port(key));
  if (--host->second == 0) static_hosts_.erase(host);
  statics_.erase(found);
  unsettled_statics_.try_emplace(key);
}

void Server::configure_statics() {
  std::vector<MappingKey> before;
  for (const auto& [key, entry] : statics_)
    if (entry.origin == Origin::configured) before.push_back(key);
  for (const MappingKey& key : before) erase_static(key);
  std::set<std::pair<Protocol, Endpoint>> endpoints;
  for (const StaticMapping& mapping : config_.static_mappings) {
    endpoints.insert(external_of(mapping));
    overrule_static(mapping.key);
    put_static({.mapping = mapping, .origin = Origin::configured});
  }
  std::vector<MappingKey> overruled;
  for (const auto& [key, entry] : statics_)
    if (entry.origin == Origin::by_hand && endpoints.contains(external_of(entry.mapping)))
      overruled.push_back(key);
  for (const MappingKey& key : overruled) overrule_static(key);
  next_static_review_ = {};
}

/// Ends one that was added by hand, and what is under way about it, because the configuration has the same.
void Server::overrule_static(const MappingKey& key) {
  const auto found = statics_.find(key);
  const bool is_by_hand = found != statics_.end() && found->second.origin == Origin::by_hand;
  const auto change = static_changes_.find(key);
  if (!is_by_hand && change == static_changes_.end()) return;
  if (is_by_hand) erase_static(key);
  housekeeping_.emplace_back(store::DropStatic{key});
  actions_.overruled.push_back({.mapping = key});
  if (change == static_changes_.end()) return;
  const OperationId id = change->second.id;
  static_changes_.erase(change);
  end(id, std::unexpected(
              Failure{.reason = Failure::Reason::configured,
                      .text = fmt::format("{} is in the configuration by now: change it there, and reload",
                                          name_of(key))}));
}

void Server::review_statics(TimePoint now) {
  if (unsettled_statics_.empty() || now < next_static_review_) return;
  next_static_review_ = now + review_interval;
  submit_statics(now, [this](const MappingKey& key) { return !awaits_reconciliation(key); });
}

// Though there be no room for a further batch: hosts' requests would have it first, and the ports.
void Server::submit_statics(TimePoint now, const std::function<bool(const MappingKey&)>& has_turn) {
  if (is_undoing_ || is_read_only_) return;
  Batch batch;
  for (auto unsettled = unsettled_statics_.begin(); unsettled != unsettled_statics_.end();) {
    const MappingKey key = unsettled->first;
    if (in_flight_.contains(key) || !has_turn(key)) {
      ++unsettled;
      continue;
    }
    if (has_run_out(now, key)) end_static(now, key);
    auto item = change_of_static(now, key);
    if (!item) {
      unsettled = unsettled_statics_.erase(unsettled);
      // Nothing is to be done at the device, nor under way.
      if (const auto change = static_changes_.find(key); change != static_changes_.end())
        change->second.awaits_store = true;
      continue;
    }
    ++unsettled;
    if (!item->before && contracts_.ports() + contracts_.reserved() >= config_.mappings_max) {
      static_refused(key, device::Refusal::no_resources);
      continue;
    }
    // A host's port set that gives way has more keys than one.
    bool is_busy = false;
    for_each_key(*item, [&](const MappingKey& each) { is_busy |= in_flight_.contains(each); });
    if (is_busy) continue;
    take_under_way(now, *item);
    batch.items.push_back(*std::move(item));
  }
  submit(std::move(batch));
}

auto Server::is_in_force(TimePoint now, const StaticMapping& mapping) const -> bool {
  const Contract* contract = contracts_.find({.mapping = mapping.key, .remote_peer = {}});
  return contract != nullptr && is_as_wanted(now, *contract, mapping);
}

/// Its time is up before it was in force.
auto Server::has_run_out(TimePoint now, const MappingKey& key) const -> bool {
  const auto wanted = statics_.find(key);
  return wanted != statics_.end() && wanted->second.mapping.expires &&
         *wanted->second.mapping.expires <= now && !static_changes_.contains(key) &&
         contracts_.find({.mapping = key, .remote_peer = {}}) == nullptr;
}

void Server::end_static(TimePoint now, const MappingKey& key) {
  const auto wanted = statics_.find(key);
  if (wanted == statics_.end()) return;
  // The configuration may have it by now, or another one of the same place: it is made anew.
  const std::optional<TimePoint>& expires = wanted->second.mapping.expires;
  if (!expires || *expires > now) {
    unsettled_statics_.try_emplace(key);
    return;
  }
  erase_static(key);
  housekeeping_.emplace_back(store::DropStatic{key});
}

/// The next step towards what the operator wants of `key`; none if it is so.
auto Server::change_of_static(TimePoint now, const MappingKey& key) const -> std::optional<Item> {
  const Contract* contract = contracts_.find({.mapping = key, .remote_peer = {}});
  const auto wanted = statics_.find(key);
  const bool is_static = contract != nullptr && contract->is_static;
  if (wanted == statics_.end() && !is_static) return {};
  if (is_static && wanted != statics_.end() && is_as_wanted(now, *contract, wanted->second.mapping))
    return {};
  Item item;
  item.key = {.mapping = key, .remote_peer = {}};
  item.is_static = true;
  item.is_answered = false;
  if (contract != nullptr) {
    item.before = *contract;
    if (wanted == statics_.end() || !is_in_place(*contract, wanted->second.mapping)) {
      item.port_count = contract->port_count;
      item.subscriber = contract->subscriber;
      return item;
    }
  }
  item.suggested_external_address = wanted->second.mapping.external_address;
  item.suggested_external_port = wanted->second.mapping.external_port;
  item.prefer_failure = true;
  const std::optional<TimePoint>& expires = wanted->second.mapping.expires;
  item.lifetime = expires ? std::max(std::chrono::ceil<Seconds>(*expires - now), Seconds{1}) : forever;
  item.details = SharedDetails(details_of(wanted->second.mapping));
  return item;
}

void Server::static_refused(const MappingKey& key, device::Refusal refusal) {
  const auto change = static_changes_.find(key);
  if (change != static_changes_.end() && !change->second.is_deletion) {
    const OperationId id = change->second.id;
    roll_back_static(key);
    return end(id, std::unexpected(Failure{.reason = Failure::Reason::refused,
                                           .refusal = refusal,
                                           .text = fmt::format("the device does not make {}: {}",
                                                               name_of(key), to_string(refusal))}));
  }
  const auto unsettled = unsettled_statics_.find(key);
  if (unsettled == unsettled_statics_.end() || !statics_.contains(key) || unsettled->second == refusal)
    return;
  unsettled->second = refusal;
  actions_.refused_statics.push_back({.key = key, .refusal = refusal});
}

void Server::begin_static_deletion(OperationId operation, const MappingKey& key) {
  const auto found = statics_.find(key);
  PORTOLAN_CHECK(found != statics_.end() && found->second.origin == Origin::by_hand);
  static_changes_.insert_or_assign(
      key, StaticChange{.id = operation, .mapping = found->second.mapping, .is_deletion = true});
  erase_static(key);
  next_static_review_ = {};
}

void Server::static_changed(const Item& item) {
  const MappingKey& key = item.key.mapping;
  const auto change = static_changes_.find(key);
  if (change == static_changes_.end()) return;
  const OperationId id = change->second.id;
  const bool is_deletion = change->second.is_deletion;
  if (*item.outcome && is_deletion == (item.lifetime == Seconds{0})) {
    static_changes_.erase(change);
    return end(id, Outcome{.deleted = is_deletion ? std::size_t{1} : std::size_t{0}});
  }
  if (*item.outcome || is_deletion) return;
  // The device took it back while the store was at work.
  housekeeping_.emplace_back(store::DropStatic{key});
  static_refused(key, item.outcome->error());
}

void Server::roll_back_static(const MappingKey& key) {
  const auto change = static_changes_.find(key);
  if (change->second.is_deletion)
    put_static({.mapping = std::move(change->second.mapping), .origin = Origin::by_hand});
  else
    erase_static(key);
  static_changes_.erase(change);
}

}  // namespace portolan::server
