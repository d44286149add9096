// SPDX-License-Identifier: BSD-2-Clause
//
// Of the binding information bases: external ports by a plan (RFC 7422 s2). A subscriber's own ports come
// first, for traffic and for the server's mappings alike; then the dynamic ones of the same address; then
// there is none.
#include <algorithm>

#include "nat/bindings.h"

namespace portolan::nat {

auto Bindings::set_pool(const std::vector<PoolRange>& ranges) -> std::vector<std::uint16_t> {
  make_plan(ranges);
  count_ports(ranges);
  return pool_.set(ranges);
}

void Bindings::make_plan(const std::vector<PoolRange>& ranges) {
  plan_.reset();
  if (!deterministic_) return;
  // check() has said that it can be made.
  if (auto made = PortPlan::make(*deterministic_, ranges, planned_length_)) plan_ = *std::move(made);
}

auto Bindings::is_planned(const Binding& binding) const -> bool {
  if (!plan_) return false;
  const auto own = plan_->ports_of(binding.internal.address);
  return own && own->address == pool_.address(binding.pool_index) &&
         own->ports.contains(Port{binding.external_port});
}

auto Bindings::planned_places(const Ipv6Address& host, const Wanted& wanted, std::uint32_t subscriber) const
    -> PlannedPlaces {
  PlannedPlaces places;
  const auto add = [&](std::uint16_t pool_index, const PortRange& range, bool is_own) {
    const PortRange ports{.first = std::max(wanted.ports.first, range.first),
                          .last = std::min(wanted.ports.last, range.last)};
    if (ports.first > ports.last) return;
    places.all[places.count++] = {.pool_index = pool_index, .ports = ports, .is_own = is_own};
  };
  const auto own = plan_->ports_of(host);
  const auto add_all_at = [&](std::uint16_t pool_index) {
    const Ipv4Address address = pool_.address(pool_index);
    if (own && own->address == address) add(pool_index, own->ports, true);
    if (const auto dynamic = plan_->dynamic_at(address)) add(pool_index, *dynamic, false);
  };
  if (wanted.pool_index) add_all_at(*wanted.pool_index);
  if (wanted.pool_index && wanted.exact) return places;
  std::optional<std::uint16_t> home;
  if (own)
    home = pool_.index_of(own->address.value);
  else if (pool_.size() != 0)
    home = paired(subscriber).value_or(pool_.at(pool_.place_for(subscribers_.hash_of(subscriber))));
  if (home && home != wanted.pool_index) add_all_at(*home);
  // A mere suggestion takes nothing dynamic while there are own ones.
  if (!wanted.exact)
    std::ranges::stable_partition(std::span(places.all).first(places.count), &PlannedPlace::is_own);
  return places;
}

auto Bindings::choose_planned(const InternalEndpoint& internal, const Wanted& wanted,
                              std::uint32_t subscriber) -> std::optional<External> {
  const PlannedPlaces places = planned_places(internal.address, wanted, subscriber);
  const auto has_suggested = [&](const PlannedPlace& place) {
    if (wanted.port == 0 || !place.ports.contains(Port{wanted.port})) return false;
    pool_.prepare(place.pool_index);
    return may_have(internal, wanted.is_explicit, place.pool_index, wanted.port);
  };
  for (const PlannedPlace& place : places.span()) {
    if (has_suggested(place)) return External{.pool_index = place.pool_index, .port = wanted.port};
    if (wanted.port != 0 && wanted.exact) continue;
    Wanted there = wanted;
    there.port = 0;
    there.ports = place.ports;
    there.is_of_plan = place.is_own;
    if (const auto port = choose_port(internal, there, subscriber, place.pool_index))
      return External{.pool_index = place.pool_index, .port = *port};
  }
  return std::nullopt;
}

auto Bindings::choose_run_planned(const InternalEndpoint& first, const Wanted& wanted, std::uint32_t count,
                                  std::uint32_t subscriber) -> std::optional<Run> {
  Run best;
  const PlannedPlaces places = planned_places(first.address, wanted, subscriber);
  for (const PlannedPlace& place : places.span()) {
    Wanted there = wanted;
    there.ports = place.ports;
    const Run run = choose_run_at(first, there, count, subscriber, place.pool_index);
    if (run.count > best.count) best = run;
    if (best.count == count) break;
  }
  return best.count > 0 ? std::optional(best) : std::nullopt;
}

}  // namespace portolan::nat
