// SPDX-License-Identifier: BSD-2-Clause
//
// The engine's slow path: packets that make bindings and sessions (RFC 6146 s3.5), and their end.
#include <algorithm>
#include <cstring>

#include "nat/checksum.h"
#include "nat/nat64.h"
#include "nat/translate.h"

namespace portolan::nat {

auto Nat64::base_of(std::uint8_t protocol) -> Base {
  if (protocol == protocol::tcp) return Base::tcp;
  return protocol == protocol::udp ? Base::udp : Base::icmp;
}

auto Nat64::protocol_of(Base base) -> std::uint8_t {
  switch (base) {
    case Base::udp: return protocol::udp;
    case Base::tcp: return protocol::tcp;
    case Base::icmp: break;
  }
  return protocol::icmp;
}

auto Nat64::is_draining(const Binding& binding) -> bool {
  return !binding.is_explicit && binding.was_explicit && binding.outbound_sessions == 0;
}

auto Nat64::entries_of(const Binding& binding, std::uint32_t remote, std::uint16_t remote_port,
                       std::uint8_t prefix) const -> Entries {
  SessionEntry common{};
  std::memcpy(common.inside, binding.internal.address.octets.data(), sizeof common.inside);
  common.remote = remote;
  std::uint8_t octets[4];
  store32(octets, bindings_.pool_address(binding.pool_index).value);
  common.external = load_raw32(octets);
  common.inside_port = to_raw16(binding.internal.port);
  common.external_port = to_raw16(binding.external_port);
  common.remote_port = remote_port;
  common.prefix = prefix;

  const bool is_echo = binding.internal.base == Base::icmp;
  const std::uint8_t ipv4_protocol = protocol_of(binding.internal.base);
  std::uint8_t embedded[16];
  store_raw32(octets, remote);
  embed(prefixes_[prefix], octets, embedded);
  const std::uint16_t ipv6_sum = fold(sum_octets(common.inside, 16) + sum_octets(embedded, 16));
  // ICMPv4 has no pseudo-header.
  const std::uint16_t ipv4_sum = is_echo ? std::uint16_t{0} : fold(std::uint64_t{common.external} + remote);

  Entries entries{.outward = common, .inward = common};
  entries.outward.direction = Direction::from_ipv6;
  entries.outward.identification_flow = identifications_.flow_of(common.external, remote, ipv4_protocol);
  entries.outward.address_delta = difference(ipv4_sum, ipv6_sum);
  entries.outward.flow_delta =
      sum_of(entries.outward.address_delta, difference(common.external_port, common.inside_port));
  entries.inward.direction = Direction::from_ipv4;
  entries.inward.address_delta = difference(ipv6_sum, ipv4_sum);
  entries.inward.flow_delta =
      sum_of(entries.inward.address_delta, difference(common.inside_port, common.external_port));
  entries.outward.protocol = is_echo ? protocol::icmpv6 : ipv4_protocol;
  entries.inward.protocol = ipv4_protocol;
  return entries;
}

auto Nat64::source_prefix(std::uint32_t remote) const -> std::uint8_t {
  std::uint8_t octets[4];
  store_raw32(octets, remote);
  return prefixes_.for_source(octets).value_or(0);
}

auto Nat64::is_untranslated(std::uint32_t remote) const -> bool {
  std::uint8_t octets[4];
  store_raw32(octets, remote);
  return untranslated_.contains(load32(octets));
}

auto Nat64::open_from_ipv6(TimePoint now, const InsideKey& key, const Packet& packet)
    -> std::expected<SessionEntry, DropReason> {
  InternalEndpoint internal{
      .address = {}, .port = from_raw16(key.inside_port), .base = base_of(packet.protocol)};
  std::copy_n(key.inside, internal.address.octets.size(), internal.address.octets.begin());
  bindings_.fetch_index(internal);  // find() looks at one of them first, make() at the others
  std::uint32_t number = bindings_.find(internal);

  if (is_untranslated(key.remote)) return std::unexpected(DropReason::untranslated);
  const bool is_tcp = packet.protocol == protocol::tcp;
  const bool begins =
      is_tcp ? tcp_event(packet.tcp_flags) == TcpEvent::syn
             : packet.protocol != protocol::icmpv6 || packet.transport()[icmp::type] == icmp::v6_echo_request;
  if (!begins) {
    // CLOSED, any other packet: through if there is a binding, without a session.
    if (number == 0) return std::unexpected(DropReason::no_mapping);
    return entries_of(bindings_[number], key.remote, key.remote_port, packet.prefix).outward;
  }
  if (number == 0) {
    if (!is_implicit_allowed_) return std::unexpected(DropReason::not_reconciled);
    Wanted wanted;
    wanted.is_limited = true;
    const auto made = bindings_.make(internal, wanted);
    if (!made) return std::unexpected(made.error());
    number = *made;
    ++counters_.bindings_made;
  }
  const Entries entries = entries_of(bindings_[number], key.remote, key.remote_port, packet.prefix);
  if (const DropReason reason = admit(now, number, entries, Direction::from_ipv6);
      reason != DropReason::none) {
    release_if_unused(number, now);
    return std::unexpected(reason);
  }
  // Simultaneous open: the SYN that came first counts as received, and its sender sends it again
  // (RFC 5382 s4.3 REQ-4).
  if (is_tcp && waiting_syns_.take({.external = entries.inward.external,
                                    .remote = key.remote,
                                    .external_port = entries.inward.external_port,
                                    .remote_port = key.remote_port,
                                    .protocol = protocol::tcp})) {
    ++counters_.simultaneous_opens;
    if (const SessionEntry* entry = sessions_.find(key); entry != nullptr)
      sessions_.segment(entry->session, Direction::from_ipv4, TcpEvent::syn, now);
  }
  return entries.outward;
}

auto Nat64::open_from_ipv4(TimePoint now, const OutsideKey& key, std::uint16_t pool_index,
                           const Packet& packet) -> std::expected<SessionEntry, DropReason> {
  const std::uint32_t number =
      bindings_.find(base_of(packet.protocol), pool_index, from_raw16(key.external_port));
  if (is_untranslated(key.remote)) return std::unexpected(DropReason::untranslated);
  // What was explicit and has no session from inside any more lets nobody in.
  if (number == 0 || is_draining(bindings_[number])) return std::unexpected(DropReason::no_mapping);
  if (!lets_in(number, key.remote, key.remote_port)) return std::unexpected(DropReason::filtered);
  const Entries entries =
      entries_of(bindings_[number], key.remote, key.remote_port, source_prefix(key.remote));
  if (packet.protocol == protocol::tcp && tcp_event(packet.tcp_flags) != TcpEvent::syn) return entries.inward;
  if (const DropReason reason = admit(now, number, entries, Direction::from_ipv4); reason != DropReason::none)
    return std::unexpected(reason);
  // One that waited until it was let in needs no answer.
  if (packet.protocol == protocol::tcp) waiting_syns_.take(key);
  return entries.inward;
}

auto Nat64::is_address_dependent(Base base) const -> bool {
  switch (base) {
    case Base::udp: return config_.filtering.udp == Filtering::address_dependent;
    case Base::tcp: return config_.filtering.tcp == Filtering::address_dependent;
    case Base::icmp: break;
  }
  return config_.filtering.icmp == Filtering::address_dependent;
}

auto Nat64::lets_in(std::uint32_t number, std::uint32_t remote, std::uint16_t remote_port) const -> bool {
  const Binding& binding = bindings_[number];
  if (!binding.is_explicit)
    return !is_address_dependent(binding.internal.base) || contacts_.has(number, remote);
  const std::uint32_t list = bindings_.set(bindings_.head_of(number)).filters;
  std::uint8_t octets[4];
  store_raw32(octets, remote);
  return list == 0 || filters_.allows(list, load32(octets), from_raw16(remote_port));
}

auto Nat64::admit(TimePoint now, std::uint32_t number, const Entries& entries, Direction opener)
    -> DropReason {
  // What strangers cause, answers of a mapped endpoint included, may fill half of each table at most: so
  // they never cut a host off.
  const bool is_own = opener == Direction::from_ipv6 && !bindings_[number].is_explicit;
  if (is_own && !bindings_.subscribers().may_begin(bindings_[number].subscriber, now))
    return DropReason::subscriber_rate_exceeded;
  const DropReason reason = add_session(now, number, entries, opener, is_own ? 1 : 2);
  if (reason == DropReason::none || !bindings_[number].is_explicit) return reason;
  // The mapping stays without any session, and whom it lets in was looked at: its packets need none. Nothing
  // is dropped, so no exhaustion is told.
  ++counters_.without_session;
  return DropReason::none;
}

auto Nat64::add_session(TimePoint now, std::uint32_t number, const Entries& entries, Direction opener,
                        std::uint32_t share) -> DropReason {
  Binding& binding = bindings_[number];
  Subscriber& subscriber = bindings_.subscribers()[binding.subscriber];
  const bool is_outbound = opener == Direction::from_ipv6;
  const std::uint32_t own_max =
      std::min(bindings_.subscribers().allowance_of(binding.subscriber).sessions_max,
               config_.limits.sessions_per_subscriber);
  if (subscriber.sessions >= own_max / share) return DropReason::subscriber_sessions_exhausted;
  if (sessions_.size() >= config_.limits.sessions / share) return DropReason::sessions_exhausted;
  const Session session{.slots = {},
                        .binding = number,
                        .previous = 0,
                        .next = binding.first_session,
                        .since = 0,
                        .kept_until = 0,
                        .state = is_outbound ? TcpState::v6_init : TcpState::v4_init,
                        .is_tcp = binding.internal.base == Base::tcp,
                        .is_udp = binding.internal.base == Base::udp,
                        .is_outbound = is_outbound};
  const std::uint32_t added = sessions_.add(entries.outward, entries.inward, session, now);
  if (added == 0) return DropReason::sessions_exhausted;
  if (binding.first_session != 0) sessions_[binding.first_session].previous = added;
  binding.first_session = added;
  ++binding.sessions;
  if (is_outbound) ++binding.outbound_sessions;
  ++subscriber.sessions;
  if (is_address_dependent(binding.internal.base)) contacts_.add(number, entries.outward.remote);
  ++counters_.sessions_made;
  if (bindings_.events().is_on()) tell(EventKind::session_created, added);
  return DropReason::none;
}

void Nat64::erase_session(std::uint32_t number, TimePoint now) {
  if (bindings_.events().is_on()) tell(EventKind::session_deleted, number);
  const Session& session = sessions_[number];
  const std::uint32_t binding_number = session.binding;
  Binding& binding = bindings_[binding_number];
  (session.previous != 0 ? sessions_[session.previous].next : binding.first_session) = session.next;
  if (session.next != 0) sessions_[session.next].previous = session.previous;
  --binding.sessions;
  if (session.is_outbound) --binding.outbound_sessions;
  --bindings_.subscribers()[binding.subscriber].sessions;
  if (is_address_dependent(binding.internal.base))
    contacts_.remove(binding_number, sessions_.entry(number, Direction::from_ipv4).remote);
  sessions_.erase(number);
  release_if_unused(binding_number, now);
}

void Nat64::tell(EventKind kind, std::uint32_t session) {
  const Session& told = sessions_[session];
  const Binding& binding = bindings_[told.binding];
  const EventSource& events = bindings_.events();
  if (events.level_of(binding.internal.address) < EventLevel::sessions) return;
  Event event{.kind = kind,
              .protocol = pcp_protocol(binding.internal.base),
              .is_outbound = told.is_outbound,
              .internal_port = binding.internal.port,
              .external_port = binding.external_port,
              .internal = binding.internal.address,
              .external = bindings_.pool_address(binding.pool_index)};
  if (events.tells_destinations()) {
    const SessionEntry& entry = sessions_.entry(session, Direction::from_ipv6);
    std::uint8_t octets[4];
    store_raw32(octets, entry.remote);
    event.remote = Ipv4Address{load32(octets)};
    event.remote_port = from_raw16(entry.remote_port);
  }
  events.put(event);
}

void Nat64::tell_exhausted_v6(TimePoint now, const Packet& packet, DropReason reason) {
  Event event{.kind = EventKind::exhausted, .reason = reason};
  std::memcpy(event.internal.octets.data(), packet.data + ipv6::source, event.internal.octets.size());
  if (reason == DropReason::ports_exhausted)
    event.external = bindings_.external_address(event.internal).value_or(Ipv4Address{});
  bindings_.events().exhausted(now, event);
}

void Nat64::tell_exhausted_v4(TimePoint now, const Packet& packet, DropReason reason) {
  bindings_.events().exhausted(now, {.kind = EventKind::exhausted,
                                     .reason = reason,
                                     .external = Ipv4Address{load32(packet.data + ipv4::destination)}});
}

void Nat64::release_if_unused(std::uint32_t number, TimePoint now) {
  const Binding& binding = bindings_[number];
  if (binding.first_session != 0 || binding.is_explicit) return;
  // TCP ports may be used again at once because their sessions were tracked to the end (RFC 6888 s2
  // REQ-8 a), unless the server may want the mapping back (RFC 6887 s15).
  const bool is_servers = binding.was_explicit || binding.was_peered;
  const bool hold = binding.internal.base == Base::udp || (binding.internal.base == Base::tcp && is_servers);
  bindings_.erase(number, hold, now);
}

void Nat64::expire_established(std::uint32_t number, TimePoint now) {
  sessions_.decline(number, now);
  Output* const output = claim_output();
  if (output == nullptr) return;
  // RFC 6146 s3.5.2.2: no data, sequence and acknowledgment numbers zero, ACK alone. An end that lives
  // answers, and its answer brings the session back to ESTABLISHED.
  constexpr std::uint32_t size = ipv6::header_size + tcp::header_size;
  const SessionEntry& entry = sessions_.entry(number, Direction::from_ipv4);
  output->octets.fill(std::byte{0});
  output->size = size;
  auto* const packet = reinterpret_cast<std::uint8_t*>(output->octets.data());
  write_ipv6(packet, {.traffic_class = 0,
                      .hop_limit = 64,
                      .next_header = protocol::tcp,
                      .payload_length = tcp::header_size});
  std::uint8_t remote[4];
  store_raw32(remote, entry.remote);
  embed(prefixes_[entry.prefix], remote, packet + ipv6::source);
  std::memcpy(packet + ipv6::destination, entry.inside, sizeof entry.inside);
  std::uint8_t* const segment = packet + ipv6::header_size;
  store_raw16(segment + tcp::source_port, entry.remote_port);
  store_raw16(segment + tcp::destination_port, entry.inside_port);
  segment[tcp::data_offset] = (tcp::header_size / 4) << 4U;
  segment[tcp::flags] = tcp::ack;
  const std::uint64_t sum = sum_octets(packet + ipv6::source, 32) +
                            sum_protocol_and_length(protocol::tcp, tcp::header_size) +
                            sum_octets(segment, tcp::header_size);
  store_raw16(segment + tcp::checksum, static_cast<std::uint16_t>(~fold(sum)));
  ++counters_.probes_sent;
}

void Nat64::advance(TimePoint now) {
  std::uint32_t steps = steps_per_advance;
  while (steps > 0) {
    const auto due = sessions_.pop_due(now);
    if (!due) break;
    --steps;
    const Session& session = sessions_[*due];
    const TimePoint deadline = sessions_.deadline(session, now, is_draining(bindings_[session.binding]));
    if (deadline > now)
      sessions_.put_back(*due, deadline, now);
    else if (session.is_tcp && session.state == TcpState::established)
      expire_established(*due, now);
    else
      erase_session(*due, now);
  }
  while (steps > 0) {
    const auto due = explicit_wheel_.pop_due(now);
    if (!due) break;
    --steps;
    const TimePoint until{Nanoseconds{bindings_.set(*due).until}};
    if (until > now)
      explicit_wheel_.schedule(*due, until, now);
    else
      static_cast<void>(end_explicit(*due, now));
  }
  answer_syns(now, steps);
  bindings_.advance(now, steps);
  reassembly_.advance(now);
}

void Nat64::answer_syns(TimePoint now, std::uint32_t& steps) {
  for (; steps > 0 && output_count_ < outputs_.size(); --steps) {
    const auto due = waiting_syns_.pop_due(now);
    if (!due) return;
    Packet packet;
    packet.data = due->data();
    packet.size = static_cast<std::uint32_t>(due->size());
    // An address that has left the pool is not ours to answer from.
    if (bindings_.pool_index(load32(packet.data + ipv4::destination)))
      send_error_v4(now, packet, {.type = icmp::v4_unreachable, .code = 3, .rest = 0});
  }
}

auto Nat64::next_deadline() const -> std::optional<TimePoint> {
  std::optional<TimePoint> next;
  for (const auto& deadline :
       {sessions_.next_deadline(), explicit_wheel_.next_deadline(), bindings_.next_deadline(),
        reassembly_.next_deadline(), waiting_syns_.next_deadline()})
    if (deadline && (!next || *deadline < *next)) next = deadline;
  return next;
}

}  // namespace portolan::nat
