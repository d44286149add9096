// SPDX-License-Identifier: BSD-2-Clause
//
// MAP, PEER and NAT-PMP requests, up to what only the device can say (RFC 6887 s11.3, s12.3, s15;
// RFC 6886 s3; RFC 7753 s4).
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "server/server.h"

namespace portolan::server {

using wire::ResultCode;

namespace {

/// UNSUPP_FAMILY of draft-cheshire-pcp-unsupp-family; INITIATION in today's registry (RFC 7652 s7).
constexpr ResultCode unsupp_family{14};

/// A suggestion fits a mapping if what it specifies is the mapping's (RFC 6887 s11.3 item 1, s13.2).
auto suggests(const Wanted& wanted, const Contract& contract) -> bool {
  return (wanted.suggested_external_address.is_unspecified() ||
          wanted.suggested_external_address == contract.external_address) &&
         wanted.suggested_external_port == contract.external_port;
}

auto details_after(const Contract* contract, const Wanted& wanted, const IpAddress& client) -> SharedDetails {
  const auto& options = wanted.options;
  const bool is_third_party = options.third_party.has_value();
  if (options.filters.empty() && !options.description && !is_third_party)
    return contract != nullptr ? contract->details : SharedDetails{};
  ContractDetails details;
  if (contract != nullptr && contract->details) details = *contract->details;
  details.filters = filters_after(std::move(details.filters), options.filters);
  if (options.description) {
    // Of length 0 it erases what was (RFC 7220 s3).
    if (options.description->empty())
      details.description.reset();
    else
      details.description = options.description;
  }
  if (is_third_party) details.third_party_client = client;
  if (options.third_party_id)
    details.third_party_id.assign(options.third_party_id->begin(), options.third_party_id->end());
  return details.is_empty() ? SharedDetails{} : SharedDetails(std::move(details));
}

}  // namespace

void Server::decide(TimePoint now, const Inbound& datagram, const wire::Request& request, Batch& batch) {
  const IpAddress& client = datagram.client.address;
  const Policy& rights = *asker_of(client, datagram.path).policy;
  const bool is_peer = request.opcode == wire::Opcode::peer;
  if (!(is_peer ? rights.peer : rights.map)) return answer_error(now, datagram, ResultCode::not_authorized);
  auto options = read_options(request, rights, config_);
  if (!options) return answer_error(now, datagram, options.error());
  if (datagram.payload.size() + added_octets(*options) > wire::message_octets_max)
    return answer_error(now, datagram, ResultCode::malformed_request);

  Wanted wanted = wanted_by(request, client, *std::move(options));
  if (const auto shape = check_shape(wanted, request, client); !shape)
    return answer_error(now, datagram, shape.error());
  if (!rights.allows(wanted.key.mapping.protocol) ||
      !rights.internal_ports.contains(wanted.key.mapping.internal_port))
    return answer_error(now, datagram, ResultCode::not_authorized);
  const auto realm = realm_of(wanted.options);
  if (!realm) return answer_error(now, datagram, realm.error());
  wanted.key.mapping.realm = *realm;
  carry_out(now, datagram, std::move(wanted), batch);
}

void Server::decide_nat_pmp(TimePoint now, const Inbound& datagram, const wire::nat_pmp::MapRequest& request,
                            Batch& batch) {
  Wanted wanted = wanted_by(request, datagram.client.address);
  // Of several addresses hosts are told one (RFC 6886 s4.3.2), so that is where their mappings go.
  if (const auto told = nat_pmp_address()) wanted.suggested_external_address = IpAddress{*told};
  const Policy& rights = *asker_of(datagram.client.address, datagram.path).policy;
  if (!rights.map || !rights.allows(wanted.key.mapping.protocol) ||
      !rights.internal_ports.contains(wanted.key.mapping.internal_port))
    return answer_error(now, datagram, ResultCode::not_authorized);
  if (request.is_delete_all()) return delete_all(now, datagram, wanted, batch);
  carry_out(now, datagram, wanted, batch);
}

// RFC 6886 s3.4: internal port 0 deletes all mappings of the protocol, those made by NAT-PMP.
void Server::delete_all(TimePoint now, const Inbound& datagram, const Wanted& wanted, Batch& batch) {
  const Asker owner = asker_of(datagram.client.address, datagram.path);
  const std::size_t first = batch.items.size();
  const bool leaves_some = static_hosts_.contains(without_port(wanted.key.mapping));
  contracts_.for_each_of(owner.subscriber, [&](const Contract& contract) {
    const MappingKey& mapping = contract.key.mapping;
    if (contract.format != Format::nat_pmp || mapping.protocol != wanted.key.mapping.protocol ||
        mapping.internal_address != datagram.client.address)
      return;
    Wanted one = wanted;
    one.key = contract.key;
    batch.items.push_back(item_for(now, datagram, one, &contract, owner));
  });
  const auto items = std::span(batch.items).subspan(first);
  if (items.empty() && leaves_some) return answer_error(now, datagram, ResultCode::not_authorized);
  if (items.empty())
    return answer_success(now, datagram, item_for(now, datagram, wanted, nullptr, owner), Seconds{0});
  for (const Item& item : items)
    if (defer_if_busy(datagram, item.key.mapping, item.port_count)) return batch.drop_from(first);
  // One answer, with the last of them.
  for (Item& item : items) item.is_answered = &item == &items.back();
  items.back().leaves_some = leaves_some;
  begin(now, datagram, first, batch);
}

void Server::carry_out(TimePoint now, const Inbound& datagram, Wanted wanted, Batch& batch) {
  const Asker owner = asker_of(wanted.key.mapping.internal_address, datagram.path);
  wanted.port_count = std::min(wanted.port_count, owner.policy->port_set_max);
  if (defer_if_busy(datagram, wanted.key.mapping, wanted.port_count)) return;

  const std::size_t first = batch.items.size();
  const auto add = [&](const ContractKey& key) {
    const Contract* contract = contracts_.find(key);
    if (contract != nullptr && contract->port_count > 1 &&
        defer_if_busy(datagram, key.mapping, contract->port_count))
      return false;
    wanted.key = key;
    if (!is_admissible(now, datagram, wanted, contract, owner)) return false;
    batch.items.push_back(item_for(now, datagram, wanted, contract, owner));
    if (contract != nullptr || shrink_to_quota(batch.items.back(), *owner.policy)) return true;
    answer_error(now, datagram, ResultCode::user_ex_quota);
    return false;
  };
  // What it is about: a mapping of its own, or those that have any of its ports (RFC 7753 s4.4.1).
  std::vector<MappingKey> overlapping;
  if (!wanted.key.is_peer() && (wanted.port_count > 1 || contracts_.has_port_sets()))
    overlapping = contracts_.overlapping(wanted.key.mapping, wanted.port_count);
  const bool is_admitted = overlapping.empty()
                               ? add(wanted.key)
                               : std::ranges::all_of(overlapping, [&](const MappingKey& mapping) {
                                   return add({.mapping = mapping, .remote_peer = {}});
                                 });
  if (!is_admitted) return batch.drop_from(first);
  begin(now, datagram, first, batch);
}

/// Checks a request against the mapping it is about, if that exists; answers if it must be refused, or
/// needs no change.
auto Server::is_admissible(TimePoint now, const Inbound& datagram, const Wanted& wanted,
                           const Contract* contract, const Asker& owner) -> bool {
  const auto refuse = [&](ResultCode result, std::optional<Seconds> lifetime = {}) {
    answer_error(now, datagram, result, lifetime.value_or(error_lifetime(result)));
    return false;
  };
  if (contract != nullptr && contract->is_static) {
    answer_about_static(now, datagram, wanted, *contract, owner);
    return false;
  }
  if (contract != nullptr && contract->nonce != wanted.nonce && owner.policy->nonce == NoncePolicy::strict) {
    ++counters_.nonce_mismatches;
    if (!config_.relaxed_nonce_answer || wanted.deletes())
      return refuse(ResultCode::not_authorized, remaining_life(*contract, now));
    // The expired draft's answer: what exists, unchanged, with the nonce of who asks.
    const Item item = item_for(now, datagram, wanted, contract, owner);
    answer_success(now, datagram, item, remaining_life(*contract, now));
    return false;
  }
  if (const auto sense = check_sense(wanted); !sense) return refuse(sense.error());
  if (contract != nullptr && wanted.options.prefer_failure && !suggests(wanted, *contract))
    return refuse(ResultCode::cannot_provide_external, remaining_life(*contract, now));
  // The operator's mapping of it is on its way; a host's own would be in the way.
  if (contract == nullptr && !wanted.deletes() && !wanted.key.is_peer() &&
      statics_.contains(wanted.key.mapping))
    return refuse(ResultCode::network_failure);
  if (contract == nullptr && !wanted.deletes() && !gives(wanted.key.mapping))
    return config_.unsupp_family ? refuse(unsupp_family) : refuse(ResultCode::no_resources);
  return true;
}

// RFC 6887 s11.3, s15.1; RFC 6886 s3.4.
void Server::answer_about_static(TimePoint now, const Inbound& datagram, const Wanted& wanted,
                                 const Contract& contract, const Asker& owner) {
  constexpr Seconds endless{0xffffffff};
  if (const auto sense = check_sense(wanted); !sense) return answer_error(now, datagram, sense.error());
  // Its filters are the operator's too.
  if (wanted.deletes() || !wanted.options.filters.empty())
    return answer_error(now, datagram, ResultCode::not_authorized);
  if (wanted.options.prefer_failure && !suggests(wanted, contract))
    return answer_error(now, datagram, ResultCode::cannot_provide_external);
  answer_success(now, datagram, item_for(now, datagram, wanted, &contract, owner),
                 has_end(contract, now) ? remaining_life(contract, now) : endless);
}

/// A new mapping gets as many ports as its owner may have; false if that is none.
auto Server::shrink_to_quota(Item& item, const Policy& policy) const -> bool {
  if (item.lifetime == Seconds{0}) return true;
  const std::size_t used = contracts_.count_of(item.subscriber);
  if (used >= policy.mappings_max) return false;
  item.port_count =
      static_cast<std::uint16_t>(std::min<std::size_t>(item.port_count, policy.mappings_max - used));
  return true;
}

auto Server::item_for(TimePoint now, const Inbound& datagram, const Wanted& wanted, const Contract* contract,
                      const Asker& owner) const -> Item {
  Seconds lifetime{0};
  if (!wanted.deletes()) {
    lifetime =
        std::clamp(Seconds{wanted.requested_lifetime_s}, config_.minimum_lifetime, config_.maximum_lifetime);
    // PEER never shortens (RFC 6887 s12.1).
    if (wanted.key.is_peer() && contract != nullptr)
      lifetime = std::max(lifetime, remaining_life(*contract, now));
  }
  const bool is_given_address = !owner.external_address.is_unspecified() &&
                                owner.external_address.family() == wanted.key.mapping.external_family;
  return {.client = datagram.client,
          .path = datagram.path,
          .datagram = {},
          .is_answered = true,
          .format = wanted.format,
          .key = wanted.key,
          .nonce = wanted.nonce,
          .suggested_external_address = wanted.suggested_external_address,
          .suggested_external_port = wanted.suggested_external_port,
          .given_address = is_given_address ? owner.external_address : IpAddress{},
          .prefer_failure = wanted.options.prefer_failure,
          .preserve_parity =
              wanted.options.port_reservation || (wanted.options.port_set && wanted.options.port_set->parity),
          .port_count = contract != nullptr ? contract->port_count : wanted.port_count,
          .external_ports = owner.policy->external_ports,
          .subscriber = contract != nullptr ? contract->subscriber : owner.subscriber,
          .place = contract != nullptr ? contracts_.place_of(*contract) : 0,
          .lifetime = lifetime,
          .details = details_after(contract, wanted, datagram.client.address),
          .before = contract != nullptr ? std::optional(*contract) : std::nullopt,
          .outcome = {}};
}

/// Lets the items of `batch` from `first` on, those of one request, begin; or answers, and drops them.
void Server::begin(TimePoint now, const Inbound& datagram, std::size_t first, Batch& batch) {
  const auto items = std::span(batch.items).subspan(first);
  if (is_undoing_ || is_read_only_) {
    for (const Item& item : items) decide_read_only(now, datagram, item);
    return batch.drop_from(first);
  }
  const auto refuse = [&](ResultCode result) {
    batch.drop_from(first);
    answer_error(now, datagram, result);
  };
  std::size_t wanted_ports = 0;
  bool is_reconciled = true;
  for (const Item& item : items) {
    // What leaves its filters as they are asks for none (RFC 6887 s7.4).
    const bool adds_filters =
        item.details && (!item.before || item.before->filters() != item.details->filters);
    if (adds_filters && item.details->filters.size() >
                            asker_of(item.key.mapping.internal_address, item.path).policy->filters_max)
      return refuse(ResultCode::excessive_remote_peers);
    if (item.before || item.lifetime == Seconds{0}) continue;
    wanted_ports += item.port_count;
    is_reconciled = is_reconciled && !awaits_reconciliation(item.key.mapping);
  }
  if (wanted_ports > 0 && contracts_.ports() + contracts_.reserved() + wanted_ports > config_.mappings_max)
    return refuse(ResultCode::no_resources);
  // New mappings might be given what others were promised, and the device does not have yet.
  if (pipeline_.size() >= config_.batches_in_flight_max || !is_reconciled) {
    ++counters_.dropped_overload;
    return batch.drop_from(first);
  }
  const Message message{.offset = batch.octets.size(), .size = datagram.payload.size()};
  batch.octets.insert(batch.octets.end(), datagram.payload.begin(), datagram.payload.end());
  for (Item& item : items) {
    item.datagram = message;
    take_under_way(now, item);
  }
}

void Server::take_under_way(TimePoint now, const Item& item) {
  if (!item.before && item.lifetime > Seconds{0}) contracts_.reserve(now, item.subscriber, item.port_count);
  for_each_key(item, [&](const MappingKey& key) { in_flight_.try_emplace(key); });
}

void Server::decide_read_only(TimePoint now, const Inbound& datagram, const Item& item) {
  if (!item.is_answered) return;
  if (item.lifetime > Seconds{0} && item.before && item.before->expires > now)
    return answer_success(now, datagram, item, remaining_life(*item.before, now));
  answer_error(now, datagram, ResultCode::no_resources);
}

auto Server::defer_if_busy(const Inbound& datagram, const MappingKey& first, std::uint16_t port_count)
    -> bool {
  MappingKey key = first;
  for (std::uint32_t port = first.internal_port.value;
       port < std::uint32_t{first.internal_port.value} + port_count; ++port) {
    key.internal_port = Port{static_cast<std::uint16_t>(port)};
    const auto busy = in_flight_.find(key);
    if (busy == in_flight_.end()) continue;
    if (deferred_ >= config_.deferred_max) {
      ++counters_.dropped_overload;
      return true;
    }
    ++deferred_;
    busy->second.push_back({.key = key,
                            .client = datagram.client,
                            .path = datagram.path,
                            .datagram = {datagram.payload.begin(), datagram.payload.end()}});
    return true;
  }
  return false;
}

auto Server::realm_of(const RequestOptions& options) const -> std::expected<Realm, ResultCode> {
  if (!options.third_party_id) {
    // Where internal addresses may overlap, an address alone says nothing (RFC 7843 s5).
    if (options.third_party && config_.third_party_id_required)
      return std::unexpected(ResultCode::third_party_missing_option);
    return Realm{};
  }
  if (!options.third_party) return std::unexpected(ResultCode::third_party_missing_option);
  for (const auto& [id, realm] : config_.third_party_ids)
    if (std::ranges::equal(id, *options.third_party_id)) return realm;
  return std::unexpected(ResultCode::third_party_id_unknown);
}

auto Server::gives(const MappingKey& key) const -> bool {
  if (std::ranges::find(config_.external_families, key.external_family) == config_.external_families.end())
    return false;
  const std::pair families{key.internal_address.family(), key.external_family};
  const auto& given = config_.external_family_of;
  return given.empty() || std::ranges::find(given, families) != given.end();
}

auto Server::added_octets(const RequestOptions& options) const -> std::size_t {
  if (!options.prefix64) return 0;
  std::size_t octets = 0;
  for (const auto& data : prefix64_data_) octets += wire::option_header_octets + wire::padded(data.size());
  return octets;
}

}  // namespace portolan::server
