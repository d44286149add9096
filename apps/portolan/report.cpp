// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/report.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "discovery/address_plan.h"

namespace portolan {
namespace {

using Json = nlohmann::ordered_json;
using wire::ResultCode;

/// "45 s", "30 min", "2 h", "2 h 30 min", "3 days": rounded down, for people.
auto span_text(Seconds span) -> std::string {
  const auto minutes = span.count() / 60;
  const auto hours = minutes / 60;
  if (span.count() < 120) return fmt::format("{} s", span.count());
  if (minutes < 120) return fmt::format("{} min", minutes);
  if (hours >= 48) return fmt::format("{} days", hours / 24);
  return minutes % 60 == 0 ? fmt::format("{} h", hours) : fmt::format("{} h {} min", hours, minutes % 60);
}

auto result_word(ResultCode code) -> std::string { return wire::to_string(code); }

auto map_json(const Asked& asked) -> Json {
  return {{"result", nullptr},
          {"protocol", to_string(asked.command.wish.protocol)},
          {"internal-address", to_string(asked.internal.address)},
          {"internal-port", asked.internal.port.value},
          {"external-address", nullptr},
          {"external-port", nullptr},
          {"lifetime", nullptr},
          {"epoch", nullptr},
          {"server", asked.server},
          {"nonce", to_string(asked.nonce)}};
}

auto announce_json(const std::string& server) -> Json {
  return {{"result", nullptr}, {"server", server}, {"epoch", nullptr}, {"round-trip-ms", nullptr}};
}

void set_mapping(Json& json, const client::Mapping& mapping) {
  json["result"] = result_word(ResultCode::success);
  json["external-address"] = to_string(mapping.external.address);
  json["external-port"] = mapping.external.port.value;
  json["lifetime"] = mapping.lifetime.count();
  json["epoch"] = mapping.epoch_time_s;
}

/// What to do about an error answer.
auto remedy(const Asked& asked, const client::Refused& event) -> std::string {
  const client::Wish& wish = asked.command.wish;
  std::string again = fmt::format("try again in {}", span_text(event.lifetime));
  switch (event.result) {
    case ResultCode::unsupp_version: return "it does not speak PCP version 2: update it";
    case ResultCode::not_authorized:
      if (asked.command.is_deletion)
        return "the mapping was made with a different nonce, or not by PCP: pass the --nonce its maker "
               "printed";
      return fmt::format(
          "another client (or an earlier run) holds this mapping with a different nonce, or the server's "
          "policy "
          "forbids it: pass --nonce with what that run printed, or wait {} until the mapping ends",
          span_text(event.lifetime));
    case ResultCode::malformed_request:
      return "it does not understand the request; --verbose shows what was sent";
    case ResultCode::unsupp_opcode: return "it does not offer mappings (MAP is disabled there)";
    case ResultCode::unsupp_option:
      return wish.prefer_failure ? "it does not know PREFER_FAILURE: leave out --prefer-failure"
                                 : "it does not know an option of the request";
    case ResultCode::malformed_option:
      return "it does not understand an option; --verbose shows what was sent";
    case ResultCode::network_failure:
      return fmt::format("it has no external address at the moment: {}", again);
    case ResultCode::no_resources: return fmt::format("it has no ports or memory left: {}", again);
    case ResultCode::unsupp_protocol:
      return wish.internal_port.value == 0 ? "it does not map all ports at once: name a port"
                                           : fmt::format("it does not map protocol {}", wish.protocol);
    case ResultCode::user_ex_quota:
      return fmt::format("you have as many mappings as it allows: delete one, or {}", again);
    case ResultCode::cannot_provide_external:
      return fmt::format(
          "external port {} is not to be had for {}: give another --external-port, or leave out "
          "--prefer-failure "
          "to take any",
          wish.suggested_external_port, span_text(event.lifetime));
    case ResultCode::address_mismatch:
      return discovery::address_mismatch_text(asked.internal.address, asked.server);
    case ResultCode::authentication_required:
      return "it wants authentication, which portolan does not do yet";
    default: return again;
  }
}

}  // namespace

auto subject_text(const Asked& asked) -> std::string {
  const client::Wish& wish = asked.command.wish;
  if (wish.protocol == Protocol::all) return fmt::format("all traffic to {}", asked.internal.address);
  if (wish.internal_port.value == 0)
    return fmt::format("all of {} to {}", wish.protocol, asked.internal.address);
  return fmt::format("{} port {} of {}", wish.protocol, wish.internal_port, asked.internal.address);
}

auto granted_text(const Asked& asked, const client::Mapping& mapping) -> std::string {
  const Port suggested = asked.command.wish.suggested_external_port;
  const std::string note = suggested.value != 0 && suggested != mapping.external.port
                               ? fmt::format("; port {} was not to be had", suggested)
                               : "";
  return fmt::format("{} is reachable at {} for {} (PCP server {}{})", subject_text(asked), mapping.external,
                     span_text(mapping.lifetime), asked.server, note);
}

auto remedy_text(const Asked& asked, const client::Mapping& mapping) -> std::string {
  const MapCommand& command = asked.command;
  std::string line = fmt::format("portolan map {} {}", command.wish.protocol, command.wish.internal_port);
  // The family is part of what identifies a mapping (RFC 6887 erratum 3621).
  if (mapping.external.address.family() == Family::ipv6) line += " --external-address ::";
  if (!command.common.server.empty()) line += " --server " + command.common.server;
  if (command.common.server_port.value != wire::server_port)
    line += fmt::format(" --server-port {}", command.common.server_port);
  if (command.common.internal_address)
    line += fmt::format(" --internal-address {}", *command.common.internal_address);
  line += fmt::format(" --nonce {}", to_string(asked.nonce));
  return fmt::format("renew it with: {}; delete it with the same and --delete", line);
}

auto deleted_text(const Asked& asked, const client::Deleted& event) -> std::string {
  if (event.remaining > Seconds{0})
    return fmt::format("{} stays reachable for {}, because it had traffic; then the mapping is deleted",
                       subject_text(asked), span_text(event.remaining));
  return fmt::format("{}: the mapping is deleted (PCP server {})", subject_text(asked), asked.server);
}

auto refused_text(const Asked& asked, const client::Refused& event) -> std::string {
  return fmt::format("the PCP server {} refused {}: {}: {}", asked.server, subject_text(asked),
                     result_word(event.result), remedy(asked, event));
}

auto version_text(const std::string& server, const client::VersionRefused& event) -> std::string {
  if (event.version == 0)
    return fmt::format("{} speaks NAT-PMP, not PCP: that serves IPv4 hosts only", server);
  return fmt::format("{} speaks PCP version {}, not 2: one of the two wants an update", server,
                     event.version);
}

auto announced_text(const std::string& server, const client::Announced& event) -> std::string {
  const double round_trip_ms = std::chrono::duration<double, std::milli>(event.round_trip).count();
  if (event.result == ResultCode::success)
    return fmt::format("a PCP server answers at {} after {:.1f} ms; its state began {} ago (epoch {} s)",
                       server, round_trip_ms, span_text(Seconds{event.epoch_time_s}), event.epoch_time_s);
  if (event.result == ResultCode::address_mismatch)
    return fmt::format("there is a NAT between you and the PCP server at {} (ADDRESS_MISMATCH)", server);
  return fmt::format("a PCP server answers at {} after {:.1f} ms, but refused ANNOUNCE: {}", server,
                     round_trip_ms, result_word(event.result));
}

auto granted_json(const Asked& asked, const client::Mapping& mapping) -> std::string {
  Json json = map_json(asked);
  set_mapping(json, mapping);
  return json.dump();
}

auto event_json(const Asked& asked, const char* event, const client::Mapping& mapping) -> std::string {
  Json json = map_json(asked);
  set_mapping(json, mapping);
  json["event"] = event;
  return json.dump();
}

auto deleted_json(const Asked& asked, const client::Deleted& event) -> std::string {
  Json json = map_json(asked);
  json["result"] = result_word(ResultCode::success);
  json["lifetime"] = event.remaining.count();
  json["epoch"] = event.epoch_time_s;
  if (asked.command.is_kept) json["event"] = "deleted";
  return json.dump();
}

auto refused_json(const Asked& asked, const client::Refused& event) -> std::string {
  Json json = map_json(asked);
  json["result"] = result_word(event.result);
  json["lifetime"] = event.lifetime.count();
  json["epoch"] = event.epoch_time_s;
  json["error"] = refused_text(asked, event);
  if (asked.command.is_kept) json["event"] = "refused";
  return json.dump();
}

auto failed_json(const Asked& asked, const std::string& error) -> std::string {
  Json json = map_json(asked);
  json["error"] = error;
  return json.dump();
}

auto announced_json(const std::string& server, const client::Announced& event) -> std::string {
  Json json = announce_json(server);
  json["result"] = result_word(event.result);
  json["epoch"] = event.epoch_time_s;
  json["round-trip-ms"] =
      static_cast<double>(std::chrono::duration_cast<std::chrono::microseconds>(event.round_trip).count()) /
      1000;
  return json.dump();
}

auto announce_failed_json(const std::string& server, const std::string& error) -> std::string {
  Json json = announce_json(server);
  json["error"] = error;
  return json.dump();
}

}  // namespace portolan
