// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/keeper_report.h"

#include <utility>
#include <variant>

#include <fmt/format.h>

#include "discovery/address_plan.h"
#include "portolan/report.h"
#include "wire/protocol.h"

namespace portolan {
namespace {

auto to_text(client::Lost::Reason reason) -> std::string_view {
  switch (reason) {
    case client::Lost::Reason::expired: return "it was not renewed in time";
    case client::Lost::Reason::withdrawn: return "the server took it back";
    case client::Lost::Reason::address_changed: return "this host has another address now";
    case client::Lost::Reason::server_gone: return "the server is out of reach now";
  }
  std::unreachable();
}

/// Who else may have the mapping can't be told from the answer.
auto remedy(wire::ResultCode result) -> std::string_view {
  if (result == wire::ResultCode::not_authorized)
    return "another client of this host holds it (portolan list shows what the agent keeps; or another "
           "portolan run, or map), or the server's policy forbids it";
  return meaning_of(result);
}

/// A line for each kind of event that is news.
struct Line {
  const std::string& name;
  const client::ClientEvent& event;
  bool is_dropped;

  auto operator()(const client::Granted& granted) const -> std::string {
    return fmt::format("{}: {}, for {} s (PCP server {})", name, place_text(granted.mapping),
                       granted.mapping.lifetime.count(), event.server);
  }
  auto operator()(const client::Changed& changed) const -> std::string {
    return fmt::format("{}: {} moved from {} to {}, for {} s (PCP server {})", name, changed.mapping.internal,
                       changed.previous_external, changed.mapping.external, changed.mapping.lifetime.count(),
                       event.server);
  }
  auto operator()(const client::Lost& lost) const -> std::string {
    return fmt::format("{}: {} is not reachable at {} any more: {}", name, lost.mapping.internal,
                       lost.mapping.external, to_text(lost.reason));
  }
  auto operator()(const client::Refused& refused) const -> std::string {
    if (refused.result == wire::ResultCode::address_mismatch)
      return fmt::format("{}: {}", name,
                         discovery::address_mismatch_text(event.path.client_address, event.server));
    if (is_dropped)
      return fmt::format("{}: the PCP server {} does not delete it: {}", name, event.server,
                         to_string(refused.result));
    const std::string_view what = remedy(refused.result);
    return fmt::format("{}: the PCP server {} says {}{}{}; asking again in {} s", name, event.server,
                       to_string(refused.result), what.empty() ? "" : ": ", what, refused.lifetime.count());
  }
  auto operator()(const client::Deleted& deleted) const -> std::string {
    // That of a connection can't be deleted, and traffic may keep any.
    const std::string rest = deleted.remaining > Seconds{0}
                                 ? fmt::format(", where it ends in {} s", deleted.remaining.count())
                                 : "";
    return fmt::format("{}: dropped at the PCP server {}{}", name, event.server, rest);
  }
  auto operator()(const client::ServerRestarted&) const -> std::string {
    return fmt::format("the PCP server {} lost its state; asking again for all mappings", event.server);
  }
  auto operator()(const client::VersionRefused& refused) const -> std::string {
    return fmt::format("the PCP server {} speaks version {} only; asking again in {} s", event.server,
                       refused.version, refused.lifetime.count());
  }
  auto operator()(const client::FellBackToNatPmp&) const -> std::string {
    return fmt::format("the server {} speaks NAT-PMP, and so does this host now", event.server);
  }
  auto operator()(const client::Unresponsive&) const -> std::string {
    return fmt::format("the PCP server {} does not answer; trying on", event.server);
  }
  auto operator()(const client::Retransmitted& asked) const -> std::string {
    // Told once, not at each of many: a server that is not there is asked for ever.
    return asked.transmissions == 3
               ? fmt::format("the PCP server {} does not answer; trying on", event.server)
               : "";
  }
  template <typename Other>
  auto operator()(const Other&) const -> std::string {
    return {};
  }
};

}  // namespace

auto place_text(const client::Mapping& mapping) -> std::string {
  if (mapping.remote_peer)
    return fmt::format("{} reaches {} from {}", mapping.internal, *mapping.remote_peer, mapping.external);
  return fmt::format("{} is reachable at {}", mapping.internal, mapping.external);
}

auto event_line(const std::string& name, const client::ClientEvent& event, bool is_dropped) -> std::string {
  return std::visit(Line{.name = name, .event = event, .is_dropped = is_dropped}, event.event);
}

auto changes_mapping(const client::Event& event) -> bool {
  return std::holds_alternative<client::Granted>(event) || std::holds_alternative<client::Renewed>(event) ||
         std::holds_alternative<client::Changed>(event) || std::holds_alternative<client::Lost>(event) ||
         std::holds_alternative<client::Deleted>(event);
}

}  // namespace portolan
