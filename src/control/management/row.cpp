// SPDX-License-Identifier: BSD-2-Clause
#include "control/management/row.h"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "wire/protocol.h"

namespace portolan::management {
namespace {

auto text_of(PortRange range) -> std::string {
  return fmt::format("{}-{}", range.first.value, range.last.value);
}

auto text_of(Format format) -> std::string {
  switch (format) {
    case Format::nat_pmp: return "nat-pmp";
    case Format::pcp_1: return "pcp-1";
    case Format::pcp_2: break;
  }
  return "pcp-2";
}

void append(Row& row, std::string_view name, auto&& value) {
  using Value = std::remove_cvref_t<decltype(value)>;
  if constexpr (std::is_same_v<Value, bool> || std::is_same_v<Value, std::string> ||
                std::is_same_v<Value, std::vector<std::string>>)
    row.emplace_back(name, std::forward<decltype(value)>(value));
  else if constexpr (std::is_integral_v<Value>)
    row.emplace_back(name, static_cast<std::uint64_t>(value));
  else
    row.emplace_back(name, std::string(to_string(value)));
}

/// 0 stands for what everybody has.
void append_unless_zero(Row& row, std::string_view name, std::uint64_t value) {
  if (value != 0) append(row, name, value);
}

void append_contract(Row& row, const Contract& contract, std::optional<Seconds> remaining) {
  const MappingKey& key = contract.key.mapping;
  // Static mappings are nobody's.
  if (contract.subscriber.length() != 0) append(row, "subscriber", contract.subscriber);
  append(row, "transport-protocol", key.protocol);
  append(row, "internal-src-address", key.internal_address);
  append(row, "internal-src-port", key.internal_port.value);
  append(row, "external-src-address", contract.external_address);
  append(row, "external-src-port", contract.external_port.value);
  append(row, "port-count", contract.port_count);
  if (remaining) append(row, "lifetime", remaining->count());
  if (contract.details) {
    if (contract.details->description) append(row, "description", *contract.details->description);
    if (contract.details->third_party_client)
      append(row, "third-party-address", *contract.details->third_party_client);
  }
  append(row, "type", std::string(contract.is_static ? "static" : "dynamic-explicit"));
  if (contract.key.is_peer()) {
    append(row, "internal-dst-address", contract.key.remote_peer.address);
    append(row, "internal-dst-port", contract.key.remote_peer.port.value);
  }
  append(row, "realm", key.realm.value);
  if (!contract.is_static) append(row, "format", text_of(contract.format));
  append(row, "prefer-failure", static_cast<bool>(contract.prefer_failure));
  std::vector<std::string> filters;
  for (const RemoteFilter& filter : contract.filters())
    filters.push_back(fmt::format("{} {}", filter.remote_peers, filter.remote_port.value));
  append(row, "filters", std::move(filters));
}

}  // namespace

auto to_json(const Row& row) -> std::string {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const auto& [name, cell] : row)
    std::visit([&, key = std::string(name)](const auto& value) { json[key] = value; }, cell);
  // Nothing but ASCII: terminals and readers of lines take some other characters for what they are not.
  return json.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

auto row_of(const server::UserView& user) -> Row {
  const server::Policy& policy = user.policy;
  const server::Allotment& allotment = user.allotment;
  Row row;
  append(row, "subscriber", user.prefix);
  append(row, "origin", user.origin);
  if (!user.external_address.is_unspecified()) append(row, "external-src-address", user.external_address);
  append(row, "port-range", text_of(policy.external_ports));
  append(row, "epoch", user.epoch_time_s);
  append(row, "mappings", user.mappings);
  append(row, "ports", user.ports);
  append(row, "mappings-per-user-max", policy.mappings_max);
  if (user.subscriber_prefix_length) append(row, "subscriber-prefix-length", *user.subscriber_prefix_length);
  append(row, "map", policy.map);
  append(row, "peer", policy.peer);
  append(row, "third-party", policy.third_party);
  append(row, "nonce", std::string(policy.nonce == server::NoncePolicy::strict ? "strict" : "relaxed"));
  std::vector<std::string> protocols;
  protocols.reserve(policy.protocols.size());
  for (const Protocol protocol : policy.protocols) protocols.push_back(to_string(protocol));
  append(row, "protocols", std::move(protocols));
  append(row, "internal-ports", text_of(policy.internal_ports));
  append(row, "filters-max", policy.filters_max);
  append(row, "port-set-max", policy.port_set_max);
  if (allotment.port_block_size == device::PutProfile::no_port_blocks)
    append(row, "port-block-size", 0);
  else
    append_unless_zero(row, "port-block-size", allotment.port_block_size);
  append_unless_zero(row, "ports-per-subscriber-max", allotment.ports_max);
  append_unless_zero(row, "sessions-per-subscriber-max", allotment.sessions_max);
  append_unless_zero(row, "new-sessions-per-second-max", allotment.sessions_per_second_max);
  append(row, "changing", user.is_changing);
  if (user.refusal) append(row, "refusal", *user.refusal);
  return row;
}

auto row_of(const server::MappingView& mapping) -> Row {
  Row row;
  append_contract(row, mapping.contract, mapping.remaining);
  append(row, "origin", mapping.origin);
  append(row, "in-force", mapping.is_in_force);
  if (mapping.refusal) append(row, "refusal", *mapping.refusal);
  return row;
}

auto row_of(const server::RuntimeSettings& settings) -> Row {
  Row row;
  append(row, "minimum-lifetime", settings.minimum_lifetime.count());
  append(row, "maximum-lifetime", settings.maximum_lifetime.count());
  append(row, "short-error-lifetime", settings.short_error_lifetime.count());
  append(row, "long-error-lifetime", settings.long_error_lifetime.count());
  append(row, "announcements", settings.announcements);
  append(row, "map", settings.map);
  append(row, "peer", settings.peer);
  append(row, "third-party", settings.third_party);
  append(row, "mappings-per-user-max", settings.mappings_per_user_max);
  append(row, "filters-max", settings.filters_max);
  append(row, "port-set-max", settings.port_set_max);
  return row;
}

auto row_of(const server::Gauges& gauges) -> Row {
  Row row;
  append(row, "read-only", gauges.is_read_only);
  append(row, "reconciling", gauges.is_reconciling);
  append(row, "users-configured", gauges.users_configured);
  append(row, "users-by-hand", gauges.users_by_hand);
  append(row, "subscribers", gauges.subscribers);
  append(row, "mappings", gauges.contracts);
  append(row, "ports", gauges.ports);
  append(row, "ports-max", gauges.ports_max);
  append(row, "batches", gauges.batches);
  append(row, "operations", gauges.operations);
  return row;
}

auto row_of(const server::Event& event, Nanoseconds since_epoch, TimePoint now) -> Row {
  Row row;
  append(row, "sequence", event.sequence);
  append(row, "time", time_text(since_epoch));
  append(row, "event", event.kind);
  if (event.user) append(row, "subscriber", *event.user);
  if (!event.contract) return row;
  using Kind = server::Event::Kind;
  const bool is_there = event.kind == Kind::mapping_created || event.kind == Kind::mapping_renewed ||
                        event.kind == Kind::mapping_moved;
  const bool expires = is_there && server::has_end(*event.contract, now);
  append_contract(row, *event.contract,
                  expires ? std::optional(server::remaining_life(*event.contract, now)) : std::nullopt);
  return row;
}

auto time_text(Nanoseconds since_epoch) -> std::string {
  namespace chrono = std::chrono;
  const auto milliseconds = chrono::floor<Milliseconds>(since_epoch);
  const auto day = chrono::floor<chrono::days>(chrono::sys_time<Milliseconds>(milliseconds));
  const chrono::year_month_day date(day);
  const chrono::hh_mm_ss<Milliseconds> clock(chrono::sys_time<Milliseconds>(milliseconds) - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count(),
                     clock.subseconds().count());
}

auto row_of(const Pool& pool) -> Row {
  // What is taken at an address that has left the pool is of no port there is.
  const std::uint64_t taken = std::min(pool.use.taken, pool.use.ports);
  return {{"device", pool.device},
          {"transport-protocol", to_string(pool.use.protocol)},
          {"ports-taken", taken},
          {"ports-free", pool.use.ports - taken}};
}

auto row_of(const Counter& counter) -> Row {
  return {{"group", std::string(counter.group)}, {"name", counter.name}, {"value", counter.value}};
}

auto counters_of(const server::Counters& counters) -> std::vector<Counter> {
  std::vector<Counter> rows{{"requests", "announce", counters.announce_requests},
                            {"requests", "map", counters.map_requests},
                            {"requests", "peer", counters.peer_requests},
                            {"requests", "nat-pmp", counters.nat_pmp_requests},
                            {"requests", "other", counters.other_requests}};
  for (std::size_t code = 0; code < counters.answers.size(); ++code)
    if (counters.answers[code] != 0)
      rows.push_back({"answers", std::string(wire::to_string(static_cast<wire::ResultCode>(code))),
                      counters.answers[code]});
  rows.insert(rows.end(), {{"dropped", "too-short", counters.dropped_too_short},
                           {"dropped", "response", counters.dropped_response},
                           {"dropped", "overload", counters.dropped_overload},
                           {"mappings", "expired", counters.expired},
                           {"mappings", "moved", counters.moved},
                           {"mappings", "lost", counters.lost},
                           {"unasked", "updates", counters.updates_sent},
                           {"unasked", "announcements", counters.announcements_sent},
                           {"store", "failed-commits", counters.failed_commits},
                           {"device", "refused-undos", counters.refused_undos},
                           {"device", "larger-sets-found", counters.larger_sets_found},
                           {"device", "reinstalled", counters.reinstalled},
                           {"device", "unowned-removed", counters.unowned_removed}});
  return rows;
}

}  // namespace portolan::management
