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

constexpr std::string_view not_in_pool = "is not in the device's pool: add it there, or take one that is";

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

  /// Whether one of the devices can have it.
  void check_device(const StaticMapping& mapping) {
    const bool is_inside_ipv4 = mapping.key.internal_address.is_ipv4();
    const bool is_outside_ipv4 = mapping.external_address.is_ipv4();
    if (settings_.has(DeviceKind::simulated))
      check_simulated(mapping);
    else if (!is_inside_ipv4 && is_outside_ipv4 &&
             (settings_.has(DeviceKind::nat64) || settings_.has(DeviceKind::nat64_remote)))
      check_nat64(mapping);
    else if (is_inside_ipv4 && is_outside_ipv4 && settings_.has(DeviceKind::nat44))
      check_nat44(mapping);
    else if (!is_inside_ipv4 && !is_outside_ipv4 && settings_.has(DeviceKind::firewall6))
      check_firewall6(mapping);
    else
      fail("internal_address",
           fmt::format("and external_address are {} and {}: no device maps the one to the other",
                       mapping.key.internal_address.family(), mapping.external_address.family()));
    if (mapping.key.protocol == Protocol::udp && (mapping.external_port == Port{wire::client_port} ||
                                                  mapping.external_port == Port{wire::server_port}))
      fail("external_port", "is a port of PCP itself, which no host may have (RFC 6887 s11.3)");
  }

  void check_simulated(const StaticMapping& mapping) {
    const SimulatedSettings& simulated = settings_.simulated;
    if (std::ranges::find(simulated.pool, mapping.external_address) == simulated.pool.end())
      fail("external_address", not_in_pool);
    if (mapping.external_port < simulated.first_port || mapping.external_port > simulated.last_port)
      fail("external_port", "is not between simulated.first_port and simulated.last_port");
  }

  void check_nat64(const StaticMapping& mapping) {
    const auto contains = [&](const nat::PoolRange& range) {
      return range.contains(mapping.external_address.ipv4());
    };
    // Only the gateway itself knows the pool of another process.
    if (settings_.has(DeviceKind::nat64) && std::ranges::none_of(settings_.nat64.pool, contains))
      fail("external_address", not_in_pool);
    if (contains_address(gateway::all_prefixes(settings_.nat64), mapping.key.internal_address))
      fail("internal_address", "must be an IPv6 address outside nat64.prefix");
  }

  void check_nat44(const StaticMapping& mapping) {
    const device::Nat44Settings& nat44 = settings_.nat44;
    // Without a pool the address is the interface's, whichever that is by then.
    if (!nat44.pool.empty() &&
        std::ranges::find(nat44.pool, mapping.external_address.ipv4()) == nat44.pool.end())
      fail("external_address", not_in_pool);
    if (!nat44.explicit_ports.contains(mapping.external_port))
      fail("external_port", fmt::format("is not among nat44.explicit_ports, {} to {}",
                                        nat44.explicit_ports.first, nat44.explicit_ports.last));
    if (!contains_address(nat44.inside, mapping.key.internal_address))
      fail("internal_address", "is in none of the prefixes of nat44.inside");
  }

  void check_firewall6(const StaticMapping& mapping) {
    if (!contains_address(settings_.firewall6.inside, mapping.key.internal_address))
      fail("internal_address", "is in none of the prefixes of firewall6.inside");
    if (mapping.external_address != mapping.key.internal_address)
      fail("external_address", "must be mapping.internal_address: a firewall translates nothing");
    if (mapping.external_port != mapping.key.internal_port)
      fail("external_port", "must be mapping.internal_port: a firewall translates nothing");
  }

  static auto contains_address(const std::vector<Prefix>& prefixes, const IpAddress& address) -> bool {
    return std::ranges::any_of(prefixes, [&](const Prefix& prefix) { return prefix.contains(address); });
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
  std::map<std::tuple<Protocol, IpAddress, Port, Family>, unsigned> internal;
  std::map<std::tuple<Protocol, IpAddress, Port, Family>, unsigned> external;
  for (const toml::table* table : reader.tables(root, "mapping", mappings_max)) {
    auto mapping = MappingReader(reader, *table, settings).read();
    if (!mapping) continue;
    const unsigned line = table->source().begin.line;
    const auto claim = [&](auto& claimed, std::string_view key, const IpAddress& address, Port port) {
      const auto [other, is_new] =
          claimed.try_emplace({mapping->key.protocol, address, port, mapping->key.external_family}, line);
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
