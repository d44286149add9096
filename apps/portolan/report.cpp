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

/// "port 8080", "ports 5000 to 5003".
auto ports_text(Port first, std::uint16_t count) -> std::string {
  if (count <= 1) return fmt::format("port {}", first);
  const unsigned last = first.value + count - 1U;
  return last > UINT16_MAX ? fmt::format("ports from {} on", first)
                           : fmt::format("ports {} to {}", first, last);
}

/// "reachable at 192.0.2.14:8080", "reachable at 192.0.2.14:6000 to 6003".
auto external_text(const client::Mapping& mapping) -> std::string {
  std::string text = to_string(mapping.external);
  if (mapping.port_count > 1)
    text += fmt::format(" to {}", mapping.external.port.value + mapping.port_count - 1);
  return text;
}

/// What is not as it was asked for, each part with a semicolon before it.
auto notes_text(const Asked& asked, const client::Mapping& mapping) -> std::string {
  const client::Wish& wish = asked.command.wish;
  std::string text;
  if (wish.suggested_external_port.value != 0 && wish.suggested_external_port != mapping.external.port)
    text += fmt::format("; port {} was not to be had", wish.suggested_external_port);
  if (wish.port_count != UINT16_MAX && wish.port_count > mapping.port_count)
    text += fmt::format("; {} of {} ports were to be had", mapping.port_count, wish.port_count);
  if (!wish.filters.empty() && !mapping.is_filtered) text += "; it confirmed no filter, so everyone may send";
  if (wish.description && mapping.description != wish.description)
    text += mapping.description ? "; it changed the description" : "; it keeps no description";
  return text;
}

/// "; NAT64 prefix 2001:db8:64::/96".
auto nat64_text(const Asked& asked) -> std::string {
  if (!asked.command.wish.wants_nat64_prefix) return "";
  if (asked.nat64_prefixes.empty()) return "; it told no NAT64 prefix";
  std::string text;
  for (const client::Nat64Prefix& known : asked.nat64_prefixes) {
    text += fmt::format("; NAT64 prefix {}", known.prefix);
    for (const Prefix& prefix : known.ipv4_prefixes) text += fmt::format(" for {}", prefix);
  }
  return text;
}

auto nat64_json(const std::vector<client::Nat64Prefix>& prefixes) -> Json {
  Json json = Json::array();
  for (const client::Nat64Prefix& known : prefixes) {
    Json ipv4 = Json::array();
    for (const Prefix& prefix : known.ipv4_prefixes) ipv4.push_back(to_string(prefix));
    json.push_back({{"prefix", to_string(known.prefix)}, {"ipv4-prefixes", std::move(ipv4)}});
  }
  return json;
}

auto map_json(const Asked& asked) -> Json {
  const auto& peer = asked.command.wish.remote_peer;
  return {{"result", nullptr},
          {"protocol", to_string(asked.command.wish.protocol)},
          {"internal-address", to_string(asked.internal.address)},
          {"internal-port", asked.internal.port.value},
          {"external-address", nullptr},
          {"external-port", nullptr},
          {"lifetime", nullptr},
          {"epoch", nullptr},
          {"server", asked.server},
          {"nonce", to_string(asked.nonce)},
          {"remote-peer-address", peer ? Json(to_string(peer->address)) : Json(nullptr)},
          {"remote-peer-port", peer ? Json(peer->port.value) : Json(nullptr)},
          {"port-count", nullptr},
          {"filtered", nullptr},
          {"description", nullptr},
          {"nat64-prefixes", nullptr}};
}

auto announce_json(const std::string& server) -> Json {
  return {{"result", nullptr}, {"server", server}, {"epoch", nullptr}, {"round-trip-ms", nullptr}};
}

void set_mapping(Json& json, const Asked& asked, const client::Mapping& mapping) {
  json["result"] = result_word(ResultCode::success);
  json["external-address"] = to_string(mapping.external.address);
  json["external-port"] = mapping.external.port.value;
  json["lifetime"] = mapping.lifetime.count();
  json["epoch"] = mapping.epoch_time_s;
  json["port-count"] = mapping.port_count;
  json["filtered"] = mapping.is_filtered;
  if (mapping.description) json["description"] = *mapping.description;
  if (asked.command.wish.wants_nat64_prefix) json["nat64-prefixes"] = nat64_json(asked.nat64_prefixes);
}

/// The options that a server may not know, as they are on the command line.
auto options_text(const client::Wish& wish) -> std::string {
  std::string text;
  const auto add = [&text](bool is_used, std::string_view option) {
    if (is_used) text += fmt::format("{}{}", text.empty() ? "" : ", ", option);
  };
  add(wish.prefer_failure, "--prefer-failure");
  add(!wish.filters.empty(), "--filter");
  add(wish.third_party.has_value(), "--third-party");
  return text;
}

/// What to do about an error answer.
auto remedy(const Asked& asked, const client::Refused& event) -> std::string {
  const client::Wish& wish = asked.command.wish;
  std::string again = fmt::format("try again in {}", span_text(event.lifetime));
  const std::string meaning(meaning_of(event.result));
  switch (event.result) {
    case ResultCode::not_authorized:
      if (asked.command.is_deletion)
        return "the mapping was made with a different nonce, or not by PCP: pass the --nonce its maker "
               "printed";
      return fmt::format(
          "another client (or an earlier run) holds this mapping with a different nonce, or the server's "
          "policy "
          "forbids it: pass --nonce with what that run printed, or wait {} until the mapping ends",
          span_text(event.lifetime));
    case ResultCode::malformed_request: return fmt::format("{}; --verbose shows what was sent", meaning);
    case ResultCode::unsupp_opcode:
      return fmt::format("it does not offer this ({} is disabled there)", wish.is_peer() ? "PEER" : "MAP");
    case ResultCode::unsupp_option: {
      const std::string options = options_text(wish);
      return options.empty() ? "it does not know an option of the request"
                             : fmt::format("it does not know this, or not from you: leave out {}", options);
    }
    case ResultCode::malformed_option:
      return "it does not understand an option; --verbose shows what was sent";
    case ResultCode::network_failure:
    case ResultCode::no_resources: return fmt::format("{}: {}", meaning, again);
    case ResultCode::unsupp_protocol:
      return wish.internal_port.value == 0 ? "it does not map all ports at once: name a port"
                                           : fmt::format("it does not map protocol {}", wish.protocol);
    case ResultCode::user_ex_quota: return fmt::format("{}, or {}", meaning, again);
    case ResultCode::excessive_remote_peers:
      return fmt::format("it takes less than {} filters: give fewer --filter", wish.filters.size());
    case ResultCode::cannot_provide_external:
      if (!wish.prefer_failure)
        return fmt::format(
            "what is asked for is not to be had: leave out --external-port and "
            "--external-address to take any, or {}",
            again);
      return fmt::format(
          "external port {} is not to be had for {}: give another --external-port, or leave out "
          "--prefer-failure "
          "to take any",
          wish.suggested_external_port, span_text(event.lifetime));
    case ResultCode::address_mismatch:
      return discovery::address_mismatch_text(asked.client_address, asked.server);
    default: return meaning.empty() ? again : meaning;
  }
}

}  // namespace

auto subject_text(const Asked& asked) -> std::string {
  const client::Wish& wish = asked.command.wish;
  if (wish.protocol == Protocol::all) return fmt::format("all traffic to {}", asked.internal.address);
  if (wish.internal_port.value == 0)
    return fmt::format("all of {} to {}", wish.protocol, asked.internal.address);
  return fmt::format("{} {} of {}", wish.protocol, ports_text(wish.internal_port, wish.port_count),
                     asked.internal.address);
}

auto meaning_of(ResultCode result) -> std::string_view {
  switch (result) {
    case ResultCode::unsupp_version: return "it does not speak PCP version 2: update it";
    case ResultCode::malformed_request: return "it does not understand the request";
    case ResultCode::network_failure: return "it has no external address at the moment";
    case ResultCode::no_resources: return "it has no ports or memory left";
    case ResultCode::user_ex_quota: return "you have as many mappings as it allows: delete one";
    case ResultCode::authentication_required:
      return "it wants authentication, which portolan does not do yet";
    default: return {};
  }
}

auto objection_text(const Asked& asked) -> std::optional<std::string> {
  const client::Wish& wish = asked.command.wish;
  const IpAddress& host = asked.internal.address;
  const auto text = [&host](std::string_view argument, const std::string& value) {
    return fmt::format("{} {} is not an address as {} sees it: give one of its family{}", argument, value,
                       host, host.is_ipv4() ? "" : ", behind a NAT64 the one that DNS64 makes");
  };
  if (wish.remote_peer && wish.remote_peer->address.family() != host.family())
    return text("PEER_ADDRESS", to_string(wish.remote_peer->address));
  for (const RemoteFilter& filter : wish.filters)
    if (filter.remote_peers.address().family() != host.family())
      return text("--filter", to_string(filter.remote_peers));
  return {};
}

auto granted_text(const Asked& asked, const client::Mapping& mapping) -> std::string {
  const client::Wish& wish = asked.command.wish;
  const std::string end = fmt::format("for {} (PCP server {}{}{})", span_text(mapping.lifetime), asked.server,
                                      notes_text(asked, mapping), nat64_text(asked));
  if (wish.remote_peer)
    return fmt::format("{} reaches {} from {} {}", subject_text(asked), *wish.remote_peer, mapping.external,
                       end);
  return fmt::format("{} {} reachable at {} {}", subject_text(asked), wish.port_count > 1 ? "are" : "is",
                     external_text(mapping), end);
}

auto remedy_text(const Asked& asked, const client::Mapping& mapping) -> std::string {
  const MapCommand& command = asked.command;
  const client::Wish& wish = command.wish;
  std::string line =
      fmt::format("portolan {} {} {}", wish.is_peer() ? "peer" : "map", wish.protocol, wish.internal_port);
  if (wish.remote_peer) line += fmt::format(" {} {}", wish.remote_peer->address, wish.remote_peer->port);
  // The family is part of what identifies a mapping (RFC 6887 erratum 3621).
  if (mapping.external.address.family() == Family::ipv6) line += " --external-address ::";
  if (!command.common.server.empty()) line += " --server " + command.common.server;
  if (command.common.server_port.value != wire::server_port)
    line += fmt::format(" --server-port {}", command.common.server_port);
  if (command.common.internal_address)
    line += fmt::format(" --internal-address {}", *command.common.internal_address);
  if (wish.third_party) line += fmt::format(" --third-party {}", *wish.third_party);
  if (mapping.port_count > 1) line += fmt::format(" --port-set {}", mapping.port_count);
  line += fmt::format(" --nonce {}", to_string(asked.nonce));
  if (wish.is_peer()) return fmt::format("renew it with: {}; it ends with its lifetime", line);
  return fmt::format("renew it with: {}; delete it with the same and --delete", line);
}

auto deleted_text(const Asked& asked, const client::Deleted& event) -> std::string {
  if (asked.command.wish.is_peer())
    return fmt::format("{}: the mapping is renewed no more, and ends in {}", subject_text(asked),
                       span_text(event.remaining));
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
  set_mapping(json, asked, mapping);
  return json.dump();
}

auto event_json(const Asked& asked, const char* event, const client::Mapping& mapping) -> std::string {
  Json json = map_json(asked);
  set_mapping(json, asked, mapping);
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
