// SPDX-License-Identifier: BSD-2-Clause
#include "control/metrics/nat64_metrics.h"

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace portolan::control {
namespace {

/// By nat::Direction.
constexpr std::array<std::string_view, 2> direction_names{"from_ipv6", "from_ipv4"};
/// As in nat::PoolRow.
constexpr std::array<std::string_view, 3> protocol_names{"udp", "tcp", "icmp"};

void append_packets(const nat::Counters& nat, Exposition& out) {
  out.counter("portolan_nat64_packets_total", "Packets translated.");
  for (std::size_t direction = 0; direction < direction_names.size(); ++direction)
    for (std::size_t kind = 0; kind < nat::kind_count; ++kind)
      out.sample(nat.translated[direction][kind], {{"direction", direction_names[direction]},
                                                   {"kind", to_string(static_cast<nat::Kind>(kind))}});
  out.counter("portolan_nat64_octets_total", "Octets of packets translated.");
  for (std::size_t direction = 0; direction < direction_names.size(); ++direction)
    out.sample(nat.translated_octets[direction], {{"direction", direction_names[direction]}});
  out.counter("portolan_nat64_dropped_total", "Packets dropped.");
  for (std::size_t reason = 1; reason < nat::drop_reason_count; ++reason)
    out.sample(nat.dropped[reason], {{"reason", to_string(static_cast<nat::DropReason>(reason))}});
  out.counter("portolan_nat64_hairpinned_total", "Packets from inside to inside.", nat.hairpinned);
  out.counter("portolan_nat64_without_session_total",
              "Packets of explicit mappings that passed while session limits were reached.",
              nat.without_session);
  out.counter("portolan_nat64_fragmented_total", "Packets that left as several.", nat.fragmented);
  out.counter("portolan_nat64_reassembled_total", "Packets that came as several.", nat.reassembled);
  out.counter("portolan_nat64_left_to_host_total",
              "Packets to an address shared with the host that were given back to it.", nat.left_to_host);
  out.counter("portolan_nat64_errors_total", "ICMP errors made, and not made for their rate.");
  out.sample(nat.errors_generated, {{"outcome", "made"}});
  out.sample(nat.errors_rate_limited, {{"outcome", "rate_limited"}});
  out.counter("portolan_nat64_outputs_lost_total", "Packets made by the translator that found no room.",
              nat.outputs_lost);
  out.counter("portolan_nat64_probes_total", "Probes of TCP connections idle for long.", nat.probes_sent);
  out.counter("portolan_nat64_simultaneous_opens_total", "SYNs from inside that met a waiting one.",
              nat.simultaneous_opens);
  out.counter("portolan_nat64_syns_lost_total", "SYNs from outside that found no room to wait.",
              nat.syns_lost);
  out.counter("portolan_nat64_hold_downs_cut_total", "Ports freed early for want of room.",
              nat.hold_downs_cut);
}

void append_tables(const nat::Counters& nat, const nat::Limits& limits, Exposition& out) {
  out.gauge("portolan_nat64_bindings", "Bindings: made by mappings, and by hosts' own traffic.");
  out.sample(nat.explicit_bindings, {{"origin", "explicit"}});
  out.sample(nat.bindings - nat.explicit_bindings, {{"origin", "implicit"}});
  out.gauge("portolan_nat64_table_entries", "Entries of tables of fixed size.");
  const std::array<std::pair<std::string_view, std::pair<std::uint32_t, std::uint32_t>>, 7> tables{{
      {"bindings", {nat.bindings, limits.bindings}},
      {"sessions", {nat.sessions, limits.sessions}},
      {"subscribers", {nat.subscribers, limits.subscribers}},
      {"profiles", {nat.profiles, limits.profiles}},
      {"port_blocks", {nat.port_blocks, limits.port_blocks}},
      {"hold_downs", {nat.hold_downs, limits.hold_downs}},
      {"waiting_syns", {nat.waiting_syns, limits.waiting_syns}},
  }};
  for (const auto& [table, entries] : tables) out.sample(entries.first, {{"table", table}});
  out.gauge("portolan_nat64_table_entries_max", "Their limits.");
  for (const auto& [table, entries] : tables) out.sample(entries.second, {{"table", table}});
  out.gauge("portolan_nat64_fragmented_packets", "Packets of which some fragments are here.",
            nat.fragmented_packets);
  out.counter("portolan_nat64_made_total", "Bindings and sessions made.");
  out.sample(nat.bindings_made, {{"what", "bindings"}});
  out.sample(nat.sessions_made, {{"what", "sessions"}});
}

void append_workers(const device::WorkerCounters& workers, Exposition& out) {
  out.counter("portolan_nat64_worker_packets_total", "Packets read, by worker.");
  for (std::size_t worker = 0; worker < workers.read_by_worker.size(); ++worker)
    out.sample(workers.read_by_worker[worker], {{"worker", fmt::format("{}", worker)}});
  out.counter("portolan_nat64_link_lost_total", "Packets that could not be read or written.");
  out.sample(workers.packets_unread, {{"direction", "read"}});
  out.sample(workers.packets_unsent, {{"direction", "written"}});
  out.counter("portolan_nat64_turns_waited_total", "Times that a worker found another one at the engine.",
              workers.turns_waited);
}

void append_ports(const nat::Counters& nat, Exposition& out) {
  out.gauge("portolan_nat64_pool_ports", "Ports of all external addresses that hosts' own traffic may have.");
  for (std::size_t protocol = 0; protocol < protocol_names.size(); ++protocol)
    out.sample(nat.pool_ports[protocol], {{"protocol", protocol_names[protocol]}});
  out.gauge("portolan_nat64_pool_ports_taken",
            "Those of them that are bound, in hold-down or in a subscriber's block.");
  for (std::size_t protocol = 0; protocol < protocol_names.size(); ++protocol)
    out.sample(nat.pool_ports_taken[protocol], {{"protocol", protocol_names[protocol]}});
}

void append_pool(std::uint64_t addresses, const std::vector<nat::PoolRow>& pool, Exposition& out) {
  out.gauge("portolan_nat64_pool_addresses", "External addresses.", addresses);
  out.gauge("portolan_nat64_pool_bound_ports", "Ports of an external address that have a binding.");
  for (const nat::PoolRow& row : pool)
    for (std::size_t protocol = 0; protocol < protocol_names.size(); ++protocol)
      out.sample(row.bindings[protocol],
                 {{"address", fmt::format("{}", row.address)}, {"protocol", protocol_names[protocol]}});
  out.gauge("portolan_nat64_pool_held_ports", "Ports of an external address in hold-down.");
  for (const nat::PoolRow& row : pool)
    for (std::size_t protocol = 0; protocol < protocol_names.size(); ++protocol)
      out.sample(row.hold_downs[protocol],
                 {{"address", fmt::format("{}", row.address)}, {"protocol", protocol_names[protocol]}});
}

}  // namespace

void append_nat64(const Nat64Metrics& metrics, Exposition& out) {
  append_packets(metrics.workers.nat, out);
  append_tables(metrics.workers.nat, metrics.limits, out);
  append_workers(metrics.workers, out);
  append_ports(metrics.workers.nat, out);
  append_pool(metrics.pool_addresses, metrics.pool, out);
}

void append_control(const ControlMetrics& metrics, Exposition& out) {
  out.gauge("portolan_nat64_driven", "1: a server drives this gateway.", metrics.is_driven);
  out.gauge("portolan_nat64_awaits_reconciliation",
            "1: flows from inside get no external ports yet, so that none gets one that was promised.",
            metrics.awaits_reconciliation);
  out.gauge("portolan_nat64_control_connections", "Servers and those who look.", metrics.connections);
}

}  // namespace portolan::control
