// SPDX-License-Identifier: BSD-2-Clause
#include "device/nat64/operations.h"

#include <algorithm>
#include <array>
#include <type_traits>

#include "base/prefetch.h"

namespace portolan::device {
namespace {

static_assert(PutProfile::no_port_blocks == nat::Allowance::no_port_blocks);

auto refusal_of(nat::InstallError error) -> Refusal {
  switch (error) {
    case nat::InstallError::cannot_provide_external: return Refusal::cannot_provide_external;
    case nat::InstallError::no_resources: return Refusal::no_resources;
    case nat::InstallError::unsupported_protocol: return Refusal::unsupported_protocol;
    case nat::InstallError::not_inside: return Refusal::not_inside;
    case nat::InstallError::network_failure: return Refusal::network_failure;
    case nat::InstallError::excessive_filters: return Refusal::excessive_filters;
    case nat::InstallError::remote_peer_invalid: return Refusal::remote_peer_invalid;
  }
  return Refusal::no_resources;
}

/// Nothing if the suggestion is binding and no address of this device.
auto suggestion_of(const IpAddress& address, Port port, bool exact, const IpAddress& given)
    -> std::optional<nat::Suggestion> {
  nat::Suggestion suggestion{.external_address = {}, .external_port = port, .exact = exact};
  if (given.is_ipv4() && !given.is_unspecified()) suggestion.given_address = given.ipv4();
  if (address.is_unspecified()) return suggestion;
  if (address.is_ipv4())
    suggestion.external_address = address.ipv4();
  else if (exact)
    return std::nullopt;
  return suggestion;
}

auto applied(const nat::External& external, Seconds lifetime) -> Applied {
  return {.external_address = IpAddress{external.address},
          .external_port = external.port,
          .lifetime = lifetime,
          .port_count = external.port_count};
}

auto nothing(const MappingKey& key) -> Applied {
  return {
      .external_address = IpAddress::unspecified(key.external_family), .external_port = {}, .lifetime = {}};
}

auto carry_out(nat::Nat64& nat64, TimePoint now, const Install& wanted) -> Result {
  const auto suggestion = suggestion_of(wanted.external_address, wanted.external_port,
                                        wanted.match == Match::exact, wanted.given_address);
  if (!suggestion) return std::unexpected(Refusal::cannot_provide_external);
  const auto installed = nat64.install(now, wanted.key, *suggestion, wanted.lifetime,
                                       {.filters = wanted.filters,
                                        .port_count = wanted.port_count,
                                        .preserve_parity = wanted.preserve_parity,
                                        .external_ports = wanted.external_ports,
                                        .is_bound_to_address = wanted.is_bound_to_address});
  if (!installed) return std::unexpected(refusal_of(installed.error()));
  return applied(installed->external, installed->lifetime);
}

auto carry_out(nat::Nat64& nat64, TimePoint now, const Remove& unwanted) -> Result {
  const auto removed = nat64.remove(now, unwanted.key);
  if (removed) return applied(removed->external, removed->remaining);
  if (removed.error() == nat::RemoveError::outbound_mapping)
    return std::unexpected(Refusal::outbound_mapping);
  return nothing(unwanted.key);
}

auto carry_out(nat::Nat64& nat64, TimePoint now, const InstallPeer& wanted) -> Result {
  const auto suggestion =
      suggestion_of(wanted.external_address, wanted.external_port, false, wanted.given_address);
  const auto peered = nat64.install_peer(now, wanted.key, wanted.remote_peer, *suggestion, wanted.lifetime,
                                         wanted.external_ports);
  if (!peered) return std::unexpected(refusal_of(peered.error()));
  return applied(peered->external, peered->remaining);
}

auto carry_out(nat::Nat64& nat64, TimePoint now, const ReleasePeer& unwanted) -> Result {
  const auto released = nat64.release_peer(now, unwanted.key, unwanted.remote_peer);
  return released ? applied(released->external, released->remaining) : nothing(unwanted.key);
}

auto carry_out(nat::Nat64& nat64, TimePoint /*now*/, const PutProfile& wanted) -> Result {
  if (wanted.realm != Realm{}) return std::unexpected(Refusal::not_inside);
  if (!wanted.external_address.is_unspecified() && !wanted.external_address.is_ipv4())
    return std::unexpected(Refusal::profile_unsupported);
  const auto put =
      nat64.put_profile(wanted.internal_prefix, {.subscriber_prefix_length = wanted.subscriber_prefix_length,
                                                 .external_address = wanted.external_address.is_unspecified()
                                                                         ? Ipv4Address{}
                                                                         : wanted.external_address.ipv4(),
                                                 .port_block_size = wanted.port_block_size,
                                                 .external_ports = wanted.external_ports,
                                                 .ports_max = wanted.ports_max,
                                                 .sessions_max = wanted.sessions_max,
                                                 .sessions_per_second_max = wanted.sessions_per_second_max});
  if (!put) {
    switch (put.error()) {
      case nat::ProfileError::not_inside: return std::unexpected(Refusal::not_inside);
      case nat::ProfileError::no_resources: return std::unexpected(Refusal::no_resources);
      case nat::ProfileError::unsupported: return std::unexpected(Refusal::profile_unsupported);
    }
  }
  return Applied{};
}

auto carry_out(nat::Nat64& nat64, TimePoint /*now*/, const DropProfile& unwanted) -> Result {
  if (unwanted.realm == Realm{}) nat64.drop_profile(unwanted.internal_prefix);
  return Applied{};
}

void fetch(const nat::Nat64& nat64, std::span<const Operation> operations) {
  std::array<nat::Nat64::UpcomingCall, fetched_together_max> calls;
  std::size_t count = 0;
  for (const Operation& operation : operations)
    std::visit(
        [&]<typename Each>(const Each& each) {
          if constexpr (requires { each.key; })
            calls[count++] = {.key = &each.key, .is_removal = std::is_same_v<Each, Remove>};
        },
        operation);
  nat64.fetch(std::span(calls).first(count));
}

}  // namespace

auto apply(nat::Nat64& nat64, TimePoint now, std::span<const Operation> operations) -> std::vector<Result> {
  std::vector<Result> results;
  results.reserve(operations.size());
  while (!operations.empty()) {
    const auto together = operations.first(std::min(operations.size(), fetched_together_max));
    operations = operations.subspan(together.size());
    fetch(nat64, together);
    for (const Operation& operation : together)
      results.push_back(std::visit([&](const auto& each) { return carry_out(nat64, now, each); }, operation));
  }
  return results;
}

auto event_of(const nat::PoolChange& change) -> Event {
  switch (change.kind) {
    case nat::PoolChange::Kind::moved:
      return Moved{.key = change.key,
                   .port_count = change.external.port_count,
                   .external_address = IpAddress{change.external.address},
                   .external_port = change.external.port};
    case nat::PoolChange::Kind::lost_peer:
      return LostPeer{.key = change.key, .remote_peer = change.remote_peer};
    case nat::PoolChange::Kind::lost: break;
  }
  return Lost{change.key};
}

}  // namespace portolan::device
