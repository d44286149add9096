// SPDX-License-Identifier: BSD-2-Clause
//
// Which way would a packet go? The decisions of nat64.cpp and flows.cpp without their effects; a test holds
// both together.
#include <algorithm>
#include <cstring>

#include "nat/nat64.h"

namespace portolan::nat {
namespace {

auto octets_of(const IpAddress& address) -> const std::uint8_t* { return address.bits().octets.data(); }

}  // namespace

auto Nat64::room_for_session(TimePoint now, std::uint32_t binding, std::uint32_t subscriber, Direction opener,
                             const Ahead& ahead) const -> DropReason {
  const bool is_own = opener == Direction::from_ipv6 && (binding == 0 || !bindings_[binding].is_explicit);
  const std::uint32_t share = is_own ? 1 : 2;
  if (subscriber != 0) {
    const Subscribers& subscribers = bindings_.subscribers();
    if (is_own && !subscribers.could_begin(subscriber, now)) return DropReason::subscriber_rate_exceeded;
    const std::uint32_t begun = subscriber == ahead.subscriber ? ahead.sessions : 0;
    const std::uint32_t own_max =
        std::min(subscribers.allowance_of(subscriber).sessions_max, config_.limits.sessions_per_subscriber);
    if (subscribers[subscriber].sessions + begun >= own_max / share)
      return DropReason::subscriber_sessions_exhausted;
  }
  return sessions_.size() + ahead.sessions >= config_.limits.sessions / share ? DropReason::sessions_exhausted
                                                                              : DropReason::none;
}

auto Nat64::trace(TimePoint now, const TraceQuery& query) -> TraceResult {
  TraceResult result{.source = query.source, .destination = query.destination};
  if (query.source.address.is_ipv4() != query.destination.address.is_ipv4()) {
    result.reason = DropReason::malformed;
  } else if (query.source.address.is_ipv4()) {
    trace_from_ipv4(now, query, {}, result);
    std::array<std::uint8_t, 4> source{};
    store32(source.data(), query.source.address.ipv4().value);
    if (result.reason == DropReason::left_to_host && !may_be_outside(source.data()))
      result.reason = DropReason::illegal_source;
  } else {
    trace_from_ipv6(now, query, result);
  }
  return result;
}

void Nat64::trace_from_ipv6(TimePoint now, const TraceQuery& query, TraceResult& result) {
  std::array<std::uint8_t, ipv6::header_size> header{};
  std::copy_n(octets_of(query.source.address), 16, header.begin() + ipv6::source);
  std::copy_n(octets_of(query.destination.address), 16, header.begin() + ipv6::destination);
  Packet packet{};
  packet.data = header.data();
  result.reason = check_addresses_v6(packet);
  if (result.reason != DropReason::none) return;
  const bool is_echo = query.protocol == Protocol::icmpv6 || query.protocol == Protocol::icmp;
  if (!is_echo && query.protocol != Protocol::tcp && query.protocol != Protocol::udp) {
    result.reason = DropReason::unsupported_protocol;
    return;
  }
  const std::uint8_t protocol = is_echo                           ? protocol::icmpv6
                                : query.protocol == Protocol::tcp ? protocol::tcp
                                                                  : protocol::udp;
  InsideKey key{.inside = {},
                .remote = 0,
                .inside_port = to_raw16(query.source.port.value),
                .remote_port = is_echo ? std::uint16_t{0} : to_raw16(query.destination.port.value),
                .protocol = protocol};
  std::copy_n(octets_of(query.source.address), sizeof key.inside, key.inside);
  std::uint8_t remote[4];
  extract(prefixes_[packet.prefix], header.data() + ipv6::destination, remote);
  key.remote = load_raw32(remote);
  result.destination = {IpAddress{Ipv4Address{load32(remote)}}, is_echo ? Port{0} : query.destination.port};

  const InternalEndpoint internal{
      .address = query.source.address.bits(), .port = query.source.port.value, .base = base_of(protocol)};
  const std::uint32_t number = bindings_.find(internal);
  if (number != 0) result.binding = row_of_binding(number, now);
  const Subscribers& subscribers = bindings_.subscribers();
  const std::uint32_t subscriber =
      number != 0 ? bindings_[number].subscriber : subscribers.find(internal.address);
  const bool begins = protocol != protocol::tcp || tcp_event(query.tcp_flags) == TcpEvent::syn;
  if (const SessionEntry* const entry = sessions_.find(key); entry != nullptr) {
    result.session = row_of_session(entry->session, now);
    result.source = result.session->external;
  } else if (is_untranslated(key.remote)) {
    result.reason = DropReason::untranslated;
  } else if (!begins && number == 0) {
    result.reason = DropReason::no_mapping;
  } else if (!begins) {
    result.source = result.binding->external;
  } else {
    if (number == 0) {
      if (!is_implicit_allowed_)
        result.reason = DropReason::not_reconciled;
      else if (bindings_.size() >= config_.limits.bindings)
        result.reason = DropReason::bindings_exhausted;
      else if (subscriber == 0 && subscribers.is_full())
        result.reason = DropReason::subscribers_exhausted;
      else if (subscriber != 0 && subscribers[subscriber].implicit[static_cast<std::size_t>(internal.base)] >=
                                      subscribers.allowance_of(internal.address).ports_max)
        result.reason = DropReason::subscriber_ports_exhausted;
      else if (!bindings_.has_pool())
        result.reason = DropReason::ports_exhausted;
      if (result.reason != DropReason::none) return;
    }
    result.reason = room_for_session(now, number, subscriber, Direction::from_ipv6, {});
    result.makes_session = result.reason == DropReason::none;
    if (result.reason != DropReason::none && (number == 0 || !bindings_[number].is_explicit)) return;
    result.reason = DropReason::none;
    result.makes_binding = number == 0;
    if (result.binding)
      result.source = result.binding->external;
    else
      result.source = {subscriber == 0
                           ? IpAddress::unspecified(Family::ipv4)
                           : IpAddress{bindings_.pool_address(subscribers[subscriber].pool_index)},
                       Port{0}};
  }
  if (result.reason != DropReason::none || !bindings_.pool_index(load32(remote))) return;
  result.is_hairpinned = true;
  // A place that is yet to be drawn has no session there.
  if (result.source.address.is_unspecified())
    result.source.address = IpAddress{bindings_.pool_address(bindings_.pool().at(0))};
  TraceResult back;
  trace_from_ipv4(
      now,
      {.protocol = is_echo ? Protocol::icmp : query.protocol,
       .source = result.source,
       .destination = {result.destination.address, is_echo ? query.source.port : query.destination.port},
       .tcp_flags = query.tcp_flags},
      {.subscriber = subscriber, .sessions = result.makes_session ? 1U : 0U}, back);
  // To itself: the session made on the way out is found on the way in.
  const bool finds_itself = result.source == result.destination && result.makes_session;
  if (finds_itself && back.binding) back.reason = DropReason::none;
  // What hairpins to the host gets nowhere.
  result.reason = back.reason == DropReason::left_to_host ? DropReason::no_mapping : back.reason;
  result.source = back.source;
  result.destination = back.destination;
  result.filter = back.filter;
}

void Nat64::trace_from_ipv4(TimePoint now, const TraceQuery& query, const Ahead& ahead, TraceResult& result) {
  std::array<std::uint8_t, ipv4::header_size> header{};
  store32(header.data() + ipv4::source, query.source.address.ipv4().value);
  store32(header.data() + ipv4::destination, query.destination.address.ipv4().value);
  Packet packet{};
  packet.data = header.data();
  result.reason = check_addresses_v4(packet, false);
  if (result.reason != DropReason::none) return;
  const bool is_echo = query.protocol == Protocol::icmp || query.protocol == Protocol::icmpv6;
  if (!is_echo && query.protocol != Protocol::tcp && query.protocol != Protocol::udp) {
    result.reason = DropReason::unsupported_protocol;
    return;
  }
  const std::uint8_t protocol = is_echo                           ? protocol::icmp
                                : query.protocol == Protocol::tcp ? protocol::tcp
                                                                  : protocol::udp;
  const OutsideKey key{.external = load_raw32(header.data() + ipv4::destination),
                       .remote = load_raw32(header.data() + ipv4::source),
                       .external_port = to_raw16(query.destination.port.value),
                       .remote_port = is_echo ? std::uint16_t{0} : to_raw16(query.source.port.value),
                       .protocol = protocol};
  std::uint8_t remote[16];
  embed(prefixes_[source_prefix(key.remote)], header.data() + ipv4::source, remote);
  Ipv6Address source;
  std::copy_n(remote, sizeof remote, source.octets.begin());
  const auto pool_index = bindings_.pool_index(query.destination.address.ipv4().value);
  const std::uint32_t number = bindings_.find(base_of(protocol), *pool_index, query.destination.port.value);
  if (number == 0) {
    const bool is_the_hosts =
        is_echo || !bindings_.pool().ports_of(*pool_index).contains(query.destination.port);
    result.reason = bindings_.pool().is_shared(*pool_index) && is_the_hosts ? DropReason::left_to_host
                                                                            : DropReason::no_mapping;
    return;
  }
  const Binding& binding = bindings_[number];
  result.binding = row_of_binding(number, now);
  result.source = {IpAddress{source}, is_echo ? Port{0} : query.source.port};
  result.destination = result.binding->internal;
  if (const SessionEntry* const entry = sessions_.find(key); entry != nullptr) {
    result.session = row_of_session(entry->session, now);
    embed(prefixes_[entry->prefix], header.data() + ipv4::source, source.octets.data());
    result.source.address = IpAddress{source};
    return;
  }
  if (is_untranslated(key.remote)) {
    result.reason = DropReason::untranslated;
    return;
  }
  if (is_draining(binding)) {
    result.reason = DropReason::no_mapping;
    return;
  }
  if (!lets_in(number, key.remote, key.remote_port)) {
    result.filter = TraceResult::Filter::refused;
    result.reason = DropReason::filtered;
    return;
  }
  const bool has_filter = binding.is_explicit ? bindings_.set(bindings_.head_of(number)).filters != 0
                                              : is_address_dependent(binding.internal.base);
  result.filter = has_filter ? TraceResult::Filter::passed : TraceResult::Filter::none;
  if (protocol == protocol::tcp && tcp_event(query.tcp_flags) != TcpEvent::syn) return;
  const DropReason room = room_for_session(now, number, binding.subscriber, Direction::from_ipv4, ahead);
  result.makes_session = room == DropReason::none;
  if (!binding.is_explicit) result.reason = room;
}

}  // namespace portolan::nat
