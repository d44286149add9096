// SPDX-License-Identifier: BSD-2-Clause
//
// What messages consist of, to Protobuf and back; writing and reading of one kind of value stand side by
// side. For codec.cpp alone: nothing else knows Protobuf.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/bytes.h"
#include "base/check.h"
#include "control/messages.h"
#include "control/nat_control.pb.h"

namespace portolan::control::detail {

/// What is wrong with a message, if anything is: the first thing found.
class Faults {
 public:
  void add(std::string_view field, std::string_view problem) {
    if (text_.empty()) text_ = fmt::format("{}: {}", field, problem);
  }
  [[nodiscard]] auto any() const -> bool { return !text_.empty(); }
  [[nodiscard]] auto text() const -> const std::string& { return text_; }

 private:
  std::string text_;
};

/// A number that must not be more than `Number` holds.
template <std::unsigned_integral Number>
inline auto narrow(std::uint64_t value, std::string_view field, Faults& faults) -> Number {
  if (value > std::numeric_limits<Number>::max()) {
    faults.add(field, fmt::format("{} is more than {}", value, std::numeric_limits<Number>::max()));
    return 0;
  }
  return static_cast<Number>(value);
}

inline auto read_port(std::uint32_t value, Faults& faults) -> Port {
  return Port{narrow<std::uint16_t>(value, "port", faults)};
}

inline auto read_protocol(std::uint32_t value, Faults& faults) -> Protocol {
  return static_cast<Protocol>(narrow<std::uint8_t>(value, "protocol", faults));
}

inline auto read_port_count(std::uint32_t value, Faults& faults) -> std::uint16_t {
  if (value == 0) faults.add("port_count", "is 0");
  return narrow<std::uint16_t>(value, "port_count", faults);
}

inline auto seconds_of(Seconds seconds) -> std::uint64_t {
  return static_cast<std::uint64_t>(std::clamp(seconds, Seconds{0}, lifetime_max).count());
}

inline auto read_seconds(std::uint64_t value, Faults& faults) -> Seconds {
  return Seconds{narrow<std::uint32_t>(value, "seconds", faults)};
}

inline auto read_lifetime(std::uint64_t value, Faults& faults) -> Seconds {
  if (value == 0) faults.add("lifetime_seconds", "is 0");
  return read_seconds(value, faults);
}

inline auto read_text(const std::string& text, std::string_view field, Faults& faults) -> std::string {
  if (text.size() <= text_octets_max) return text;
  faults.add(field, fmt::format("has {} octets, more than {}", text.size(), text_octets_max));
  return {};
}

inline void write_text(const std::string& text, std::string& out) {
  PORTOLAN_CHECK(text.size() <= text_octets_max);
  out = text;
}

/// Reads a list; `read` makes an element.
template <typename Value>
inline auto read_list(const auto& list, std::size_t maximum, std::string_view field, Faults& faults,
                      auto read) -> std::vector<Value> {
  std::vector<Value> values;
  if (std::cmp_greater(list.size(), maximum)) {
    faults.add(field, fmt::format("has {} elements, more than {}", list.size(), maximum));
    return values;
  }
  values.reserve(static_cast<std::size_t>(list.size()));
  for (const auto& element : list) {
    values.push_back(read(element, faults));
    if (faults.any()) break;
  }
  return values;
}

/// Writes one; `write` writes an element.
void write_list(const auto& values, std::size_t maximum, auto* list, auto write) {
  PORTOLAN_CHECK(values.size() <= maximum);
  list->Reserve(static_cast<int>(values.size()));
  for (const auto& value : values) write(value, *list->Add());
}

// Addresses and keys.

inline void write_address(const IpAddress& address, v1::Address& out) {
  ByteReader reader(std::as_bytes(std::span(address.bits().octets)));
  out.set_high(reader.read<std::uint64_t>());
  out.set_low(reader.read<std::uint64_t>());
}

inline auto read_address(const v1::Address& in) -> IpAddress {
  Ipv6Address address;
  ByteWriter writer(std::as_writable_bytes(std::span(address.octets)));
  writer.write(std::uint64_t{in.high()});
  writer.write(std::uint64_t{in.low()});
  return IpAddress{address};
}

inline void write_endpoint(const IpAddress& address, Port port, v1::Endpoint& out) {
  write_address(address, *out.mutable_address());
  out.set_port(port.value);
}
inline void write_endpoint(const Endpoint& endpoint, v1::Endpoint& out) {
  write_endpoint(endpoint.address, endpoint.port, out);
}

inline auto read_endpoint(const v1::Endpoint& in, Faults& faults) -> Endpoint {
  return {read_address(in.address()), read_port(in.port(), faults)};
}

inline void write_prefix(const Prefix& prefix, v1::Prefix& out) {
  write_address(prefix.address(), *out.mutable_address());
  out.set_length(prefix.length());
}

inline auto read_prefix(const v1::Prefix& in, Faults& faults) -> Prefix {
  if (in.length() > 128) {
    faults.add("prefix.length", fmt::format("{} is more than 128", in.length()));
    return {};
  }
  return Prefix{read_address(in.address()), in.length()};
}

/// All ports is what an absent range means; `make` makes one.
void write_range(const PortRange& range, auto make) {
  if (range == PortRange{}) return;
  v1::PortRange& made = *make();
  made.set_first(range.first.value);
  made.set_last(range.last.value);
}

inline auto read_range(bool is_there, const v1::PortRange& in, Faults& faults) -> PortRange {
  if (!is_there) return {};
  const PortRange range{.first = read_port(in.first(), faults), .last = read_port(in.last(), faults)};
  if (range.first > range.last) faults.add("port range", "first is above last");
  return range;
}

inline void write_key(const MappingKey& key, v1::MappingKey& out) {
  out.set_realm(key.realm.value);
  write_address(key.internal_address, *out.mutable_internal_address());
  out.set_protocol(std::to_underlying(key.protocol));
  out.set_internal_port(key.internal_port.value);
  out.set_external_family(key.external_family == Family::ipv6 ? v1::IPV6 : v1::IPV4);
}

inline auto read_key(const v1::MappingKey& in, Faults& faults) -> MappingKey {
  if (!v1::Family_IsValid(in.external_family())) faults.add("external_family", "is unknown");
  return {.realm = Realm{narrow<std::uint16_t>(in.realm(), "realm", faults)},
          .internal_address = read_address(in.internal_address()),
          .protocol = read_protocol(in.protocol(), faults),
          .external_family = in.external_family() == v1::IPV6 ? Family::ipv6 : Family::ipv4,
          .internal_port = read_port(in.internal_port(), faults)};
}

inline void write_filter(const RemoteFilter& filter, v1::Filter& out) {
  write_prefix(filter.remote_peers, *out.mutable_remote_peers());
  out.set_remote_port(filter.remote_port.value);
}

inline auto read_filter(const v1::Filter& in, Faults& faults) -> RemoteFilter {
  return {.remote_peers = read_prefix(in.remote_peers(), faults),
          .remote_port = read_port(in.remote_port(), faults)};
}

// Operations and results.

inline void write(const device::Install& install, v1::Operation& operation) {
  v1::Install& out = *operation.mutable_install();
  write_key(install.key, *out.mutable_key());
  write_endpoint(install.external_address, install.external_port, *out.mutable_external());
  out.set_is_exact(install.match == device::Match::exact);
  out.set_lifetime_seconds(seconds_of(install.lifetime));
  write_list(install.filters, filters_max, out.mutable_filters(), write_filter);
  out.set_port_count(install.port_count);
  out.set_preserve_parity(install.preserve_parity);
  write_range(install.external_ports, [&] { return out.mutable_external_ports(); });
  out.set_reserves_companion(install.reserves_companion);
  out.set_is_restoration(install.is_restoration);
  out.set_is_bound_to_address(install.is_bound_to_address);
  write_address(install.given_address, *out.mutable_given_address());
}

inline auto read(const v1::Install& in, Faults& faults) -> device::Install {
  const Endpoint external = read_endpoint(in.external(), faults);
  return {.key = read_key(in.key(), faults),
          .external_address = external.address,
          .external_port = external.port,
          .match = in.is_exact() ? device::Match::exact : device::Match::suggested,
          .lifetime = read_lifetime(in.lifetime_seconds(), faults),
          .filters = read_list<RemoteFilter>(in.filters(), filters_max, "filters", faults, read_filter),
          .port_count = read_port_count(in.port_count(), faults),
          .preserve_parity = in.preserve_parity(),
          .external_ports = read_range(in.has_external_ports(), in.external_ports(), faults),
          .reserves_companion = in.reserves_companion(),
          .is_restoration = in.is_restoration(),
          .is_bound_to_address = in.is_bound_to_address(),
          .given_address = read_address(in.given_address())};
}

inline void write(const device::Remove& remove, v1::Operation& operation) {
  v1::Remove& out = *operation.mutable_remove();
  write_key(remove.key, *out.mutable_key());
  out.set_port_count(remove.port_count);
}

inline auto read(const v1::Remove& in, Faults& faults) -> device::Remove {
  return {.key = read_key(in.key(), faults), .port_count = read_port_count(in.port_count(), faults)};
}

inline void write(const device::InstallPeer& peer, v1::Operation& operation) {
  v1::InstallPeer& out = *operation.mutable_install_peer();
  write_key(peer.key, *out.mutable_key());
  write_endpoint(peer.remote_peer, *out.mutable_remote_peer());
  write_endpoint(peer.external_address, peer.external_port, *out.mutable_external());
  out.set_lifetime_seconds(seconds_of(peer.lifetime));
  write_range(peer.external_ports, [&] { return out.mutable_external_ports(); });
  write_address(peer.given_address, *out.mutable_given_address());
}

inline auto read(const v1::InstallPeer& in, Faults& faults) -> device::InstallPeer {
  const Endpoint external = read_endpoint(in.external(), faults);
  return {.key = read_key(in.key(), faults),
          .remote_peer = read_endpoint(in.remote_peer(), faults),
          .external_address = external.address,
          .external_port = external.port,
          .lifetime = read_lifetime(in.lifetime_seconds(), faults),
          .external_ports = read_range(in.has_external_ports(), in.external_ports(), faults),
          .given_address = read_address(in.given_address())};
}

inline void write(const device::ReleasePeer& peer, v1::Operation& operation) {
  v1::ReleasePeer& out = *operation.mutable_release_peer();
  write_key(peer.key, *out.mutable_key());
  write_endpoint(peer.remote_peer, *out.mutable_remote_peer());
}

inline auto read(const v1::ReleasePeer& in, Faults& faults) -> device::ReleasePeer {
  return {.key = read_key(in.key(), faults), .remote_peer = read_endpoint(in.remote_peer(), faults)};
}

inline void write_profile(const device::PutProfile& put, v1::PutProfile& out) {
  out.set_realm(put.realm.value);
  write_prefix(put.internal_prefix, *out.mutable_internal_prefix());
  out.set_subscriber_prefix_length(put.subscriber_prefix_length);
  write_address(put.external_address, *out.mutable_external_address());
  write_range(put.external_ports, [&] { return out.mutable_external_ports(); });
  out.set_port_block_size(put.port_block_size);
  out.set_ports_max(put.ports_max);
  out.set_sessions_max(put.sessions_max);
  out.set_sessions_per_second_max(put.sessions_per_second_max);
}

inline auto read_profile(const v1::PutProfile& in, Faults& faults) -> device::PutProfile {
  return {.realm = Realm{narrow<std::uint16_t>(in.realm(), "realm", faults)},
          .internal_prefix = read_prefix(in.internal_prefix(), faults),
          .subscriber_prefix_length =
              narrow<std::uint8_t>(in.subscriber_prefix_length(), "subscriber_prefix_length", faults),
          .external_address = read_address(in.external_address()),
          .external_ports = read_range(in.has_external_ports(), in.external_ports(), faults),
          .port_block_size = narrow<std::uint16_t>(in.port_block_size(), "port_block_size", faults),
          .ports_max = in.ports_max(),
          .sessions_max = in.sessions_max(),
          .sessions_per_second_max = in.sessions_per_second_max()};
}

inline void write(const device::PutProfile& put, v1::Operation& operation) {
  write_profile(put, *operation.mutable_put_profile());
}

inline auto read(const v1::PutProfile& in, Faults& faults) -> device::PutProfile {
  return read_profile(in, faults);
}

inline void write(const device::DropProfile& drop, v1::Operation& operation) {
  v1::DropProfile& out = *operation.mutable_drop_profile();
  out.set_realm(drop.realm.value);
  write_prefix(drop.internal_prefix, *out.mutable_internal_prefix());
}

inline auto read(const v1::DropProfile& in, Faults& faults) -> device::DropProfile {
  return {.realm = Realm{narrow<std::uint16_t>(in.realm(), "realm", faults)},
          .internal_prefix = read_prefix(in.internal_prefix(), faults)};
}

inline void write_operation(const device::Operation& operation, v1::Operation& out) {
  std::visit([&](const auto& each) { write(each, out); }, operation);
}

inline auto read_operation(const v1::Operation& in, Faults& faults) -> device::Operation {
  switch (in.operation_case()) {
    case v1::Operation::kInstall: return read(in.install(), faults);
    case v1::Operation::kRemove: return read(in.remove(), faults);
    case v1::Operation::kInstallPeer: return read(in.install_peer(), faults);
    case v1::Operation::kReleasePeer: return read(in.release_peer(), faults);
    case v1::Operation::kPutProfile: return read(in.put_profile(), faults);
    case v1::Operation::kDropProfile: return read(in.drop_profile(), faults);
    case v1::Operation::OPERATION_NOT_SET: break;
  }
  faults.add("operation", "is none known here");
  return {};
}

constexpr std::array refusals{
    std::pair{device::Refusal::cannot_provide_external, v1::CANNOT_PROVIDE_EXTERNAL},
    std::pair{device::Refusal::no_resources, v1::NO_RESOURCES},
    std::pair{device::Refusal::unsupported_protocol, v1::UNSUPPORTED_PROTOCOL},
    std::pair{device::Refusal::not_inside, v1::NOT_INSIDE},
    std::pair{device::Refusal::network_failure, v1::NETWORK_FAILURE},
    std::pair{device::Refusal::excessive_filters, v1::EXCESSIVE_FILTERS},
    std::pair{device::Refusal::outbound_mapping, v1::OUTBOUND_MAPPING},
    std::pair{device::Refusal::remote_peer_invalid, v1::REMOTE_PEER_INVALID},
    std::pair{device::Refusal::profile_unsupported, v1::PROFILE_UNSUPPORTED},
};

constexpr std::array error_codes{
    std::pair{ErrorCode::malformed, v1::MALFORMED},
    std::pair{ErrorCode::unsupported_version, v1::UNSUPPORTED_VERSION},
    std::pair{ErrorCode::owned, v1::OWNED},
    std::pair{ErrorCode::not_owner, v1::NOT_OWNER},
    std::pair{ErrorCode::busy, v1::BUSY},
    std::pair{ErrorCode::shutting_down, v1::SHUTTING_DOWN},
};

constexpr std::array tcp_states{
    std::pair{nat::TcpState::v4_init, v1::V4_INIT},
    std::pair{nat::TcpState::v6_init, v1::V6_INIT},
    std::pair{nat::TcpState::established, v1::ESTABLISHED},
    std::pair{nat::TcpState::v4_fin, v1::V4_FIN},
    std::pair{nat::TcpState::v6_fin, v1::V6_FIN},
    std::pair{nat::TcpState::v4_and_v6_fin, v1::V4_AND_V6_FIN},
    std::pair{nat::TcpState::trans, v1::TRANS},
};

auto write_number(const auto& table, auto value) {
  const auto found = std::ranges::find(table, value, [](const auto& entry) { return entry.first; });
  PORTOLAN_CHECK(found != table.end());
  return found->second;
}

auto read_number(const auto& table, auto number, std::string_view field, Faults& faults) {
  const auto found = std::ranges::find(table, number, [](const auto& entry) { return entry.second; });
  if (found != table.end()) return found->first;
  faults.add(field, fmt::format("{} is unknown", static_cast<int>(number)));
  return table.front().first;
}

inline void write_result(const device::Result& result, v1::Result& out) {
  if (!result) return out.set_refusal(write_number(refusals, result.error()));
  v1::Applied& applied = *out.mutable_applied();
  write_endpoint(result->external_address, result->external_port, *applied.mutable_external());
  applied.set_lifetime_seconds(seconds_of(result->lifetime));
  applied.set_port_count(result->port_count);
}

inline auto read_result(const v1::Result& in, Faults& faults) -> device::Result {
  if (in.has_refusal()) return std::unexpected(read_number(refusals, in.refusal(), "refusal", faults));
  if (!in.has_applied()) faults.add("result", "is none known here");
  const Endpoint external = read_endpoint(in.applied().external(), faults);
  return device::Applied{.external_address = external.address,
                         .external_port = external.port,
                         .lifetime = read_seconds(in.applied().lifetime_seconds(), faults),
                         .port_count = read_port_count(in.applied().port_count(), faults)};
}

inline void write_event(const device::Event& event, v1::Event& out) {
  if (const auto* const moved = std::get_if<device::Moved>(&event)) {
    write_key(moved->key, *out.mutable_moved()->mutable_key());
    out.mutable_moved()->set_port_count(moved->port_count);
    write_endpoint(moved->external_address, moved->external_port, *out.mutable_moved()->mutable_external());
  } else if (const auto* const lost = std::get_if<device::Lost>(&event)) {
    write_key(lost->key, *out.mutable_lost()->mutable_key());
  } else {
    const auto& peer = std::get<device::LostPeer>(event);
    write_key(peer.key, *out.mutable_lost_peer()->mutable_key());
    write_endpoint(peer.remote_peer, *out.mutable_lost_peer()->mutable_remote_peer());
  }
}

inline auto read_event(const v1::Event& in, Faults& faults) -> device::Event {
  switch (in.event_case()) {
    case v1::Event::kMoved: {
      const Endpoint external = read_endpoint(in.moved().external(), faults);
      return device::Moved{.key = read_key(in.moved().key(), faults),
                           .port_count = read_port_count(in.moved().port_count(), faults),
                           .external_address = external.address,
                           .external_port = external.port};
    }
    case v1::Event::kLost: return device::Lost{read_key(in.lost().key(), faults)};
    case v1::Event::kLostPeer:
      return device::LostPeer{.key = read_key(in.lost_peer().key(), faults),
                              .remote_peer = read_endpoint(in.lost_peer().remote_peer(), faults)};
    case v1::Event::EVENT_NOT_SET: break;
  }
  faults.add("event", "is none known here");
  return {};
}

// Inventory.

inline void write_mapping(const device::MappingRecord& record, v1::MappingRecord& out) {
  write_key(record.key, *out.mutable_key());
  write_endpoint(record.external_address, record.external_port, *out.mutable_external());
  out.set_port_count(record.port_count);
  out.set_remaining_seconds(seconds_of(record.remaining));
  write_list(record.filters, filters_max, out.mutable_filters(), write_filter);
  write_range(record.external_ports, [&] { return out.mutable_external_ports(); });
  out.set_is_bound_to_address(record.is_bound_to_address);
  out.set_preserve_parity(record.preserve_parity);
}

inline auto read_mapping(const v1::MappingRecord& in, Faults& faults) -> device::MappingRecord {
  const Endpoint external = read_endpoint(in.external(), faults);
  return {.key = read_key(in.key(), faults),
          .external_address = external.address,
          .external_port = external.port,
          .port_count = read_port_count(in.port_count(), faults),
          .remaining = read_seconds(in.remaining_seconds(), faults),
          .filters = read_list<RemoteFilter>(in.filters(), filters_max, "filters", faults, read_filter),
          .external_ports = read_range(in.has_external_ports(), in.external_ports(), faults),
          .is_bound_to_address = in.is_bound_to_address(),
          .preserve_parity = in.preserve_parity()};
}

inline void write_peer(const device::PeerRecord& record, v1::PeerRecord& out) {
  write_key(record.key, *out.mutable_key());
  write_endpoint(record.remote_peer, *out.mutable_remote_peer());
  write_endpoint(record.external_address, record.external_port, *out.mutable_external());
  out.set_remaining_seconds(seconds_of(record.remaining));
}

inline auto read_peer(const v1::PeerRecord& in, Faults& faults) -> device::PeerRecord {
  const Endpoint external = read_endpoint(in.external(), faults);
  return {.key = read_key(in.key(), faults),
          .remote_peer = read_endpoint(in.remote_peer(), faults),
          .external_address = external.address,
          .external_port = external.port,
          .remaining = read_seconds(in.remaining_seconds(), faults)};
}

inline void write_pool_range(const nat::PoolRange& range, v1::PoolRange& out) {
  out.set_first(range.first.value);
  out.set_last(range.last.value);
  write_range(range.ports, [&] { return out.mutable_ports(); });
  out.set_weight(range.weight);
}

inline auto read_pool_range(const v1::PoolRange& in, Faults& faults) -> nat::PoolRange {
  if (in.first() > in.last()) faults.add("pool range", "first is above last");
  if (in.weight() < 1 || in.weight() > nat::pool_weight_max)
    faults.add("pool range", fmt::format("weight {} is not from 1 to {}", in.weight(), nat::pool_weight_max));
  nat::PoolRange range(Ipv4Address{in.first()}, Ipv4Address{in.last()});
  range.ports = read_range(in.has_ports(), in.ports(), faults);
  range.weight = in.weight();
  return range;
}

// Rows.

inline void write_row(const nat::PoolRow& row, v1::Pool& out) {
  out.mutable_address()->set_address(row.address.value);
  write_range(row.ports, [&] { return out.mutable_address()->mutable_ports(); });
  out.set_udp_bindings(row.bindings[0]);
  out.set_tcp_bindings(row.bindings[1]);
  out.set_icmp_bindings(row.bindings[2]);
  out.set_udp_hold_downs(row.hold_downs[0]);
  out.set_tcp_hold_downs(row.hold_downs[1]);
  out.set_icmp_hold_downs(row.hold_downs[2]);
}

inline auto read_row(const v1::Pool& in, Faults& faults) -> nat::PoolRow {
  return {.address = Ipv4Address{in.address().address()},
          .ports = read_range(in.address().has_ports(), in.address().ports(), faults),
          .bindings = {in.udp_bindings(), in.tcp_bindings(), in.icmp_bindings()},
          .hold_downs = {in.udp_hold_downs(), in.tcp_hold_downs(), in.icmp_hold_downs()}};
}

inline void write_row(const nat::HostRow& row, v1::User& out) {
  write_address(row.address, *out.mutable_address());
  out.set_external_address(row.external_address.value);
  out.set_bindings(row.bindings);
  out.set_sessions(row.sessions);
}

inline auto read_row(const v1::User& in, Faults& /*faults*/) -> nat::HostRow {
  return {.address = read_address(in.address()),
          .external_address = Ipv4Address{in.external_address()},
          .bindings = in.bindings(),
          .sessions = in.sessions()};
}

inline void write_row(const nat::BindingRow& row, v1::Binding& out) {
  out.set_protocol(std::to_underlying(row.protocol));
  write_endpoint(row.internal, *out.mutable_internal());
  write_endpoint(row.external, *out.mutable_external());
  out.set_is_explicit(row.is_explicit);
  out.set_port_count(row.port_count);
  out.set_remaining_seconds(seconds_of(row.remaining));
  out.set_sessions(row.sessions);
  out.set_filters(row.filters);
}

inline auto read_row(const v1::Binding& in, Faults& faults) -> nat::BindingRow {
  return {.protocol = read_protocol(in.protocol(), faults),
          .internal = read_endpoint(in.internal(), faults),
          .external = read_endpoint(in.external(), faults),
          .is_explicit = in.is_explicit(),
          .port_count = read_port_count(in.port_count(), faults),
          .remaining = read_seconds(in.remaining_seconds(), faults),
          .sessions = in.sessions(),
          .filters = narrow<std::uint16_t>(in.filters(), "filters", faults)};
}

inline void write_row(const nat::ProfileRow& row, v1::Profile& out) {
  v1::PutProfile& profile = *out.mutable_profile();
  write_prefix(row.internal, *profile.mutable_internal_prefix());
  profile.set_subscriber_prefix_length(row.asked.subscriber_prefix_length);
  if (row.asked.external_address != Ipv4Address{})
    write_address(IpAddress{row.asked.external_address}, *profile.mutable_external_address());
  write_range(row.asked.external_ports, [&] { return profile.mutable_external_ports(); });
  profile.set_port_block_size(row.asked.port_block_size);
  profile.set_ports_max(row.asked.ports_max);
  profile.set_sessions_max(row.asked.sessions_max);
  profile.set_sessions_per_second_max(row.asked.sessions_per_second_max);
  out.set_subscribers(row.subscribers);
}

inline auto read_row(const v1::Profile& in, Faults& faults) -> nat::ProfileRow {
  const device::PutProfile profile = read_profile(in.profile(), faults);
  const bool is_any = profile.external_address.is_unspecified();
  if (!is_any && !profile.external_address.is_ipv4()) faults.add("external_address", "is no IPv4 address");
  return {
      .internal = profile.internal_prefix,
      .asked = {.subscriber_prefix_length = profile.subscriber_prefix_length,
                .external_address = is_any || faults.any() ? Ipv4Address{} : profile.external_address.ipv4(),
                .port_block_size = profile.port_block_size,
                .external_ports = profile.external_ports,
                .ports_max = profile.ports_max,
                .sessions_max = profile.sessions_max,
                .sessions_per_second_max = profile.sessions_per_second_max},
      .subscribers = in.subscribers()};
}

inline void write_row(const nat::SessionRow& row, v1::Session& out) {
  out.set_protocol(std::to_underlying(row.protocol));
  write_endpoint(row.internal, *out.mutable_internal());
  write_endpoint(row.external, *out.mutable_external());
  write_endpoint(row.remote, *out.mutable_remote());
  out.set_state(row.state ? write_number(tcp_states, *row.state) : v1::NO_TCP);
  out.set_is_outbound(row.is_outbound);
  out.set_remaining_seconds(seconds_of(row.remaining));
  out.set_is_kept(row.is_kept);
}

inline auto read_row(const v1::Session& in, Faults& faults) -> nat::SessionRow {
  return {.protocol = read_protocol(in.protocol(), faults),
          .internal = read_endpoint(in.internal(), faults),
          .external = read_endpoint(in.external(), faults),
          .remote = read_endpoint(in.remote(), faults),
          .state = in.state() == v1::NO_TCP
                       ? std::nullopt
                       : std::optional(read_number(tcp_states, in.state(), "state", faults)),
          .is_outbound = in.is_outbound(),
          .remaining = read_seconds(in.remaining_seconds(), faults),
          .is_kept = in.is_kept()};
}

}  // namespace portolan::control::detail
