// SPDX-License-Identifier: BSD-2-Clause
#include "store/json_rows.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <ctime>
#include <limits>
#include <optional>
#include <set>
#include <span>
#include <type_traits>
#include <utility>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace portolan::store {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr int format_version = 1;
/// A field that is shown in an error.
constexpr std::size_t shown_octets_max = 80;
/// Longest lifetime that a row may have: RFC 6887's field.
constexpr std::int64_t lifetime_max = std::numeric_limits<std::uint32_t>::max();

using Version = std::pair<Format, std::string_view>;
constexpr std::array versions{Version{Format::nat_pmp, "nat-pmp"}, Version{Format::pcp_1, "pcp-1"},
                              Version{Format::pcp_2, "pcp-2"}};

auto name_of(Family family) -> std::string_view { return family == Family::ipv4 ? "ipv4" : "ipv6"; }

auto hexadecimal(std::span<const std::byte> octets) -> std::string {
  std::string text;
  for (const std::byte octet : octets) text += fmt::format("{:02x}", std::to_integer<unsigned>(octet));
  return text;
}

auto octets_of(std::string_view text) -> std::optional<std::vector<std::byte>> {
  std::vector<std::byte> octets;
  if (text.size() % 2 != 0) return {};
  for (std::size_t at = 0; at < text.size(); at += 2) {
    std::uint8_t value = 0;
    const char* end = text.data() + at + 2;
    if (std::from_chars(text.data() + at, end, value, 16).ptr != end) return {};
    octets.push_back(std::byte{value});
  }
  return octets;
}

auto is_utf8(const std::string& text) -> bool {
  const std::string kept = json(text).dump(-1, ' ', false, json::error_handler_t::ignore);
  return json::parse(kept).get<std::string>() == text;
}

auto seconds_up(Nanoseconds time) -> std::int64_t {
  return std::max<std::int64_t>(std::chrono::ceil<Seconds>(time).count(), 0);
}

auto json_of(const std::vector<RemoteFilter>& filters) -> ordered_json {
  ordered_json list = ordered_json::array();
  for (const RemoteFilter& filter : filters)
    list.push_back({{"prefix", to_string(filter.remote_peers)}, {"port", filter.remote_port.value}});
  return list;
}

/// Text as it is where it can be; otherwise its octets.
void add_text(ordered_json& object, const char* name, const char* octets_name, const std::string& text) {
  if (is_utf8(text))
    object[name] = text;
  else
    object[octets_name] = hexadecimal(std::as_bytes(std::span(text)));
}

void add_key(ordered_json& object, const MappingKey& key) {
  if (key.realm.value != 0) object["realm"] = key.realm.value;
  object["internal-src-address"] = to_string(key.internal_address);
  object["internal-src-port"] = key.internal_port.value;
  object["transport-protocol"] = to_string(key.protocol);
  object["external-family"] = name_of(key.external_family);
}

auto json_of(const PutMapping& row, TimePoint now) -> ordered_json {
  const Contract& contract = row.contract;
  ordered_json mapping;
  add_key(mapping, contract.key.mapping);
  if (contract.key.is_peer()) {
    mapping["internal-dst-address"] = to_string(contract.key.remote_peer.address);
    mapping["internal-dst-port"] = contract.key.remote_peer.port.value;
  }
  mapping["external-src-address"] = to_string(contract.external_address);
  mapping["external-src-port"] = contract.external_port.value;
  if (contract.port_count != 1) mapping["port-count"] = contract.port_count;
  mapping["lifetime"] = seconds_up(contract.expires - now);
  mapping["nonce"] = to_string(contract.nonce);
  mapping["format"] = std::ranges::find(versions, contract.format, &Version::first)->second;
  mapping["subscriber"] = to_string(contract.subscriber);
  mapping["epoch"] = std::chrono::floor<Seconds>(now - row.state_since).count();
  mapping["client-port"] = contract.client_port.value;
  mapping["path"] = contract.path;
  if (contract.prefer_failure) mapping["prefer-failure"] = true;
  if (contract.preserve_parity) mapping["preserve-parity"] = true;
  if (!contract.details) return mapping;
  const ContractDetails& details = *contract.details;
  if (!details.filters.empty()) mapping["filters"] = json_of(details.filters);
  if (details.description) add_text(mapping, "description", "description-octets", *details.description);
  if (details.third_party_client) mapping["third-party-address"] = to_string(*details.third_party_client);
  if (!details.third_party_id.empty()) mapping["third-party-id"] = hexadecimal(details.third_party_id);
  return mapping;
}

auto text_of(const PortRange& ports) -> std::string {
  return fmt::format("{}-{}", ports.first.value, ports.last.value);
}

/// 0 and what is unspecified stand for what everybody has.
auto json_of(const Profile& user) -> ordered_json {
  const Policy& policy = user.policy;
  const Allotment& allotment = user.allotment;
  ordered_json object;
  object["subscriber"] = to_string(user.users);
  if (user.subscriber_prefix_length) object["subscriber-prefix-length"] = *user.subscriber_prefix_length;
  object["map"] = policy.map;
  object["peer"] = policy.peer;
  object["third-party"] = policy.third_party;
  object["nonce"] = policy.nonce == NoncePolicy::strict ? "strict" : "relaxed";
  object["protocols"] = ordered_json::array();
  for (const Protocol protocol : policy.protocols) object["protocols"].push_back(to_string(protocol));
  object["internal-ports"] = text_of(policy.internal_ports);
  object["port-range"] = text_of(policy.external_ports);
  object["mappings-per-user-max"] = policy.mappings_max;
  object["filters-max"] = policy.filters_max;
  object["port-set-max"] = policy.port_set_max;
  object["external-src-address"] = to_string(allotment.external_address);
  object["given-ports"] = text_of(allotment.external_ports);
  object["port-block-size"] = allotment.port_block_size;
  object["ports-per-subscriber-max"] = allotment.ports_max;
  object["sessions-per-subscriber-max"] = allotment.sessions_max;
  object["new-sessions-per-second-max"] = allotment.sessions_per_second_max;
  return object;
}

auto json_of(const StaticMapping& mapping, TimePoint now) -> ordered_json {
  ordered_json object;
  add_key(object, mapping.key);
  object["external-src-address"] = to_string(mapping.external_address);
  object["external-src-port"] = mapping.external_port.value;
  if (!mapping.filters.empty()) object["filters"] = json_of(mapping.filters);
  if (!mapping.description.empty())
    add_text(object, "description", "description-octets", mapping.description);
  if (mapping.expires) object["lifetime"] = seconds_up(*mapping.expires - now);
  return object;
}

/// Reads the fields of one object, and says of each what is wrong with it.
class Fields {
 public:
  Fields(const json& object, std::vector<std::string>& errors) : object_(object), errors_(errors) {}

  [[nodiscard]] auto has(const char* name) const -> bool { return object_.contains(name); }

  auto number(const char* name, std::int64_t least, std::int64_t most) -> std::int64_t {
    const json* value = find(name);
    if (value == nullptr) return least;
    const bool fits = value->is_number_unsigned()
                          ? value->get<std::uint64_t>() <=
                                static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())
                          : value->is_number_integer();
    if (fits && value->get<std::int64_t>() >= least && value->get<std::int64_t>() <= most)
      return value->get<std::int64_t>();
    fail(name, *value, fmt::format("must be a number from {} to {}", least, most));
    return least;
  }
  template <typename Number>
  auto number(const char* name, Number least = 0, Number most = std::numeric_limits<Number>::max())
      -> Number {
    return static_cast<Number>(number(name, std::int64_t{least}, std::int64_t{most}));
  }
  auto flag(const char* name) -> bool {
    if (!has(name)) return false;
    const json* value = find(name);
    if (value->is_boolean()) return value->get<bool>();
    fail(name, *value, "must be true or false");
    return false;
  }
  auto text(const char* name, std::size_t octets_max) -> std::string {
    const json* value = find(name);
    if (value == nullptr) return {};
    if (value->is_string() && value->get_ref<const std::string&>().size() <= octets_max)
      return value->get<std::string>();
    fail(name, *value, fmt::format("must be text of at most {} octets", octets_max));
    return {};
  }
  /// What `parse` makes of text.
  template <typename Parse>
  auto parsed(const char* name, const char* wanted, Parse parse) {
    using Value = typename std::invoke_result_t<Parse, std::string>::value_type;
    const json* value = find(name);
    if (value == nullptr) return Value{};
    if (value->is_string())
      if (auto made = parse(value->get<std::string>())) return *std::move(made);
    fail(name, *value, fmt::format("must be {}", wanted));
    return Value{};
  }
  auto address(const char* name) -> IpAddress {
    return parsed(name, "an IPv4 or IPv6 address",
                  [](const std::string& text) { return IpAddress::parse(text); });
  }
  auto prefix(const char* name) -> Prefix {
    return parsed(name, "a prefix, like \"2001:db8::/64\", with no bits set behind its length",
                  [](const std::string& text) { return Prefix::parse(text); });
  }
  auto octets(const char* name, std::size_t octets_max) -> std::vector<std::byte> {
    return parsed(name, "an even number of hexadecimal digits", [&](const std::string& text) {
      return text.size() <= 2 * octets_max ? octets_of(text) : std::nullopt;
    });
  }
  auto filters(const char* name) -> std::vector<RemoteFilter> {
    std::vector<RemoteFilter> filters;
    if (!has(name)) return filters;
    const json* list = find(name);
    if (!list->is_array() || list->size() > filters_max) {
      fail(name, *list, fmt::format("must be a list of at most {} filters", filters_max));
      return filters;
    }
    for (const json& one : *list) {
      if (!one.is_object()) {
        fail(name, one, "must be an object with prefix and port");
        continue;
      }
      Fields fields(one, errors_);
      filters.push_back({.remote_peers = fields.prefix("prefix"),
                         .remote_port = Port{fields.number<std::uint16_t>("port")}});
      fields.refuse_others();
    }
    return filters;
  }
  /// Octets that are text where they can be.
  auto text_or_octets(const char* name, const char* octets_name) -> std::optional<std::string> {
    constexpr std::size_t octets_max = 65'535;
    if (has(name)) return text(name, octets_max);
    if (!has(octets_name)) return {};
    const auto found = octets(octets_name, octets_max);
    return std::string(reinterpret_cast<const char*>(found.data()), found.size());
  }
  auto ports(const char* name) -> PortRange {
    return parsed(name, "a range of ports, like \"1024-65535\"", [](const std::string& text) {
      std::optional<PortRange> ports(std::in_place);
      const char* end = text.data() + text.size();
      const auto first = std::from_chars(text.data(), end, ports->first.value);
      if (first.ec != std::errc() || first.ptr == end || *first.ptr != '-') return std::optional<PortRange>();
      const auto last = std::from_chars(first.ptr + 1, end, ports->last.value);
      if (last.ec != std::errc() || last.ptr != end || ports->last < ports->first)
        return std::optional<PortRange>();
      return ports;
    });
  }
  auto protocols(const char* name) -> std::vector<Protocol> {
    std::vector<Protocol> protocols;
    const json* list = find(name);
    if (list == nullptr) return protocols;
    const bool is_list = list->is_array() && list->size() <= 256;
    if (!is_list) fail(name, *list, "must be a list of at most 256 protocols");
    for (const json& one : is_list ? *list : json::array()) {
      const auto protocol = one.is_string() ? parse_protocol(one.get<std::string>()) : std::nullopt;
      if (protocol)
        protocols.push_back(*protocol);
      else
        fail(name, one, "must be a protocol's name or number as text, like \"tcp\" or \"6\"");
    }
    return protocols;
  }
  auto key() -> MappingKey {
    MappingKey key;
    if (has("realm")) key.realm.value = number<std::uint16_t>("realm");
    key.internal_address = address("internal-src-address");
    key.internal_port.value = number<std::uint16_t>("internal-src-port");
    key.protocol = parsed("transport-protocol", "a protocol's name or number as text, like \"tcp\" or \"6\"",
                          [](const std::string& text) { return parse_protocol(text); });
    key.external_family = parsed("external-family", "\"ipv4\" or \"ipv6\"", [](const std::string& text) {
      for (const Family family : {Family::ipv4, Family::ipv6})
        if (text == name_of(family)) return std::optional(family);
      return std::optional<Family>();
    });
    return key;
  }
  void require(bool legal, const char* name, std::string_view wanted) {
    if (!legal) errors_.push_back(fmt::format("{} = {}: {}", name, shown(object_.at(name)), wanted));
  }
  /// To be called last.
  void refuse_others() {
    for (const auto& [name, value] : object_.items())
      if (!known_.contains(name))
        errors_.push_back(fmt::format("{}: is not known: remove it", shown(json(name))));
  }

 private:
  static constexpr std::size_t filters_max = 4096;

  static auto shown(const json& value) -> std::string {
    std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);
    if (text.size() > shown_octets_max) text = text.substr(0, shown_octets_max) + "...";
    return text;
  }
  void fail(const char* name, const json& value, std::string_view wanted) {
    errors_.push_back(fmt::format("{} = {}: {}", name, shown(value), wanted));
  }
  auto find(const char* name) -> const json* {
    known_.insert(name);
    const auto found = object_.find(name);
    if (found != object_.end()) return &*found;
    errors_.push_back(fmt::format("{}: is missing", name));
    return nullptr;
  }

  const json& object_;
  std::vector<std::string>& errors_;
  std::set<std::string> known_;
};

auto mapping_of(Fields& fields, TimePoint written) -> PutMapping {
  PutMapping row;
  Contract& contract = row.contract;
  contract.key.mapping = fields.key();
  if (fields.has("internal-dst-address") || fields.has("internal-dst-port"))
    contract.key.remote_peer = {fields.address("internal-dst-address"),
                                Port{fields.number<std::uint16_t>("internal-dst-port", 1)}};
  contract.external_address = fields.address("external-src-address");
  contract.external_port.value = fields.number<std::uint16_t>("external-src-port");
  if (fields.has("port-count")) {
    contract.port_count = fields.number<std::uint16_t>("port-count", 1);
    fields.require(
        std::uint32_t{contract.external_port.value} + contract.port_count <= 65'536 &&
            std::uint32_t{contract.key.mapping.internal_port.value} + contract.port_count <= 65'536,
        "port-count", "must leave no port above 65535");
  }
  contract.expires = written + Seconds{fields.number("lifetime", 0, lifetime_max)};
  contract.nonce = fields.parsed("nonce", "24 hexadecimal digits",
                                 [](const std::string& text) { return Nonce::parse(text); });
  contract.format =
      fields.parsed("format", "\"nat-pmp\", \"pcp-1\" or \"pcp-2\"", [](const std::string& text) {
        for (const auto& [format, name] : versions)
          if (text == name) return std::optional(format);
        return std::optional<Format>();
      });
  contract.subscriber = fields.prefix("subscriber");
  row.state_since = written - Seconds{fields.number("epoch", 0, lifetime_max)};
  contract.client_port.value = fields.number<std::uint16_t>("client-port");
  contract.path = fields.number<std::uint16_t>("path");
  contract.prefer_failure = fields.flag("prefer-failure");
  contract.preserve_parity = fields.flag("preserve-parity");
  constexpr std::size_t octets_max = 65'535;
  ContractDetails details;
  details.filters = fields.filters("filters");
  details.description = fields.text_or_octets("description", "description-octets");
  if (fields.has("third-party-address")) details.third_party_client = fields.address("third-party-address");
  if (fields.has("third-party-id")) details.third_party_id = fields.octets("third-party-id", octets_max);
  if (!details.is_empty()) contract.details = SharedDetails(std::move(details));
  return row;
}

auto user_of(Fields& fields) -> PutUser {
  PutUser row;
  Policy& policy = row.user.policy;
  Allotment& allotment = row.user.allotment;
  row.user.users = fields.prefix("subscriber");
  if (fields.has("subscriber-prefix-length"))
    row.user.subscriber_prefix_length = fields.number<std::uint8_t>("subscriber-prefix-length", 0, 128);
  policy.map = fields.flag("map");
  policy.peer = fields.flag("peer");
  policy.third_party = fields.flag("third-party");
  policy.nonce = fields.parsed("nonce", "\"strict\" or \"relaxed\"", [](const std::string& text) {
    if (text == "strict") return std::optional(NoncePolicy::strict);
    return text == "relaxed" ? std::optional(NoncePolicy::relaxed) : std::nullopt;
  });
  policy.protocols = fields.protocols("protocols");
  policy.internal_ports = fields.ports("internal-ports");
  policy.external_ports = fields.ports("port-range");
  policy.mappings_max = fields.number<std::uint32_t>("mappings-per-user-max");
  policy.filters_max = fields.number<std::uint32_t>("filters-max", 1);
  policy.port_set_max = fields.number<std::uint16_t>("port-set-max", 1);
  allotment.external_address = fields.address("external-src-address");
  allotment.external_ports = fields.ports("given-ports");
  allotment.port_block_size = fields.number<std::uint16_t>("port-block-size");
  allotment.ports_max = fields.number<std::uint32_t>("ports-per-subscriber-max");
  allotment.sessions_max = fields.number<std::uint32_t>("sessions-per-subscriber-max");
  allotment.sessions_per_second_max = fields.number<std::uint32_t>("new-sessions-per-second-max");
  return row;
}

auto static_of(Fields& fields, TimePoint written) -> PutStatic {
  PutStatic row;
  row.mapping.key = fields.key();
  row.mapping.external_address = fields.address("external-src-address");
  row.mapping.external_port.value = fields.number<std::uint16_t>("external-src-port");
  row.mapping.filters = fields.filters("filters");
  row.mapping.description = fields.text_or_octets("description", "description-octets").value_or("");
  if (fields.has("lifetime"))
    row.mapping.expires = written + Seconds{fields.number("lifetime", 0, lifetime_max)};
  return row;
}

auto row_of(std::string_view kind, Fields& fields, TimePoint written) -> std::optional<Row> {
  if (kind == "mapping") return mapping_of(fields, written);
  if (kind == "user") return user_of(fields);
  if (kind == "static-mapping") return static_of(fields, written);
  if (kind == "epoch") return PutEpoch{written - Seconds{fields.number("epoch", 0, lifetime_max)}};
  if (kind == "path")
    return PutPath{.number = fields.number<std::uint16_t>("number"),
                   .local_address = fields.address("local-address"),
                   .interface = fields.text("interface", 255)};
  return {};
}

}  // namespace

auto to_utc(Nanoseconds wall) -> std::string {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                     fmt::gmtime(static_cast<std::time_t>(std::chrono::floor<Seconds>(wall).count())));
}

auto json_head(Nanoseconds wall) -> std::string {
  return ordered_json{{"portolan-store", format_version}, {"time", to_utc(wall)}}.dump();
}

auto parse_json_head(std::string_view line) -> std::expected<Nanoseconds, std::string> {
  const json head = json::parse(line, nullptr, false);
  if (!head.is_object() || !head.contains("portolan-store"))
    return std::unexpected("is not the beginning of a file that portoland --export wrote");
  if (head.at("portolan-store") != json(format_version))
    return std::unexpected(fmt::format("portolan-store = {}: this portoland knows {}",
                                       head.at("portolan-store").dump(), format_version));
  const std::string time = head.value("time", json()).is_string() ? head.at("time").get<std::string>() : "";
  int year = 0;
  unsigned month = 0;
  unsigned day = 0;
  std::int64_t hour = 0;
  std::int64_t minute = 0;
  std::int64_t second = 0;
  const auto field = [&](std::size_t at, std::size_t size, auto& value) {
    const char* end = time.data() + at + size;
    return std::from_chars(time.data() + at, end, value).ptr == end;
  };
  const bool has_fields = time.size() == 20 && field(0, 4, year) && field(5, 2, month) && field(8, 2, day) &&
                          field(11, 2, hour) && field(14, 2, minute) && field(17, 2, second);
  const std::chrono::year_month_day date{std::chrono::year{year}, std::chrono::month{month},
                                         std::chrono::day{day}};
  // Nanoseconds since 1970 fit for some centuries.
  if (has_fields && date.ok() && year >= 1970 && year < 2200) {
    const Nanoseconds wall = std::chrono::sys_days{date}.time_since_epoch() + std::chrono::hours{hour} +
                             std::chrono::minutes{minute} + Seconds{second};
    if (to_utc(wall) == time) return wall;
  }
  return std::unexpected(
      fmt::format("time = \"{}\": must be like \"2026-11-26T18:00:00Z\"", time.substr(0, shown_octets_max)));
}

auto to_json(const Row& row, TimePoint now) -> std::string {
  ordered_json line;
  if (const auto* mapping = std::get_if<PutMapping>(&row))
    line["mapping"] = json_of(*mapping, now);
  else if (const auto* epoch = std::get_if<PutEpoch>(&row))
    line["epoch"] = {{"epoch", std::chrono::floor<Seconds>(now - epoch->base).count()}};
  else if (const auto* path = std::get_if<PutPath>(&row))
    line["path"] = {{"number", path->number},
                    {"local-address", to_string(path->local_address)},
                    {"interface", path->interface}};
  else if (const auto* user = std::get_if<PutUser>(&row))
    line["user"] = json_of(user->user);
  else if (const auto* fixed = std::get_if<PutStatic>(&row))
    line["static-mapping"] = json_of(fixed->mapping, now);
  return line.dump(-1, ' ', false, json::error_handler_t::replace);
}

auto parse_json(std::string_view line, TimePoint written) -> std::expected<Row, std::vector<std::string>> {
  std::vector<std::string> errors;
  const json object = json::parse(line, nullptr, false);
  if (object.is_discarded())
    return std::unexpected(std::vector{std::string("is not JSON, or the line is not whole")});
  if (!object.is_object() || object.size() != 1 || !object.begin().value().is_object())
    return std::unexpected(std::vector{std::string("must be an object with one member, which is an object")});
  const std::string& kind = object.begin().key();
  Fields fields(object.begin().value(), errors);
  auto row = row_of(kind, fields, written);
  if (!row) return std::unexpected(std::vector{fmt::format("{}: is no kind of row", json(kind).dump())});
  fields.refuse_others();
  if (!errors.empty()) return std::unexpected(std::move(errors));
  return *std::move(row);
}

}  // namespace portolan::store
