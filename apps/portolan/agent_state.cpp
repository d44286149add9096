// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/agent_state.h"

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/protocol_ports.h"
#include "portolan/agent_config.h"
#include "portolan/dissection_report.h"
#include "portolan/texts.h"

namespace portolan {
namespace {

using Json = nlohmann::ordered_json;

constexpr int state_version = 1;

/// Thrown by what reads JSON; ends in an error of the function that was called.
struct Wrong : std::runtime_error {
  using std::runtime_error::runtime_error;
};

auto dump(const Json& json) -> std::string {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

auto text_at(const Json& json, const char* key) -> std::string {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_string()) throw Wrong(fmt::format("\"{}\" is no text", key));
  return found->get<std::string>();
}

auto number_at(const Json& json, const char* key, std::int64_t minimum, std::int64_t maximum)
    -> std::int64_t {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_number_integer())
    throw Wrong(fmt::format("\"{}\" is no number", key));
  // Beyond the signed range the library would turn it into something else.
  const bool is_large = found->is_number_unsigned() && found->get<std::uint64_t>() > INT64_MAX;
  const auto value = is_large ? INT64_MAX : found->get<std::int64_t>();
  if (is_large || value < minimum || value > maximum)
    throw Wrong(fmt::format("\"{}\" is not from {} to {}", key, minimum, maximum));
  return value;
}

auto port_at(const Json& json, const char* key) -> Port {
  return Port{static_cast<std::uint16_t>(number_at(json, key, 0, UINT16_MAX))};
}

auto address_at(const Json& json, const char* key) -> IpAddress {
  const auto address = IpAddress::parse(text_at(json, key));
  if (!address) throw Wrong(fmt::format("\"{}\" is no address", key));
  return *address;
}

auto json_of(const client::Wish& wish) -> Json {
  Json json{{"protocol", to_string(wish.protocol)},
            {"internal-port", wish.internal_port.value},
            {"external", wish.suggested_external_address.is_ipv4() ? "ipv4" : "ipv6"},
            {"suggested-external-port", wish.suggested_external_port.value},
            {"wanted-lifetime", wish.lifetime.count()}};
  if (!wish.suggested_external_address.is_unspecified())
    json["suggested-external-address"] = to_string(wish.suggested_external_address);
  if (wish.prefer_failure) json["prefer-failure"] = true;
  if (wish.remote_peer) {
    json["remote-peer-address"] = to_string(wish.remote_peer->address);
    json["remote-peer-port"] = wish.remote_peer->port.value;
  }
  if (wish.third_party) json["third-party"] = to_string(*wish.third_party);
  if (wish.third_party_id) json["third-party-id"] = plain_hex(*wish.third_party_id);
  for (const RemoteFilter& filter : wish.filters) json["filters"].push_back(text_of(filter));
  if (wish.description) json["description"] = *wish.description;
  return json;
}

auto filters_of(const Json& json) -> std::vector<RemoteFilter> {
  std::vector<RemoteFilter> filters;
  const auto list = json.find("filters");
  if (list == json.end()) return filters;
  if (!list->is_array()) throw Wrong("\"filters\" is no list");
  for (const Json& each : *list) {
    const auto filter = each.is_string() ? parse_remote_filter(each.get<std::string>()) : std::nullopt;
    if (!filter) throw Wrong("\"filters\" has one that is none");
    filters.push_back(*filter);
  }
  return filters;
}

/// What a plain MAP has no words for.
void add_options(const Json& json, client::Wish& wish) {
  if (json.contains("remote-peer-address"))
    wish.remote_peer = Endpoint{.address = address_at(json, "remote-peer-address"),
                                .port = port_at(json, "remote-peer-port")};
  if (json.contains("third-party")) wish.third_party = address_at(json, "third-party");
  if (json.contains("third-party-id")) {
    wish.third_party_id = parse_octets(text_at(json, "third-party-id"));
    if (!wish.third_party_id) throw Wrong("\"third-party-id\" is no pairs of hexadecimal digits");
  }
  wish.filters = filters_of(json);
}

auto wish_of(const Json& json) -> client::Wish {
  if (!json.is_object()) throw Wrong("there is no object");
  client::Wish wish;
  const auto protocol = parse_protocol(text_at(json, "protocol"));
  if (!protocol || *protocol == Protocol::all) throw Wrong("\"protocol\" is no protocol");
  wish.protocol = *protocol;
  wish.internal_port = port_at(json, "internal-port");
  const std::string external = text_at(json, "external");
  if (external != "ipv4" && external != "ipv6") throw Wrong("\"external\" is neither ipv4 nor ipv6");
  wish.suggested_external_address = IpAddress::unspecified(external == "ipv4" ? Family::ipv4 : Family::ipv6);
  if (json.contains("suggested-external-address")) {
    const IpAddress address = address_at(json, "suggested-external-address");
    if (address.family() != wish.suggested_external_address.family())
      throw Wrong("\"suggested-external-address\" is not of the family of \"external\"");
    wish.suggested_external_address = address;
  }
  wish.prefer_failure = json.value("prefer-failure", false);
  if (json.contains("suggested-external-port"))
    wish.suggested_external_port = port_at(json, "suggested-external-port");
  if (json.contains("wanted-lifetime"))
    wish.lifetime =
        Seconds{number_at(json, "wanted-lifetime", agent_lifetime_min.count(), agent_lifetime_max.count())};
  if (json.contains("description")) wish.description = text_at(json, "description");
  add_options(json, wish);
  if (wish.internal_port.value == 0 && has_ports(wish.protocol))
    throw Wrong("\"internal-port\" is 0: name one port");
  if (const auto error = error_in(wish)) throw Wrong(std::string(to_string(*error)));
  return wish;
}

/// `expires` as the receiver of the object needs it.
auto json_of(const client::Held& held, const Json& expires) -> Json {
  const client::Mapping& mapping = held.mapping;
  return {{"server", held.server},
          {"internal-address", to_string(mapping.internal.address)},
          {"internal-port", mapping.internal.port.value},
          {"external-address", to_string(mapping.external.address)},
          {"external-port", mapping.external.port.value},
          {"granted-lifetime", mapping.lifetime.count()},
          {"nat-pmp", mapping.is_nat_pmp},
          {"expires", expires}};
}

auto nonces_of(const Json& json) -> client::Nonces {
  client::Nonces nonces;
  const auto all = json.find("nonces");
  if (all == json.end()) return nonces;
  if (!all->is_object() || all->size() > client::Client::nonces_max)
    throw Wrong("\"nonces\" is no object of few");
  for (const auto& [server, text] : all->items()) {
    const auto nonce = text.is_string() ? Nonce::parse(text.get<std::string>()) : std::nullopt;
    if (!nonce) throw Wrong(fmt::format("the nonce of \"{}\" is none", server));
    nonces[server] = *nonce;
  }
  return nonces;
}

auto held_of(const Json& json, Protocol protocol, const client::Nonces& nonces) -> client::Held {
  client::Held held;
  held.server = text_at(json, "server");
  client::Mapping& mapping = held.mapping;
  mapping.protocol = protocol;
  mapping.internal = {.address = address_at(json, "internal-address"),
                      .port = port_at(json, "internal-port")};
  mapping.external = {.address = address_at(json, "external-address"),
                      .port = port_at(json, "external-port")};
  if (const auto nonce = nonces.find(held.server); nonce != nonces.end()) mapping.nonce = nonce->second;
  mapping.lifetime = Seconds{number_at(json, "granted-lifetime", 0, UINT32_MAX)};
  mapping.is_nat_pmp = json.value("nat-pmp", false);
  return held;
}

/// Fills the mapping's held ones; `time_of` says what "expires" means.
template <typename TimeOf>
auto mapping_of(const Json& json, TimeOf time_of) -> StoredMapping {
  StoredMapping mapping{
      .wish = wish_of(json), .is_asked = json.value("asked", false), .held = {}, .nonces = nonces_of(json)};
  const auto list = json.find("held");
  if (list == json.end()) return mapping;
  if (!list->is_array() || list->size() > client::servers_max) throw Wrong("\"held\" is no list of few");
  for (const Json& each : *list) {
    client::Held held = held_of(each, mapping.wish.protocol, mapping.nonces);
    held.mapping.remote_peer = mapping.wish.remote_peer;
    held.mapping.expires = time_of(number_at(each, "expires", 0, INT64_MAX / 1'000'000'000));
    mapping.held.push_back(std::move(held));
  }
  return mapping;
}

template <typename ExpiresOf>
auto json_of(const StoredMapping& mapping, ExpiresOf expires_of) -> Json {
  Json json = json_of(mapping.wish);
  json["asked"] = mapping.is_asked;
  Json list = Json::array();
  for (const client::Held& held : mapping.held)
    list.push_back(json_of(held, expires_of(held.mapping.expires)));
  json["held"] = std::move(list);
  for (const auto& [server, nonce] : mapping.nonces) json["nonces"][server] = to_string(nonce);
  return json;
}

auto seconds(Nanoseconds time) -> std::int64_t { return std::chrono::round<Seconds>(time).count(); }

/// Calls `read` on the text's object; what it throws is the error.
template <typename Read>
auto parsed(std::string_view text, Read read) -> std::expected<decltype(read(Json())), std::string> {
  try {
    return read(Json::parse(text));
  } catch (const Wrong& wrong) {
    return std::unexpected(std::string(wrong.what()));
  } catch (const Json::exception&) {
    return std::unexpected("this is no JSON as expected");
  }
}

}  // namespace

auto encode_state(const std::vector<StoredMapping>& mappings, TimePoint now, Nanoseconds wall_now)
    -> std::string {
  Json list = Json::array();
  for (const StoredMapping& mapping : mappings)
    list.push_back(json_of(mapping, [&](TimePoint expires) { return seconds(wall_now + (expires - now)); }));
  return Json{{"version", state_version}, {"mappings", std::move(list)}}.dump(
             2, ' ', false, Json::error_handler_t::replace) +
         "\n";
}

auto parse_state(std::string_view text, TimePoint now, Nanoseconds wall_now)
    -> std::expected<std::vector<StoredMapping>, std::string> {
  return parsed(text, [&](const Json& json) {
    if (!json.is_object() || number_at(json, "version", 0, INT64_MAX) != state_version)
      throw Wrong("it is of another version");
    const auto list = json.find("mappings");
    if (list == json.end() || !list->is_array() || list->size() > agent_mappings_max)
      throw Wrong(fmt::format("\"mappings\" is no list of at most {}", agent_mappings_max));
    std::vector<StoredMapping> mappings;
    for (const Json& each : *list) {
      mappings.push_back(mapping_of(each, [&](std::int64_t wall) {
        // A clock that was set back must not make a mapping immortal.
        const Nanoseconds left = std::min<Nanoseconds>(Seconds{wall} - wall_now, std::chrono::hours{24});
        return now + left;
      }));
      for (const client::Held& held : mappings.back().held)
        if (!mappings.back().nonces.contains(held.server))
          throw Wrong(fmt::format("there is no nonce of \"{}\"", held.server));
    }
    return mappings;
  });
}

auto is_for_agent(const client::Wish& wish) -> bool {
  // What arrives as something else can't be said.
  const auto arrived = parsed(dump(json_of(wish)), [](const Json& json) { return wish_of(json); });
  return arrived && *arrived == wish;
}

auto encode_request(const AgentRequest& request) -> std::string {
  if (request.kind == AgentRequest::Kind::list) return R"({"do":"list"})";
  Json json = json_of(request.wish);
  json["do"] = request.kind == AgentRequest::Kind::add ? "add" : "drop";
  return dump(json);
}

auto parse_request(std::string_view line) -> std::expected<AgentRequest, std::string> {
  return parsed(line, [](const Json& json) {
    if (!json.is_object()) throw Wrong("there is no object");
    const std::string what = text_at(json, "do");
    AgentRequest request;
    if (what == "list") return request;
    if (what != "add" && what != "drop") throw Wrong("\"do\" is neither list, add nor drop");
    request.kind = what == "add" ? AgentRequest::Kind::add : AgentRequest::Kind::drop;
    request.wish = wish_of(json);
    return request;
  });
}

auto encode_reply(const AgentReply& reply, TimePoint now) -> std::string {
  if (!reply.error.empty()) return dump(Json{{"error", reply.error}});
  if (!reply.mapping) return R"({"done":true})";
  return dump(Json{{"mapping", json_of(*reply.mapping, [now](TimePoint expires) {
                      return std::max<std::int64_t>(0, seconds(expires - now));
                    })}});
}

auto parse_reply(std::string_view line, TimePoint now) -> std::expected<AgentReply, std::string> {
  return parsed(line, [now](const Json& json) {
    AgentReply reply;
    if (!json.is_object()) throw Wrong("there is no object");
    if (json.contains("error")) reply.error = text_at(json, "error");
    if (json.contains("mapping"))
      reply.mapping = mapping_of(json["mapping"], [now](std::int64_t left) { return now + Seconds{left}; });
    return reply;
  });
}

}  // namespace portolan
