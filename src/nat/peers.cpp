// SPDX-License-Identifier: BSD-2-Clause
//
// What the server asks of the engine about sessions: PEER (RFC 6887 s12.3), and a pool that changes
// under them (RFC 6887 s14.2).
#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "nat/nat64.h"

namespace portolan::nat {

auto Nat64::peer_tuple(const InternalEndpoint& internal, const Endpoint& remote_peer) const
    -> std::optional<PeerTuple> {
  const std::uint8_t* peer = remote_peer.address.bits().octets.data();
  const auto prefix = prefixes_.find(peer);
  if (remote_peer.port == Port{0} || !prefix) return std::nullopt;
  std::uint8_t remote[4];
  extract(prefixes_[*prefix], peer, remote);
  if (is_illegal_ipv4(remote) || !prefixes_.carries(*prefix, remote) || is_untranslated(load_raw32(remote)))
    return std::nullopt;
  InsideKey key{.inside = {},
                .remote = load_raw32(remote),
                .inside_port = to_raw16(internal.port),
                .remote_port = to_raw16(remote_peer.port.value),
                .protocol = internal.base == Base::tcp ? protocol::tcp : protocol::udp};
  std::memcpy(key.inside, internal.address.octets.data(), sizeof key.inside);
  return PeerTuple{.key = key, .prefix = *prefix};
}

auto Nat64::install_peer(TimePoint now, const MappingKey& key, const Endpoint& remote_peer,
                         const Suggestion& suggestion, Seconds lifetime, const PortRange& ports)
    -> std::expected<Peered, InstallError> {
  const auto internal = endpoint_of(key);
  if (!internal) return std::unexpected(internal.error());
  const auto tuple = peer_tuple(*internal, remote_peer);
  if (!tuple) return std::unexpected(InstallError::remote_peer_invalid);

  const SessionEntry* const entry = sessions_.find(tuple->key);
  std::uint32_t session = entry != nullptr ? entry->session : 0;
  if (session == 0) {
    const auto opened = open_for_peer(now, *internal, *tuple, suggestion, ports);
    if (!opened) return std::unexpected(opened.error());
    session = *opened;
  } else if (!sessions_[session].is_outbound) {
    // Begun from outside, wanted by the inside now: filters no longer concern it.
    sessions_[session].is_outbound = true;
    ++bindings_[sessions_[session].binding].outbound_sessions;
  }
  sessions_.keep(session, now + lifetime, now);
  const std::uint32_t binding = sessions_[session].binding;
  bindings_[binding].was_peered = true;
  External external = external_of(binding);
  external.port_count = 1;
  const TimePoint end = sessions_.deadline(sessions_[session], now, false);
  return Peered{.external = external, .remaining = std::chrono::floor<Seconds>(end - now)};
}

auto Nat64::open_for_peer(TimePoint now, const InternalEndpoint& internal, const PeerTuple& tuple,
                          const Suggestion& suggestion, const PortRange& ports)
    -> std::expected<std::uint32_t, InstallError> {
  if (!bindings_.has_pool()) return std::unexpected(InstallError::network_failure);
  // What is suggested is binding, and may be any port that the server lets the client ask for.
  const bool asked = suggestion.external_address || suggestion.external_port != Port{0};
  Wanted wanted{.pool_index = std::nullopt,
                .port = suggestion.external_port.value,
                .exact = asked,
                .is_explicit = suggestion.external_port != Port{0} || ports != PortRange{},
                .same_parity = false,
                .ports = ports};
  std::uint32_t number = bindings_.find(internal);
  Suggestion binding = suggestion;
  binding.exact = true;
  const auto place = number == 0 ? for_new_place(binding) : binding;
  if (!place || !find_pool(*place, wanted)) return std::unexpected(InstallError::cannot_provide_external);
  if (number != 0 && !agrees(suggestion, external_of(number)))
    return std::unexpected(InstallError::cannot_provide_external);
  if (number == 0) {
    const auto made = bindings_.make(internal, wanted);
    if (!made)
      return std::unexpected(made.error() == DropReason::ports_exhausted && asked
                                 ? InstallError::cannot_provide_external
                                 : InstallError::no_resources);
    number = *made;
    ++counters_.bindings_made;
  }
  const Entries entries =
      entries_of(bindings_[number], tuple.key.remote, tuple.key.remote_port, tuple.prefix);
  if (add_session(now, number, entries, Direction::from_ipv6, 1) != DropReason::none) {
    release_if_unused(number, now);
    return std::unexpected(InstallError::no_resources);
  }
  const std::uint32_t session = bindings_[number].first_session;
  // The connection may exist already, and only its translator have forgotten it (RFC 6887 s16.3.1): any
  // segment opens it. No packet was seen: PEER alone keeps it.
  if (sessions_[session].is_tcp) sessions_[session].state = TcpState::trans;
  sessions_.make_idle(session, now);
  return session;
}

auto Nat64::release_peer(TimePoint now, const MappingKey& key, const Endpoint& remote_peer)
    -> std::optional<Removed> {
  const auto internal = endpoint_of(key);
  if (!internal) return std::nullopt;
  const auto tuple = peer_tuple(*internal, remote_peer);
  const SessionEntry* const entry = tuple ? sessions_.find(tuple->key) : nullptr;
  if (entry == nullptr) return std::nullopt;
  const std::uint32_t session = entry->session;
  External external = external_of(sessions_[session].binding);
  external.port_count = 1;
  const Nanoseconds left = sessions_.let_go(session, now) - now - session_tick_length;
  // One that no packet keeps is gone at once; a connection is asked first, by advance().
  const bool is_asked = sessions_[session].is_tcp && sessions_[session].state == TcpState::established;
  if (left <= Nanoseconds{0} && !is_asked) erase_session(session, now);
  return Removed{.external = external, .remaining = std::max(std::chrono::ceil<Seconds>(left), Seconds{0})};
}

auto Nat64::remote_peer_of(std::uint32_t session) const -> Endpoint {
  const SessionEntry& entry = sessions_.entry(session, Direction::from_ipv6);
  std::uint8_t remote[4];
  store_raw32(remote, entry.remote);
  Ipv6Address address;
  embed(prefixes_[entry.prefix], remote, address.octets.data());
  return {IpAddress{address}, Port{from_raw16(entry.remote_port)}};
}

auto Nat64::set_pool(TimePoint now, const std::vector<PoolRange>& pool) -> std::vector<PoolChange> {
  config_.pool = pool;
  PORTOLAN_CHECK(check(config_));
  own_address_ = own_address(config_, prefixes_);
  std::vector<PoolChange> changes;
  const std::vector<std::uint16_t> gone = bindings_.set_pool(pool);
  for (const std::uint16_t pool_index : gone) {
    for (const std::uint32_t number : bindings_.at(pool_index)) end_sessions(number, now, changes);
    // What nobody wants explicitly went with its sessions.
    for (const std::uint32_t number : bindings_.at(pool_index))
      if (bindings_.head_of(number) == number) changes.push_back(move_set(number));
    bindings_.forget(pool_index);
  }
  return changes;
}

void Nat64::end_sessions(std::uint32_t number, TimePoint now, std::vector<PoolChange>& changes) {
  const MappingKey key = key_of(bindings_[number].internal);
  for (std::uint32_t session = bindings_[number].first_session; session != 0;) {
    const std::uint32_t next = sessions_[session].next;
    if (TimePoint{Seconds{sessions_[session].kept_until}} > now)
      changes.push_back({.kind = PoolChange::Kind::lost_peer,
                         .key = key,
                         .external = {},
                         .remote_peer = remote_peer_of(session)});
    erase_session(session, now);
    session = next;
  }
}

auto Nat64::move_set(std::uint32_t head) -> PoolChange {
  const InternalEndpoint first = bindings_[head].internal;
  const std::uint16_t port = bindings_[head].external_port;
  ExplicitSet& set = bindings_.set(head);
  const std::uint32_t count = set.port_count;
  PoolChange change{.kind = PoolChange::Kind::lost, .key = key_of(first), .external = {}, .remote_peer = {}};
  std::optional<Run> run;
  if (!set.is_bound)
    run = bindings_.choose_run(first,
                               {.pool_index = std::nullopt,
                                .port = port,
                                .exact = false,
                                .is_explicit = true,
                                .same_parity = set.keeps_parity || (first.port ^ port) % 2 == 0,
                                .ports = set.ports},
                               count);
  const std::uint32_t kept = run ? run->count : 0;
  if (kept == 0) {
    explicit_wheel_.cancel(head);
    static_cast<void>(filters_.replace(set.filters, {}));
  }
  // The head last: it leads to the others.
  for (std::uint32_t i = count; i-- > 0;) {
    const std::uint32_t number = member(head, i);
    if (i < kept) {
      bindings_.move(number, run->pool_index, static_cast<std::uint16_t>(run->port + i));
      continue;
    }
    --counters_.explicit_bindings;
    bindings_.erase(number, false, TimePoint{});
  }
  if (kept == 0) return change;
  set.port_count = static_cast<std::uint16_t>(kept);
  change.kind = PoolChange::Kind::moved;
  change.external = external_of(head);
  return change;
}

}  // namespace portolan::nat
