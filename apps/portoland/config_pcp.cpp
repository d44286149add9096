// SPDX-License-Identifier: BSD-2-Clause
#include "portoland/config_pcp.h"

#include <algorithm>
#include <set>
#include <span>

#include "gateway/nat64_pool_reader.h"
#include "wire/options.h"

namespace portolan::portoland::detail {
namespace {

constexpr std::size_t users_max = 1'000'000;
constexpr std::size_t prefix64_max = 32;
constexpr std::size_t third_party_ids_max = 4096;
/// As many octets as the option may have (RFC 7843 s4).
constexpr std::size_t third_party_id_octets_max = 1016;

void read_protocols(Reader& reader, const toml::table& table, std::string_view where,
                    server::Policy& policy) {
  if (table.get("protocols") == nullptr) return;
  policy.protocols.clear();
  reader.texts(table, where, "protocols", "[\"tcp\", \"udp\"]",
               [&](const std::string& text, const toml::node& node) {
                 if (const auto protocol = parse_protocol(text))
                   policy.protocols.push_back(*protocol);
                 else
                   reader.fail(node, fmt::format("{}protocols", where),
                               "is no protocol: write \"tcp\", \"udp\", \"sctp\" or a number such as \"47\"");
               });
}

/// Rights and limits, in table pcp for everybody and in tables user for some.
void read_policy(Reader& reader, const toml::table& table, std::string_view where, server::Policy& policy) {
  reader.flag(table, where, "map", policy.map);
  reader.flag(table, where, "peer", policy.peer);
  reader.flag(table, where, "third_party", policy.third_party);
  if (const auto nonce = reader.text(table, where, "nonce")) {
    if (*nonce == "relaxed")
      policy.nonce = server::NoncePolicy::relaxed;
    else if (*nonce == "strict")
      policy.nonce = server::NoncePolicy::strict;
    else
      reader.fail(*table.get("nonce"), fmt::format("{}nonce", where), "must be \"strict\" or \"relaxed\"");
  }
  read_protocols(reader, table, where, policy);
  gateway::read_port_range(reader, table, where, "internal_ports", policy.internal_ports);
  gateway::read_port_range(reader, table, where, "external_ports", policy.external_ports);
  reader.number(table, where, "mappings_per_user_max", 1, 100'000'000, "",
                [&](auto value) { policy.mappings_max = static_cast<std::uint32_t>(value); });
  reader.number(table, where, "filters_max", 1, 64, "; RFC 6887 s13.3 wants at least one",
                [&](auto value) { policy.filters_max = static_cast<std::uint32_t>(value); });
  reader.number(table, where, "port_set_max", 1, 4096, "; 1 grants no port sets",
                [&](auto value) { policy.port_set_max = static_cast<std::uint16_t>(value); });
}

/// What the device gives a user, for its own traffic too.
void read_allotment(Reader& reader, const toml::table& table, const PortRange& external_ports,
                    server::Allotment& allotment) {
  if (table.get("external_ports") != nullptr) allotment.external_ports = external_ports;
  if (const auto text = reader.text(table, "user.", "external_address")) {
    if (const auto address = IpAddress::parse(*text); address && !address->is_unspecified())
      allotment.external_address = *address;
    else
      reader.fail(*table.get("external_address"), "user.external_address",
                  "is no address of a pool, such as \"192.0.2.14\"");
  }
  const auto limit = [&](std::string_view key, std::uint32_t& value) {
    reader.number(table, "user.", key, 1, 100'000'000, "; leave it out for what everybody has",
                  [&](auto number) { value = static_cast<std::uint32_t>(number); });
  };
  limit("ports_per_subscriber_max", allotment.ports_max);
  limit("sessions_per_subscriber_max", allotment.sessions_max);
  limit("new_sessions_per_second_max", allotment.sessions_per_second_max);
  reader.number(table, "user.", "port_block_size", 0, nat::Allowance::port_block_max,
                ", a multiple of 64; 0 gives ports one by one", [&](auto value) {
                  if (value == 0)
                    allotment.port_block_size = nat::Allowance::no_port_blocks;
                  else if (value % 64 == 0)
                    allotment.port_block_size = static_cast<std::uint16_t>(value);
                  else
                    reader.fail(*table.get("port_block_size"), "user.port_block_size",
                                "must be a multiple of 64");
                });
}

/// The prefix `key` of `table`, of `family` if given.
auto read_prefix(Reader& reader, const toml::table& table, std::string_view where, std::string_view key)
    -> std::optional<Prefix> {
  const auto name = fmt::format("{}{}", where, key);
  if (table.get(key) == nullptr) {
    reader.fail_missing(table, name, fmt::format("write {} = \"2001:db8:112::/64\"", key));
    return {};
  }
  const auto text = reader.text(table, where, key);
  if (!text) return {};
  const auto prefix = Prefix::parse(*text);
  if (!prefix)
    reader.fail(
        *table.get(key), name,
        "is no prefix: write it as \"2001:db8:112::/64\" or \"192.0.2.0/24\", without bits behind the "
        "length");
  return prefix;
}

}  // namespace

void read_pcp(Reader& reader, const toml::table& root, Settings& settings) {
  const toml::table* pcp = reader.table(root, "pcp");
  if (pcp == nullptr) return;
  reader.refuse_unknown(*pcp, "pcp.",
                        {"listen_port",
                         "receive_buffer",
                         "check_return_path",
                         "minimum_lifetime",
                         "maximum_lifetime",
                         "short_error_lifetime",
                         "long_error_lifetime",
                         "mappings_max",
                         "epoch",
                         "announcements",
                         "nat_pmp",
                         "version_1",
                         "experimental_prefix64",
                         "port_reservation",
                         "unsupp_family",
                         "relaxed_nonce_answer",
                         "third_party_id_required",
                         "map",
                         "peer",
                         "third_party",
                         "nonce",
                         "protocols",
                         "internal_ports",
                         "external_ports",
                         "mappings_per_user_max",
                         "filters_max",
                         "port_set_max"});
  server::Config& server = settings.server;
  reader.number(*pcp, "pcp.", "listen_port", 1, 65535, "; 5351 is where clients ask",
                [&](auto value) { settings.listen_port = Port{static_cast<std::uint16_t>(value)}; });
  reader.number(*pcp, "pcp.", "receive_buffer", 65536, 1'073'741'824, " octets",
                [&](auto value) { settings.receive_buffer_bytes = static_cast<std::size_t>(value); });
  reader.flag(*pcp, "pcp.", "check_return_path", settings.check_return_path);
  const auto longest = server::lifetime_max.count();
  reader.number(*pcp, "pcp.", "minimum_lifetime", 1, longest, " seconds; 120 is what RFC 6887 recommends",
                [&](auto value) { server.minimum_lifetime = Seconds{value}; });
  reader.number(*pcp, "pcp.", "maximum_lifetime", 1, longest, " seconds; 86400 is what RFC 6887 recommends",
                [&](auto value) { server.maximum_lifetime = Seconds{value}; });
  if (server.minimum_lifetime > server.maximum_lifetime)
    reader.fail_at(pcp->source().begin.line,
                   fmt::format("pcp.minimum_lifetime ({} s) is longer than pcp.maximum_lifetime ({} s): "
                               "lower the one or raise the other",
                               server.minimum_lifetime.count(), server.maximum_lifetime.count()));
  reader.number(*pcp, "pcp.", "mappings_max", 1, 100'000'000, "",
                [&](auto value) { server.mappings_max = static_cast<std::size_t>(value); });
  reader.number(*pcp, "pcp.", "short_error_lifetime", 0, longest, " seconds; RFC 6887 recommends 30",
                [&](auto value) { server.short_error_lifetime = Seconds{value}; });
  reader.number(*pcp, "pcp.", "long_error_lifetime", 0, longest, " seconds; RFC 6887 recommends 1800",
                [&](auto value) { server.long_error_lifetime = Seconds{value}; });
  reader.number(*pcp, "pcp.", "announcements", 0, 10, "",
                [&](auto value) { server.announcements = static_cast<unsigned>(value); });
  reader.flag(*pcp, "pcp.", "nat_pmp", server.nat_pmp);
  reader.flag(*pcp, "pcp.", "version_1", server.version_1);
  reader.flag(*pcp, "pcp.", "experimental_prefix64", server.experimental_prefix64);
  reader.flag(*pcp, "pcp.", "port_reservation", server.port_reservation);
  reader.flag(*pcp, "pcp.", "unsupp_family", server.unsupp_family);
  reader.flag(*pcp, "pcp.", "relaxed_nonce_answer", server.relaxed_nonce_answer);
  reader.flag(*pcp, "pcp.", "third_party_id_required", server.third_party_id_required);
  if (const auto scope = reader.text(*pcp, "pcp.", "epoch")) {
    if (*scope == "subscriber")
      server.epoch_scope = server::EpochScope::subscriber;
    else if (*scope != "server")
      reader.fail(*pcp->get("epoch"), "pcp.epoch", "must be \"server\" or \"subscriber\"");
  }
  read_policy(reader, *pcp, "pcp.", server.policy);
}

void read_users(Reader& reader, const toml::table& root, Settings& settings) {
  std::set<Prefix> seen;
  for (const toml::table* table : reader.tables(root, "user", users_max)) {
    reader.refuse_unknown(*table, "user.",
                          {"prefix", "subscriber_prefix_length", "map", "peer", "third_party", "nonce",
                           "protocols", "internal_ports", "external_ports", "mappings_per_user_max",
                           "filters_max", "port_set_max", "external_address", "ports_per_subscriber_max",
                           "sessions_per_subscriber_max", "new_sessions_per_second_max", "port_block_size"});
    const auto prefix = read_prefix(reader, *table, "user.", "prefix");
    server::Profile profile{
        .users = prefix.value_or(Prefix{}), .policy = settings.server.policy, .allotment = {}};
    reader.number(*table, "user.", "subscriber_prefix_length", 32, 128, "",
                  [&](auto value) { profile.subscriber_prefix_length = static_cast<std::uint8_t>(value); });
    read_policy(reader, *table, "user.", profile.policy);
    read_allotment(reader, *table, profile.policy.external_ports, profile.allotment);
    if (prefix && !seen.insert(*prefix).second)
      reader.fail(*table->get("prefix"), "user.prefix", "is given twice: remove one of the tables");
    settings.server.profiles.push_back(std::move(profile));
  }
  for (const toml::table* table : reader.tables(root, "third_party_id", third_party_ids_max)) {
    reader.refuse_unknown(*table, "third_party_id.", {"id", "realm"});
    const auto id = reader.text(*table, "third_party_id.", "id");
    if (!id || id->empty() || id->size() > third_party_id_octets_max) {
      reader.fail_missing(*table, "third_party_id.id", "write the 1 to 1016 octets that clients send");
      continue;
    }
    Realm realm;
    reader.number(*table, "third_party_id.", "realm", 0, 65'535, "",
                  [&](auto value) { realm.value = static_cast<std::uint16_t>(value); });
    const auto octets = std::as_bytes(std::span(*id));
    settings.server.third_party_ids.emplace_back(std::vector(octets.begin(), octets.end()), realm);
  }
}

void read_prefix64(Reader& reader, const toml::table& root, Settings& settings) {
  auto& prefixes = settings.server.prefix64;
  for (const toml::table* table : reader.tables(root, "prefix64", prefix64_max)) {
    reader.refuse_unknown(*table, "prefix64.", {"prefix", "ipv4"});
    const auto prefix = read_prefix(reader, *table, "prefix64.", "prefix");
    if (prefix && (prefix->address().is_ipv4() || !wire::Prefix64::is_legal_length(prefix->length())))
      reader.fail(*table->get("prefix"), "prefix64.prefix",
                  "must be an IPv6 prefix of length 32, 40, 48, 56, 64 or 96");
    server::Config::Nat64Prefix nat64{.prefix = prefix.value_or(Prefix{}), .ipv4_prefixes = {}};
    if (table->get("ipv4") != nullptr)
      reader.texts(*table, "prefix64.", "ipv4", "[\"192.0.2.0/24\"]",
                   [&](const std::string& text, const toml::node& node) {
                     const auto ipv4 = Prefix::parse(text);
                     if (ipv4 && ipv4->address().is_ipv4())
                       nat64.ipv4_prefixes.push_back(*ipv4);
                     else
                       reader.fail(node, "prefix64.ipv4", "is no IPv4 prefix such as \"192.0.2.0/24\"");
                   });
    prefixes.push_back(std::move(nat64));
  }
  if (prefixes.empty() && settings.has(DeviceKind::nat64))
    for (const Prefix& prefix : gateway::all_prefixes(settings.nat64))
      prefixes.push_back({.prefix = prefix, .ipv4_prefixes = {}});
  // Those with lists first (RFC 7225 s4.2).
  std::ranges::stable_partition(prefixes, [](const auto& nat64) { return !nat64.ipv4_prefixes.empty(); });
}

}  // namespace portolan::portoland::detail
