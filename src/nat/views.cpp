// SPDX-License-Identifier: BSD-2-Clause
//
// The engine's tables for those who look at them, in parts that cost a packet next to nothing.
#include <algorithm>

#include "nat/nat64.h"

namespace portolan::nat {
namespace {

auto ipv4_of(std::uint32_t raw) -> IpAddress {
  std::uint8_t octets[4];
  store_raw32(octets, raw);
  return IpAddress{Ipv4Address{load32(octets)}};
}

template <typename Value>
auto wants(const std::optional<Value>& wanted, const Value& value) -> bool {
  return !wanted || *wanted == value;
}

auto wants_endpoints(const RowFilter& filter, const auto& row) -> bool {
  return wants(filter.protocol, row.protocol) && filter.internal.contains(row.internal.address) &&
         wants(filter.internal_port, row.internal.port) &&
         wants(filter.external_address, row.external.address.ipv4()) &&
         wants(filter.external_port, row.external.port);
}

auto wants_row(const RowFilter& filter, const BindingRow& row) -> bool {
  return wants_endpoints(filter, row) && (row.is_explicit || !filter.only_explicit);
}

auto wants_row(const RowFilter& filter, const SessionRow& row) -> bool {
  return wants_endpoints(filter, row) && wants(filter.remote_address, row.remote.address.ipv4()) &&
         wants(filter.remote_port, row.remote.port);
}

/// Calls visit(number) for the next numbers from `from` on; returns where to go on, 0 at the end.
auto walk(std::uint32_t from, std::uint32_t end, auto visit) -> std::uint32_t {
  const std::uint32_t first = std::max(from, 1U);
  if (first >= end) return 0;
  const std::uint32_t last = std::min(end, first + Nat64::places_per_view);
  for (std::uint32_t number = first; number < last; ++number) visit(number);
  return last == end ? 0 : last;
}

auto left(TimePoint until, TimePoint now) -> Seconds {
  return std::max(std::chrono::ceil<Seconds>(until - now), Seconds{0});
}

}  // namespace

auto Nat64::row_of_binding(std::uint32_t number, TimePoint now) const -> BindingRow {
  const Binding& binding = bindings_[number];
  BindingRow row{
      .protocol = pcp_protocol(binding.internal.base),
      .internal = {IpAddress{binding.internal.address}, Port{binding.internal.port}},
      .external = {IpAddress{bindings_.pool_address(binding.pool_index)}, Port{binding.external_port}},
      .is_explicit = binding.is_explicit,
      .port_count = 1,
      .remaining = {},
      .sessions = binding.sessions,
      .filters = 0};
  if (!binding.is_explicit) return row;
  const std::uint32_t head = bindings_.head_of(number);
  const ExplicitSet& set = bindings_.set(head);
  if (head == number) row.port_count = set.port_count;
  row.remaining = left(TimePoint{Nanoseconds{set.until}}, now);
  row.filters = static_cast<std::uint16_t>(filters_.length(set.filters));
  return row;
}

auto Nat64::row_of_session(std::uint32_t number, TimePoint now) -> SessionRow {
  const Session& record = sessions_[number];
  const SessionEntry& entry = sessions_.entry(number, Direction::from_ipv4);
  const Binding& binding = bindings_[record.binding];
  return {.protocol = pcp_protocol(binding.internal.base),
          .internal = {IpAddress{binding.internal.address}, Port{binding.internal.port}},
          .external = {ipv4_of(entry.external), Port{binding.external_port}},
          .remote = {ipv4_of(entry.remote), Port{from_raw16(entry.remote_port)}},
          .state = record.is_tcp ? std::optional(record.state) : std::nullopt,
          .is_outbound = record.is_outbound,
          .remaining = left(sessions_.deadline(record, now, false), now),
          .is_kept = TimePoint{Seconds{record.kept_until}} > now};
}

auto Nat64::view(TimePoint now, const RowFilter& filter, std::uint32_t from, std::vector<BindingRow>& rows)
    -> std::uint32_t {
  return walk(from, bindings_.end(), [&](std::uint32_t number) {
    if (!bindings_.is_used(number)) return;
    if (const BindingRow row = row_of_binding(number, now); wants_row(filter, row)) rows.push_back(row);
  });
}

auto Nat64::view(TimePoint now, const RowFilter& filter, std::uint32_t from, std::vector<SessionRow>& rows)
    -> std::uint32_t {
  return walk(from, sessions_.end(), [&](std::uint32_t number) {
    if (!sessions_.is_used(number)) return;
    if (const SessionRow row = row_of_session(number, now); wants_row(filter, row)) rows.push_back(row);
  });
}

auto Nat64::view(TimePoint /*now*/, const RowFilter& filter, std::uint32_t from, std::vector<HostRow>& rows)
    -> std::uint32_t {
  return walk(from, bindings_.subscribers().end(), [&](std::uint32_t number) {
    const Subscriber& subscriber = bindings_.subscribers()[number];
    if (subscriber.bindings == 0) return;
    const HostRow row{.address = IpAddress{subscriber.address},
                      .external_address = bindings_.pool_address(subscriber.pool_index),
                      .bindings = subscriber.bindings,
                      .sessions = subscriber.sessions};
    const bool is_of = filter.internal.contains(row.address) ||
                       Prefix(row.address, subscriber.length).contains(filter.internal.address());
    if (is_of && wants(filter.external_address, row.external_address)) rows.push_back(row);
  });
}

auto Nat64::view(TimePoint /*now*/, const RowFilter& filter, std::uint32_t from, std::vector<PoolRow>& rows)
    -> std::uint32_t {
  const Pool& pool = bindings_.pool();
  if (from >= pool.size()) return 0;
  const std::uint16_t index = pool.at(from);
  PoolRow row{.address = pool.address(index), .ports = {}};
  if (wants(filter.external_address, row.address)) {
    for (const Base base : {Base::udp, Base::tcp, Base::icmp}) {
      const auto [bound, held] = bindings_.use_of(base, index);
      row.bindings[static_cast<std::size_t>(base)] = bound;
      row.hold_downs[static_cast<std::size_t>(base)] = held;
    }
    rows.push_back(row);
  }
  return from + 1 == pool.size() ? 0 : from + 1;
}

auto Nat64::view(TimePoint /*now*/, const RowFilter& filter, std::uint32_t from,
                 std::vector<ProfileRow>& rows) const -> std::uint32_t {
  const Profiles& profiles = bindings_.subscribers().profiles();
  return walk(from, profiles.end(), [&](std::uint32_t number) {
    if (!profiles.is_used(number)) return;
    const Profile& profile = profiles[number];
    const Prefix internal(IpAddress{profile.address}, profile.length);
    if (filter.internal.contains(internal.address()) || internal.contains(filter.internal.address()))
      rows.push_back({.internal = internal, .asked = profile.asked, .subscribers = profile.subscribers});
  });
}

auto Nat64::view(TimePoint now, std::uint32_t from, std::vector<MappingRow>& rows) -> std::uint32_t {
  return walk(from, bindings_.end(), [&](std::uint32_t number) {
    if (!bindings_.is_used(number)) return;
    const Binding& binding = bindings_[number];
    if (!binding.is_explicit || bindings_.head_of(number) != number) return;
    const ExplicitSet& set = bindings_.set(number);
    MappingRow row{
        .key = key_of(binding.internal),
        .external = {IpAddress{bindings_.pool_address(binding.pool_index)}, Port{binding.external_port}},
        .port_count = set.port_count,
        .remaining = left(TimePoint{Nanoseconds{set.until}}, now),
        .filters = {},
        .external_ports = set.ports,
        .is_bound_to_address = set.is_bound,
        .preserve_parity = set.keeps_parity};
    filters_.for_each(set.filters, [&](const PeerFilter& filter) {
      row.filters.push_back(to_remote_filter(filter, prefixes_[0]));
    });
    rows.push_back(std::move(row));
  });
}

auto Nat64::view(TimePoint now, std::uint32_t from, std::vector<PeerRow>& rows) -> std::uint32_t {
  return walk(from, sessions_.end(), [&](std::uint32_t number) {
    if (!sessions_.is_used(number)) return;
    const TimePoint kept_until{Seconds{sessions_[number].kept_until}};
    if (kept_until <= now) return;
    const Binding& binding = bindings_[sessions_[number].binding];
    rows.push_back(
        {.key = key_of(binding.internal),
         .remote_peer = remote_peer_of(number),
         .external = {IpAddress{bindings_.pool_address(binding.pool_index)}, Port{binding.external_port}},
         .remaining = left(kept_until, now)});
  });
}

}  // namespace portolan::nat
