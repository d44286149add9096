// SPDX-License-Identifier: BSD-2-Clause
#include "gateway/control_views.h"

#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "control/pool_counters.h"

namespace portolan::gateway {

auto counters_of(const device::WorkerCounters& counters) -> std::vector<control::Counter> {
  std::vector<control::Counter> made;
  const auto add = [&](std::string name, std::uint64_t value) {
    made.push_back({.name = std::move(name), .value = value});
  };
  const nat::Counters& nat = counters.nat;
  add("bindings", nat.bindings);
  add("explicit_bindings", nat.explicit_bindings);
  add("sessions", nat.sessions);
  add("subscribers", nat.subscribers);
  add("profiles", nat.profiles);
  add("port_blocks", nat.port_blocks);
  add("hold_downs", nat.hold_downs);
  control::append_pool(device::pool_use_of(nat), made);
  add("bindings_made", nat.bindings_made);
  add("sessions_made", nat.sessions_made);
  for (const nat::Direction direction : {nat::Direction::from_ipv6, nat::Direction::from_ipv4}) {
    const std::string_view side = direction == nat::Direction::from_ipv6 ? "from_ipv6" : "from_ipv4";
    for (std::size_t kind = 0; kind < nat::kind_count; ++kind)
      add(fmt::format("translated_{}_{}", nat::to_string(static_cast<nat::Kind>(kind)), side),
          nat.packets(direction, static_cast<nat::Kind>(kind)));
    add(fmt::format("translated_octets_{}", side), nat.translated_octets[std::to_underlying(direction)]);
  }
  // 0 is no reason.
  for (std::size_t reason = 1; reason < nat::drop_reason_count; ++reason)
    add(fmt::format("dropped_{}", nat::to_string(static_cast<nat::DropReason>(reason))), nat.dropped[reason]);
  add("hairpinned", nat.hairpinned);
  add("without_session", nat.without_session);
  add("errors_generated", nat.errors_generated);
  add("errors_rate_limited", nat.errors_rate_limited);
  add("fragmented", nat.fragmented);
  add("reassembled", nat.reassembled);
  add("left_to_host", nat.left_to_host);
  add("probes_sent", nat.probes_sent);
  add("outputs_lost", nat.outputs_lost);
  add("hold_downs_cut", nat.hold_downs_cut);
  add("packets_read", counters.packets_read);
  if (counters.read_by_worker.size() > 1) {
    add("turns_waited", counters.turns_waited);
    for (std::size_t worker = 0; worker < counters.read_by_worker.size(); ++worker)
      add(fmt::format("packets_read_worker_{}", worker + 1), counters.read_by_worker[worker]);
  }
  add("packets_unread", counters.packets_unread);
  add("packets_unsent", counters.packets_unsent);
  return made;
}

auto trace_of(const control::TraceQuery& query, const nat::TraceResult& result) -> control::Trace {
  control::Trace trace{.query = query.number,
                       .is_forwarded = result.reason == nat::DropReason::none,
                       .drop_reason = {},
                       .source = result.source,
                       .destination = result.destination,
                       .is_hairpinned = result.is_hairpinned,
                       .binding = result.binding,
                       .session = result.session,
                       .steps = {}};
  const auto step = [&](std::string text) { trace.steps.push_back(std::move(text)); };
  step(fmt::format("{} from {} to {}, from the {} side", query.protocol, query.source, query.destination,
                   query.source.address.is_ipv4() ? "IPv4" : "IPv6"));
  if (result.session)
    step(fmt::format("session with {} found, for {} s more", result.session->remote,
                     result.session->remaining.count()));
  if (result.binding)
    step(fmt::format("{} binding {} = {} found", result.binding->is_explicit ? "explicit" : "implicit",
                     result.binding->internal, result.binding->external));
  if (result.filter == nat::TraceResult::Filter::passed) step("the filter lets the peer in");
  if (result.filter == nat::TraceResult::Filter::refused) step("the filter does not let the peer in");
  if (result.makes_binding) step("a binding is made, at a port that is free");
  if (result.makes_session) step("a session is made");
  if (result.is_hairpinned) step("the destination is the gateway's own: back in (hairpinning)");
  if (trace.is_forwarded) {
    step(fmt::format("forwarded from {} to {}", result.source, result.destination));
  } else {
    trace.drop_reason = nat::to_string(result.reason);
    step(fmt::format("dropped: {}", trace.drop_reason));
  }
  return trace;
}

}  // namespace portolan::gateway
