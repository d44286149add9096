// SPDX-License-Identifier: BSD-2-Clause
#include "portoland/config_mapping.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "server/requests.h"
#include "wire/protocol.h"

namespace portolan::portoland::detail {
namespace {

constexpr std::size_t mappings_max = 10'000;
/// As many as a device takes for one mapping.
constexpr std::size_t peers_max = 8;

using StaticMapping = server::Config::StaticMapping;

/// One table mapping.
class MappingReader {
 public:
  MappingReader(Reader& reader, const toml::table& table, const Settings& settings)
      : reader_(reader), table_(table), settings_(settings) {}

  /// Nothing if something is wrong with it.
  auto read() -> std::optional<StaticMapping> {
    reader_.refuse_unknown(table_, "mapping.",
                           {"protocol", "internal_address", "internal_port", "external_address",
                            "external_port", "description", "peers"});
    StaticMapping mapping;
    mapping.key.protocol = protocol();
    mapping.key.internal_address = address("internal_address", "2001:db8:112::1");
    mapping.key.internal_port = port("internal_port");
    mapping.external_address = address("external_address", "192.0.2.14");
    mapping.external_port = port("external_port");
    mapping.key.external_family = mapping.external_address.family();
    if (is_whole_) check_device(mapping);
    if (auto text = reader_.text(table_, "mapping.", "description")) {
      if (text->size() > server::description_octets_max)
        fail("description", fmt::format("must be at most {} octets", server::description_octets_max));
      mapping.description = std::move(*text);
    }
    if (table_.get("peers") != nullptr) read_peers(mapping);
    return is_whole_ ? std::optional(std::move(mapping)) : std::nullopt;
  }

 private:
  void fail(std::string_view key, std::string_view problem) {
    is_whole_ = false;
    reader_.fail(*table_.get(key), fmt::format("mapping.{}", key), problem);
  }
  auto is_there(std::string_view key, std::string_view remedy) -> bool {
    if (table_.get(key) != nullptr) return true;
    is_whole_ = false;
    reader_.fail_missing(table_, fmt::format("mapping.{}", key), remedy);
    return false;
  }

  auto protocol() -> Protocol {
    if (!is_there("protocol", "write protocol = \"tcp\" or \"udp\"")) return {};
    const auto text = reader_.text(table_, "mapping.", "protocol");
    if (text == "tcp") return Protocol::tcp;
    if (text == "udp") return Protocol::udp;
    is_whole_ = false;
    if (text) fail("protocol", "must be \"tcp\" or \"udp\"");
    return {};
  }

  auto address(std::string_view key, std::string_view example) -> IpAddress {
    if (!is_there(key, fmt::format("write {} = \"{}\"", key, example))) return {};
    const auto text = reader_.text(table_, "mapping.", key);
    const auto address = text ? IpAddress::parse(*text) : std::nullopt;
    if (text && !address) fail(key, fmt::format("is no address: write it as \"{}\"", example));
    is_whole_ = is_whole_ && address;
    return address.value_or(IpAddress{});
  }

  auto port(std::string_view key) -> Port {
    Port port{0};
    if (!is_there(key, fmt::format("write {} = 8080", key))) return port;
    reader_.number(table_, "mapping.", key, 1, 65535, "",
                   [&](auto value) { port = Port{static_cast<std::uint16_t>(value)}; });
    is_whole_ = is_whole_ && port != Port{0};
    return port;
  }

  void check_device(const StaticMapping& mapping) {
    const bool is_nat64 = settings_.device != DeviceKind::simulated;
    const IpAddress& external = mapping.external_address;
    const bool is_in_pool =
        is_nat64 ? external.is_ipv4() && std::ranges::any_of(settings_.nat64.pool,
                                                             [&](const nat::PoolRange& range) {
                                                               return range.contains(external.ipv4());
                                                             })
                 : std::ranges::find(settings_.simulated.pool, external) != settings_.simulated.pool.end();
    // Only the gateway itself knows the pool of another process.
    if (!is_in_pool && settings_.device != DeviceKind::nat64_remote)
      fail("external_address", "is not in the device's pool: add it there, or take one that is");
    const IpAddress& internal = mapping.key.internal_address;
    const auto is_translated = [&] {
      return std::ranges::any_of(gateway::all_prefixes(settings_.nat64),
                                 [&](const Prefix& prefix) { return prefix.contains(internal); });
    };
    if (is_nat64 && (internal.is_ipv4() || is_translated()))
      fail("internal_address", "must be an IPv6 address outside nat64.prefix");
    if (!is_nat64 && (mapping.external_port < settings_.simulated.first_port ||
                      mapping.external_port > settings_.simulated.last_port))
      fail("external_port", "is not between simulated.first_port and simulated.last_port");
    if (mapping.key.protocol == Protocol::udp && (mapping.external_port == Port{wire::client_port} ||
                                                  mapping.external_port == Port{wire::server_port}))
      fail("external_port", "is a port of PCP itself, which no host may have (RFC 6887 s11.3)");
  }

  void read_peers(StaticMapping& mapping) {
    reader_.texts(table_, "mapping.", "peers", "[\"2001:db8:64:ff9b::c633:6400/120\"]",
                  [&](const std::string& text, const toml::node& node) {
                    const auto peers = Prefix::parse(text);
                    if (peers && peers->address().family() == mapping.key.internal_address.family()) {
                      mapping.filters.push_back({.remote_peers = *peers, .remote_port = {}});
                      return;
                    }
                    is_whole_ = false;
                    reader_.fail(node, "mapping.peers",
                                 "is no prefix of the internal address's family, in which the host sees its "
                                 "peers");
                  });
    if (mapping.filters.size() > peers_max)
      fail("peers", fmt::format("must be at most {} prefixes", peers_max));
  }

  Reader& reader_;
  const toml::table& table_;
  const Settings& settings_;
  bool is_whole_ = true;
};

}  // namespace

void read_mappings(Reader& reader, const toml::table& root, Settings& settings) {
  // Lines of the tables that have an endpoint already.
  std::map<std::tuple<Protocol, IpAddress, Port>, unsigned> internal;
  std::map<std::tuple<Protocol, IpAddress, Port>, unsigned> external;
  for (const toml::table* table : reader.tables(root, "mapping", mappings_max)) {
    auto mapping = MappingReader(reader, *table, settings).read();
    if (!mapping) continue;
    const unsigned line = table->source().begin.line;
    const auto claim = [&](auto& claimed, std::string_view key, const IpAddress& address, Port port) {
      const auto [other, is_new] = claimed.try_emplace({mapping->key.protocol, address, port}, line);
      if (!is_new)
        reader.fail(*table->get(key), fmt::format("mapping.{}", key),
                    fmt::format("has this port in line {} already: change one of the two", other->second));
    };
    claim(internal, "internal_address", mapping->key.internal_address, mapping->key.internal_port);
    claim(external, "external_address", mapping->external_address, mapping->external_port);
    settings.server.static_mappings.push_back(std::move(*mapping));
  }
}

}  // namespace portolan::portoland::detail
