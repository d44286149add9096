// SPDX-License-Identifier: BSD-2-Clause
//
// What the server asks of the engine: explicit mappings (RFC 6887 s11.3, s15), port sets (RFC 7753) and
// filters (RFC 6887 s13.3).
#include <algorithm>
#include <array>

#include "base/prefetch.h"
#include "nat/nat64.h"

namespace portolan::nat {

auto to_string(InstallError error) -> std::string_view {
  switch (error) {
    case InstallError::cannot_provide_external: return "cannot provide external";
    case InstallError::no_resources: return "no resources";
    case InstallError::unsupported_protocol: return "unsupported protocol";
    case InstallError::not_inside: return "not an inside address";
    case InstallError::network_failure: return "network failure";
    case InstallError::excessive_filters: return "excessive filters";
    case InstallError::remote_peer_invalid: return "remote peer invalid";
  }
  return "unknown error";
}

auto Nat64::endpoint_of(const MappingKey& key) const -> std::expected<InternalEndpoint, InstallError> {
  const bool is_mappable = (key.protocol == Protocol::tcp || key.protocol == Protocol::udp) &&
                           key.internal_port != Port{0} && key.external_family == Family::ipv4;
  if (!is_mappable) return std::unexpected(InstallError::unsupported_protocol);
  const std::uint8_t* address = key.internal_address.bits().octets.data();
  if (key.realm != Realm{} || key.internal_address.is_ipv4() || !is_inside_address(address) ||
      prefixes_.find(address))
    return std::unexpected(InstallError::not_inside);
  return InternalEndpoint{.address = key.internal_address.bits(),
                          .port = key.internal_port.value,
                          .base = key.protocol == Protocol::tcp ? Base::tcp : Base::udp};
}

auto Nat64::key_of(const InternalEndpoint& internal) -> MappingKey {
  return {.realm = {},
          .internal_address = IpAddress{internal.address},
          .protocol = internal.base == Base::tcp ? Protocol::tcp : Protocol::udp,
          .external_family = Family::ipv4,
          .internal_port = Port{internal.port}};
}

void Nat64::fetch(std::span<const UpcomingCall> calls) const {
  std::array<Bindings::Upcoming, fetched_together_max> changes;
  std::size_t count = 0;
  for (const UpcomingCall& call : calls.first(std::min(calls.size(), changes.size())))
    if (const auto internal = endpoint_of(*call.key))
      changes[count++] = {.internal = *internal, .is_removal = call.is_removal};
  const auto upcoming = std::span(changes).first(count);
  bindings_.fetch(upcoming);
  for (const Bindings::Upcoming& change : upcoming)
    if (!change.is_renewal()) explicit_wheel_.prefetch(change.place);
  for (const Bindings::Upcoming& change : upcoming)
    if (change.is_removal) explicit_wheel_.prefetch_neighbours(change.place);
}

auto Nat64::external_of(std::uint32_t number) const -> External {
  const Binding& binding = bindings_[number];
  return {.address = bindings_.pool_address(binding.pool_index),
          .port = Port{binding.external_port},
          .port_count = bindings_.head_of(number) == 0 ? std::uint16_t{1} : bindings_.set(number).port_count};
}

auto Nat64::agrees(const Suggestion& suggestion, const External& present) -> bool {
  return (!suggestion.external_address || *suggestion.external_address == present.address) &&
         (suggestion.external_port == Port{0} || suggestion.external_port == present.port);
}

auto Nat64::find_pool(const Suggestion& suggestion, Wanted& wanted) const -> bool {
  if (!suggestion.external_address) return true;
  wanted.pool_index = bindings_.pool_index(suggestion.external_address->value);
  return wanted.pool_index || !suggestion.exact;
}

auto Nat64::for_new_place(Suggestion suggestion) const -> std::optional<Suggestion> {
  const std::optional<Ipv4Address>& given = suggestion.given_address;
  if (!given || !bindings_.pool_index(given->value)) return suggestion;
  if (suggestion.exact && suggestion.external_address && suggestion.external_address != given)
    return std::nullopt;
  suggestion.external_address = given;
  return suggestion;
}

auto Nat64::install(TimePoint now, const MappingKey& key, const Suggestion& suggestion, Seconds lifetime,
                    const Extras& extras) -> std::expected<Installed, InstallError> {
  const auto internal = endpoint_of(key);
  if (!internal) return std::unexpected(internal.error());
  if (!bindings_.has_pool()) return std::unexpected(InstallError::network_failure);
  Wanted wanted{.pool_index = std::nullopt,
                .port = suggestion.external_port.value,
                .exact = suggestion.exact,
                .is_explicit = true,
                .same_parity = extras.preserve_parity,
                .ports = extras.external_ports};
  std::uint32_t number = bindings_.find(*internal);
  const auto place = number == 0 ? for_new_place(suggestion) : suggestion;
  if (!place || !find_pool(*place, wanted)) return std::unexpected(InstallError::cannot_provide_external);
  if (number != 0) {
    const Binding& binding = bindings_[number];
    // A later port of a set has no mapping of its own.
    if (binding.is_explicit && bindings_.head_of(number) != number)
      return std::unexpected(InstallError::no_resources);
    if (suggestion.exact && !agrees(suggestion, external_of(number)))
      return std::unexpected(InstallError::cannot_provide_external);
  }
  if (!filters_.has_room(number != 0 && bindings_[number].is_explicit ? bindings_.set(number).filters : 0,
                         extras.filters.size()))
    return std::unexpected(InstallError::excessive_filters);
  const bool was_explicit = number != 0 && bindings_[number].is_explicit;
  if (!was_explicit) {
    const auto bound = bind_set(*internal, number, wanted, extras.port_count);
    if (!bound) return std::unexpected(bound.error());
    number = *bound;
  }

  ExplicitSet& set = bindings_.set(number);
  set.ports = extras.external_ports;
  set.is_bound = extras.is_bound_to_address;
  set.keeps_parity = extras.preserve_parity;
  new_filters_.clear();
  for (const RemoteFilter& filter : extras.filters) new_filters_.push_back(to_peer_filter(filter, prefixes_));
  if (filters_.replace(set.filters, new_filters_)) end_forbidden_sessions(number, now);
  lifetime = std::max(lifetime, remaining(number, now));
  const TimePoint until = now + lifetime;
  // A deadline that moves away is looked at when the earlier one comes up.
  if (!was_explicit || until.time_since_epoch().count() < set.until)
    explicit_wheel_.schedule(number, until, now);
  set.until = until.time_since_epoch().count();
  return Installed{.external = external_of(number), .lifetime = lifetime};
}

auto Nat64::bind_set(const InternalEndpoint& first, std::uint32_t number, const Wanted& wanted,
                     std::uint32_t count) -> std::expected<std::uint32_t, InstallError> {
  count = std::clamp<std::uint32_t>(count, 1, std::min(config_.limits.ports_per_set, 65536U - first.port));
  const auto ith = [&](std::uint32_t i) {
    InternalEndpoint internal = first;
    internal.port = static_cast<std::uint16_t>(first.port + i);
    return internal;
  };
  const auto refused = [&](bool is_for_want_of_ports) {
    const bool asked = wanted.port != 0 || wanted.pool_index;
    return std::unexpected(is_for_want_of_ports && wanted.exact && asked
                               ? InstallError::cannot_provide_external
                               : InstallError::no_resources);
  };
  const auto make_at = [&](std::uint32_t i, const Run& run) {
    ++counters_.bindings_made;
    return bindings_.make_at(ith(i), run.pool_index, static_cast<std::uint16_t>(run.port + i));
  };

  if (number == 0 && count == 1 && !wanted.same_parity) {
    const auto made = bindings_.make(first, wanted);
    if (!made) return refused(made.error() == DropReason::ports_exhausted);
    ++counters_.bindings_made;
    number = *made;
  } else {
    Run run;
    if (number == 0) {
      std::uint32_t unbound = std::min(count, bindings_.room(first.address));
      for (std::uint32_t i = 1; i < unbound; ++i)
        if (bindings_.find(ith(i)) != 0) unbound = i;
      if (unbound == 0) return refused(false);
      const auto chosen = bindings_.choose_run(first, wanted, unbound);
      if (!chosen) return refused(true);
      run = *chosen;
      number = make_at(0, run);
      for (std::uint32_t i = 1; i < run.count; ++i) make_at(i, run);
    } else {
      // An implicit binding of the first port stays where it is.
      const Binding& binding = bindings_[number];
      run = {.pool_index = binding.pool_index, .port = binding.external_port, .count = 1};
    }
    // The next ports must fit there: implicit bindings of a set that was removed do.
    std::uint32_t i = run.count;
    for (; i < count && run.port + i < 65536U; ++i) {
      const auto port = static_cast<std::uint16_t>(run.port + i);
      if (const std::uint32_t next = bindings_.find(ith(i)); next != 0) {
        const Binding& binding = bindings_[next];
        if (binding.is_explicit || binding.pool_index != run.pool_index || binding.external_port != port)
          break;
      } else {
        if (bindings_.room(first.address) == 0 || !wanted.ports.contains(Port{port}) ||
            !bindings_.may_have(ith(i), true, run.pool_index, port))
          break;
        make_at(i, run);
      }
    }
    count = i;
  }
  for (std::uint32_t i = 0; i < count; ++i) make_explicit(i == 0 ? number : bindings_.find(ith(i)), number);
  bindings_.set(number).port_count = static_cast<std::uint16_t>(count);
  return number;
}

void Nat64::make_explicit(std::uint32_t number, std::uint32_t head) {
  bindings_.set_explicit(number, true);
  bindings_.set(number) = {.until = 0,
                           .head = head,
                           .filters = 0,
                           .ports = {},
                           .port_count = 1,
                           .is_bound = false,
                           .keeps_parity = false};
  ++counters_.explicit_bindings;
}

auto Nat64::member(std::uint32_t head, std::uint32_t i) const -> std::uint32_t {
  if (i == 0) return head;
  InternalEndpoint internal = bindings_[head].internal;
  internal.port = static_cast<std::uint16_t>(internal.port + i);
  const std::uint32_t number = bindings_.find(internal);
  return number != 0 && bindings_.head_of(number) == head ? number : 0;
}

void Nat64::end_forbidden_sessions(std::uint32_t head, TimePoint now) {
  const ExplicitSet& set = bindings_.set(head);
  if (set.filters == 0) return;
  for (std::uint32_t i = 0; i < set.port_count; ++i) {
    const std::uint32_t number = member(head, i);
    const Binding& binding = bindings_[number];
    for (std::uint32_t session = binding.first_session; session != 0;) {
      const std::uint32_t next = sessions_[session].next;
      const SessionEntry& entry = sessions_.entry(session, Direction::from_ipv4);
      if (!sessions_[session].is_outbound && !lets_in(number, entry.remote, entry.remote_port))
        erase_session(session, now);
      session = next;
    }
  }
}

auto Nat64::remove(TimePoint now, const MappingKey& key) -> std::expected<Removed, RemoveError> {
  const auto internal = endpoint_of(key);
  if (!internal) return std::unexpected(RemoveError::no_mapping);
  const std::uint32_t number = bindings_.find(*internal);
  if (number == 0) return std::unexpected(RemoveError::no_mapping);
  const Binding& binding = bindings_[number];
  if (binding.is_explicit) {
    if (bindings_.head_of(number) != number) return std::unexpected(RemoveError::no_mapping);
    explicit_wheel_.cancel(number);
    return end_explicit(number, now);
  }
  if (!binding.was_explicit) return std::unexpected(RemoveError::outbound_mapping);
  return Removed{.external = external_of(number), .remaining = remaining(number, now)};
}

auto Nat64::put_profile(const Prefix& internal, const Allowance& asked) -> std::expected<void, ProfileError> {
  if (internal.length() < 1 || internal.address().is_ipv4()) return std::unexpected(ProfileError::not_inside);
  Profiles& profiles = bindings_.subscribers().profiles();
  const auto length = static_cast<std::uint8_t>(internal.length());
  const Allowance meaning = profiles.meaning_of(asked, length);
  if (!check(meaning)) return std::unexpected(ProfileError::unsupported);
  // Where its subscribers have their ports is the plan's to say.
  if (const auto& plan = bindings_.plan();
      plan && (plan->inside().contains(internal.address()) || internal.contains(plan->inside().address())) &&
      (asked.external_address != Ipv4Address{} || asked.external_ports != PortRange{} ||
       meaning.subscriber_prefix_length < plan->subscriber_prefix_length()))
    return std::unexpected(ProfileError::unsupported);
  // Nobody could have a dynamic port.
  if (const auto& plan = bindings_.plan();
      plan && meaning.port_block_size != 0 &&
      plan->address_without_block(meaning.port_block_size, config_.first_port))
    return std::unexpected(ProfileError::unsupported);
  const bool is_put = profiles.put(internal.address().bits(), length, asked);
  if (!is_put) return std::unexpected(ProfileError::no_resources);
  return {};
}

void Nat64::drop_profile(const Prefix& internal) {
  bindings_.subscribers().profiles().drop(internal.address().bits(),
                                          static_cast<std::uint8_t>(internal.length()));
}

auto Nat64::remaining(std::uint32_t head, TimePoint now) -> Seconds {
  Seconds longest{};
  for (std::uint32_t i = 0; i < bindings_.set(head).port_count; ++i)
    if (const std::uint32_t number = member(head, i); number != 0)
      longest = std::max(longest, remaining(bindings_[number], now));
  return longest;
}

auto Nat64::remaining(const Binding& binding, TimePoint now) -> Seconds {
  TimePoint last = now;
  // At most Limits::sessions_per_subscriber of them.
  for (std::uint32_t i = binding.first_session; i != 0; i = sessions_[i].next)
    if (sessions_[i].is_outbound) last = std::max(last, sessions_.deadline(sessions_[i], now, false));
  return std::chrono::ceil<Seconds>(last - now - session_tick_length);
}

auto Nat64::end_explicit(std::uint32_t head, TimePoint now) -> Removed {
  Removed removed{.external = external_of(head), .remaining = {}};
  static_cast<void>(filters_.replace(bindings_.set(head).filters, {}));
  // The head last: it leads to the others.
  for (std::uint32_t i = removed.external.port_count; i-- > 0;) {
    const std::uint32_t number = member(head, i);
    Binding& binding = bindings_[number];
    bindings_.set_explicit(number, false);
    binding.was_explicit = true;
    --counters_.explicit_bindings;
    removed.remaining = std::max(removed.remaining, remaining(binding, now));
    release_if_unused(number, now);
  }
  return removed;
}

}  // namespace portolan::nat
