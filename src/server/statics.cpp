// SPDX-License-Identifier: BSD-2-Clause
//
// Mappings that the operator makes (RFC 6887 s2.2, s11.3): kept as the configuration has them. What is not
// yet so is looked at again every second, because a host may have the place, or the device refuse.
#include <utility>

#include "server/server.h"

namespace portolan::server {
namespace {

constexpr Seconds review_interval{1};
/// Longer than any process lives: a device knows no end of time.
constexpr Seconds forever{100LL * 365 * 86400};

auto details_of(const Config::StaticMapping& mapping) -> ContractDetails {
  ContractDetails details;
  details.filters = mapping.filters;
  if (!mapping.description.empty()) details.description = mapping.description;
  return details;
}

/// The present contract has the external endpoint that the operator wants: at an unspecified address,
/// whichever the device has.
auto is_in_place(const Contract& contract, const Config::StaticMapping& mapping) -> bool {
  const bool is_anywhere = mapping.external_address.is_unspecified();
  return (is_anywhere || contract.external_address == mapping.external_address) &&
         contract.external_port == mapping.external_port && contract.port_count == 1;
}

auto is_as_wanted(const Contract& contract, const Config::StaticMapping& mapping) -> bool {
  return is_in_place(contract, mapping) &&
         (contract.details ? *contract.details : ContractDetails{}) == details_of(mapping);
}

}  // namespace

void Server::review_statics(TimePoint now) {
  if (unsettled_statics_.empty() || now < next_static_review_) return;
  next_static_review_ = now + review_interval;
  if (is_undoing_ || is_read_only_ || pipeline_.size() >= config_.batches_in_flight_max) return;
  Batch batch;
  boost::unordered::erase_if(unsettled_statics_, [&](const auto& unsettled) {
    if (in_flight_.contains(unsettled.first) || awaits_reconciliation(unsettled.first)) return false;
    auto item = change_of_static(unsettled.first);
    if (!item) return true;
    if (!item->before && contracts_.ports() + contracts_.reserved() >= config_.mappings_max) {
      note_refused_static(unsettled.first, device::Refusal::no_resources);
      return false;
    }
    // A host's port set that gives way has more keys than one.
    bool is_busy = false;
    for_each_key(*item, [&](const MappingKey& key) { is_busy |= in_flight_.contains(key); });
    if (is_busy) return false;
    take_under_way(now, *item);
    batch.items.push_back(*std::move(item));
    return false;
  });
  submit(std::move(batch));
}

/// The next step towards what the operator wants of `key`; none if it is so.
auto Server::change_of_static(const MappingKey& key) const -> std::optional<Item> {
  const Contract* contract = contracts_.find({.mapping = key, .remote_peer = {}});
  const auto wanted = statics_.find(key);
  const bool is_static = contract != nullptr && contract->is_static;
  if (wanted == statics_.end() && !is_static) return {};
  if (is_static && wanted != statics_.end() && is_as_wanted(*contract, wanted->second)) return {};
  Item item;
  item.key = {.mapping = key, .remote_peer = {}};
  item.is_static = true;
  item.is_answered = false;
  if (contract != nullptr) {
    item.before = *contract;
    if (wanted == statics_.end() || !is_in_place(*contract, wanted->second)) {
      item.port_count = contract->port_count;
      item.subscriber = contract->subscriber;
      return item;
    }
  }
  item.suggested_external_address = wanted->second.external_address;
  item.suggested_external_port = wanted->second.external_port;
  item.prefer_failure = true;
  item.lifetime = forever;
  item.details = SharedDetails(details_of(wanted->second));
  return item;
}

void Server::note_refused_static(const MappingKey& key, device::Refusal refusal) {
  const auto unsettled = unsettled_statics_.find(key);
  if (unsettled == unsettled_statics_.end() || unsettled->second == refusal) return;
  unsettled->second = refusal;
  actions_.refused_statics.push_back({.key = key, .refusal = refusal});
}

}  // namespace portolan::server
