// SPDX-License-Identifier: BSD-2-Clause
#include "control/metrics/pcp_metrics.h"

#include <array>
#include <string_view>
#include <utility>

#include "wire/protocol.h"

namespace portolan::control {
namespace {

constexpr std::array<std::string_view, server::request_kinds> kind_names{"announce", "map", "peer", "nat-pmp",
                                                                         "other"};

/// Those that exist are told from the start, so that a rate begins at the first one; others when they come.
template <typename Code>
void append_by_code(const std::array<std::uint64_t, 256>& counts, Code last, std::string_view label,
                    Exposition& out) {
  for (std::size_t code = 0; code < counts.size(); ++code)
    if (counts[code] != 0 || code <= std::to_underlying(last))
      out.sample(counts[code], {{label, wire::to_string(static_cast<Code>(code))}});
}

void append_requests(const server::Counters& counters, Exposition& out) {
  out.counter("portolan_pcp_requests_total", "Requests admitted, by what they ask.");
  out.sample(counters.announce_requests, {{"opcode", "announce"}});
  out.sample(counters.map_requests, {{"opcode", "map"}});
  out.sample(counters.peer_requests, {{"opcode", "peer"}});
  out.sample(counters.nat_pmp_requests, {{"opcode", "nat-pmp"}});
  out.sample(counters.other_requests, {{"opcode", "other"}});
  out.counter("portolan_pcp_request_versions_total", "Requests admitted, by the version they are in.");
  out.sample(counters.versions[0], {{"version", "nat-pmp"}});
  out.sample(counters.versions[1], {{"version", "1"}});
  out.sample(counters.versions[2], {{"version", "2"}});
  out.counter("portolan_pcp_request_options_total", "Options in requests admitted.");
  for (std::size_t code = 0; code < counters.options.size(); ++code) {
    const auto option = static_cast<wire::OptionCode>(code);
    const std::string name = wire::to_string(option);
    const bool is_named = !name.starts_with("option ");
    if (is_named || counters.options[code] != 0) out.sample(counters.options[code], {{"option", name}});
  }
}

void append_answers(const server::Counters& counters, Exposition& out) {
  out.counter("portolan_pcp_answers_total", "Answers, by result code (RFC 6887 s7.4).");
  append_by_code(counters.answers, wire::ResultCode::excessive_remote_peers, "result", out);
  out.counter("portolan_pcp_answers_by_opcode_total", "Answers by what was asked, and whether it succeeded.");
  for (std::size_t kind = 0; kind < counters.answers_to.size(); ++kind) {
    std::uint64_t errors = 0;
    for (std::size_t code = 1; code < counters.answers_to[kind].size(); ++code)
      errors += counters.answers_to[kind][code];
    out.sample(counters.answers_to[kind][0], {{"opcode", kind_names[kind]}, {"outcome", "success"}});
    out.sample(errors, {{"opcode", kind_names[kind]}, {"outcome", "error"}});
  }
  out.counter("portolan_pcp_nonce_mismatches_total",
              "Requests about a mapping by who does not know its nonce.", counters.nonce_mismatches);
}

void append_drops(const server::Counters& counters, const PcpSurroundings& around, Exposition& out) {
  out.counter("portolan_pcp_dropped_total", "Datagrams dropped without an answer.");
  out.sample(counters.dropped_too_short, {{"reason", "too_short"}});
  out.sample(counters.dropped_response, {{"reason", "not_a_request"}});
  out.sample(counters.dropped_overload, {{"reason", "overload"}});
  out.sample(around.dropped_not_inside, {{"reason", "not_from_inside"}});
  out.sample(around.dropped_not_unicast, {{"reason", "not_unicast"}});
  out.sample(around.dropped_wrong_inside, {{"reason", "wrong_interface"}});
  out.counter("portolan_pcp_unsent_total", "Datagrams that the kernel did not take.", around.unsent);
  out.histogram("portolan_pcp_batch_requests", "Requests that were decided together.");
  out.sample_histogram(around.batch_requests);
}

void append_mappings(const server::Counters& counters, const PcpSurroundings& around, Exposition& out) {
  out.gauge("portolan_pcp_mappings", "Mappings in force, those of PEER and of the operator included.",
            around.gauges.contracts);
  out.gauge("portolan_pcp_mapped_ports", "Ports of all mappings, which is what mappings_max limits.",
            around.gauges.ports);
  out.gauge("portolan_pcp_mapped_ports_max", "The limit of portolan_pcp_mapped_ports.",
            around.gauges.ports_max);
  out.counter("portolan_pcp_mapping_changes_total",
              "Mappings made, renewed or changed, deleted, expired, moved by the device, lost by it.");
  out.sample(counters.made, {{"change", "made"}});
  out.sample(counters.renewed, {{"change", "renewed"}});
  out.sample(counters.deleted, {{"change", "deleted"}});
  out.sample(counters.expired, {{"change", "expired"}});
  out.sample(counters.moved, {{"change", "moved"}});
  out.sample(counters.lost, {{"change", "lost"}});
}

void append_users_and_queues(const server::Gauges& gauges, Exposition& out) {
  out.gauge("portolan_pcp_subscribers", "Subscribers that have mappings.", gauges.subscribers);
  out.gauge("portolan_pcp_users", "Users, by who made them.");
  out.sample(gauges.users_configured, {{"origin", "configured"}});
  out.sample(gauges.users_by_hand, {{"origin", "by-hand"}});
  out.gauge("portolan_pcp_static_mappings", "Mappings of the operator, by where they were made.");
  out.sample(gauges.statics_configured, {{"origin", "configured"}});
  out.sample(gauges.statics_by_hand, {{"origin", "by-hand"}});
  out.gauge("portolan_pcp_static_mappings_not_in_force",
            "Those that the device has not, or not as it should.", gauges.statics_not_in_force);
  out.gauge("portolan_pcp_refused_profiles", "What users were to be given, and the device does not.",
            gauges.refused_profiles);
  out.gauge("portolan_pcp_queue",
            "What waits: batches for device or store, requests for an earlier one, "
            "operations of the operator.");
  out.sample(gauges.batches, {{"queue", "batches"}});
  out.sample(gauges.deferred, {{"queue", "deferred"}});
  out.sample(gauges.operations, {{"queue", "operations"}});
}

void append_state(const server::Counters& counters, const PcpSurroundings& around, Exposition& out) {
  if (around.epoch_s)
    out.gauge("portolan_pcp_epoch_seconds", "The epoch, as clients are told it (RFC 6887 s8.5).",
              *around.epoch_s);
  out.counter("portolan_pcp_announcements_total", "Restart announcements (RFC 6887 s14.1.3).",
              counters.announcements_sent);
  out.counter("portolan_pcp_updates_total", "Mapping updates that nobody asked for (RFC 6887 s14.2).",
              counters.updates_sent);
  out.gauge("portolan_pcp_read_only", "1: the store does not write, no mapping is made or deleted.",
            around.gauges.is_read_only);
  out.counter("portolan_pcp_refused_undos_total", "Operations that the device would not undo.",
              counters.refused_undos);
  out.gauge("portolan_pcp_reconciling", "1: a device is being brought to what was promised.",
            around.gauges.is_reconciling);
  out.counter("portolan_pcp_reconciled_total",
              "What devices lacked of what was promised, and had without anybody's promise.");
  out.sample(counters.reinstalled, {{"what", "reinstalled"}});
  out.sample(counters.unowned_removed, {{"what", "unowned_removed"}});
}

}  // namespace

void append_pcp(const server::Counters& counters, const PcpSurroundings& surroundings, Exposition& out) {
  append_requests(counters, out);
  append_answers(counters, out);
  append_drops(counters, surroundings, out);
  append_mappings(counters, surroundings, out);
  append_users_and_queues(surroundings.gauges, out);
  append_state(counters, surroundings, out);
}

void append_devices(const std::vector<DeviceMetrics>& devices, Exposition& out) {
  out.counter("portolan_device_operations_total",
              "Operations that devices were asked for, by their answer: applied, or why not.");
  for (const DeviceMetrics& each : devices) {
    for (std::size_t kind = 0; kind < device::operation_kinds; ++kind) {
      const std::string_view name = device::operation_name(kind);
      out.sample(each.operations.applied[kind],
                 {{"device", each.device}, {"operation", name}, {"answer", "applied"}});
      for (std::size_t refusal = 0; refusal < device::refusal_count; ++refusal)
        if (const auto count = each.operations.refused[kind][refusal]; count != 0)
          out.sample(count, {{"device", each.device},
                             {"operation", name},
                             {"answer", device::refusal_name(static_cast<device::Refusal>(refusal))}});
    }
  }
  out.histogram("portolan_device_batch_seconds", "From handing a batch to a device to its answer.");
  for (const DeviceMetrics& each : devices)
    out.sample_histogram(each.operations.batch_seconds, {{"device", each.device}});
  out.gauge("portolan_device_batches", "Batches with a device now.");
  for (const DeviceMetrics& each : devices)
    out.sample(each.operations.outstanding, {{"device", each.device}});
  out.gauge("portolan_device_in_reach", "0: the device is another process, and cannot be reached.");
  for (const DeviceMetrics& each : devices) out.sample(each.is_in_reach, {{"device", each.device}});
  const auto sample_pools = [&](std::uint64_t device::PoolUse::* number) {
    for (const DeviceMetrics& each : devices)
      for (const device::PoolUse& use : each.pool)
        out.sample(use.*number, {{"device", each.device}, {"protocol", to_string(use.protocol)}});
  };
  out.gauge("portolan_device_pool_ports", "External ports that a device gives to hosts.");
  sample_pools(&device::PoolUse::ports);
  out.gauge("portolan_device_pool_ports_taken", "Those of them that nobody else may have now.");
  sample_pools(&device::PoolUse::taken);
}

void append_tables(const std::vector<TableMetrics>& tables, Exposition& out) {
  out.counter("portolan_table_repairs_total",
              "Times that a table of the kernel's was loaded anew because others had changed it.");
  for (const TableMetrics& each : tables) {
    out.sample(each.repairs, {{"device", each.device}, {"outcome", "success"}});
    out.sample(each.failed_repairs, {{"device", each.device}, {"outcome", "error"}});
  }
}

}  // namespace portolan::control
