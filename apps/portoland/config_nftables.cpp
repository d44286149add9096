// SPDX-License-Identifier: BSD-2-Clause
#include "portoland/config_nftables.h"

#include <algorithm>
#include <optional>

#include "gateway/nat64_pool_reader.h"
#include "nat/pool_range.h"

namespace portolan::portoland::detail {
namespace {

using device::Firewall6Settings;
using device::Nat44Settings;

/// Of a table's elements, as the kernel holds them.
constexpr std::uint32_t elements_max = 16'777'216;
/// The host's own traffic, and that of its users, begins here.
constexpr Port implicit_port_min{1024};

/// One of the two tables: what both may say.
class TableReader {
 public:
  TableReader(Reader& reader, const toml::table& table, std::string_view name, Family family,
              const Settings& settings)
      : reader_(reader),
        table_(table),
        where_(fmt::format("{}.", name)),
        family_(family),
        settings_(settings) {}

  [[nodiscard]] auto name(std::string_view key) const -> std::string {
    return fmt::format("{}{}", where_, key);
  }
  void fail(std::string_view key, std::string_view problem) {
    reader_.fail(*table_.get(key), name(key), problem);
  }

  void outside(std::string& outside) {
    if (table_.get("outside") == nullptr)
      return reader_.fail_missing(table_, name("outside"),
                                  "write outside = \"wan0\", the interface towards the Internet");
    auto interface = reader_.interface(table_, where_, "outside");
    if (!interface) return;
    outside = *std::move(interface);
    if (std::ranges::find(settings_.inside, outside, &InsideInterface::interface) != settings_.inside.end())
      fail("outside", "is an [[inside]] interface too: hosts are on one side, the Internet is on the other");
  }

  void inside(std::vector<Prefix>& inside) {
    const bool is_ipv4 = family_ == Family::ipv4;
    const std::string_view example = is_ipv4 ? "192.0.2.0/24" : "2001:db8:112::/48";
    reader_.texts(
        table_, where_, "inside", fmt::format("[\"{}\"]", example),
        [&](const std::string& text, const toml::node& node) {
          const auto fail = [&](std::string_view problem) { reader_.fail(node, name("inside"), problem); };
          const auto prefix = Prefix::parse(text);
          if (!prefix || prefix->address().family() != family_)
            return fail(fmt::format("is no {} prefix: write it as \"{}\", without bits behind the length",
                                    family_, example));
          if (prefix->address().is_unspecified())
            return fail("has addresses that are no hosts': write the prefixes of the inside networks");
          if (!is_unicast(*prefix))
            return fail("has no addresses that are of use beyond a link: write those of hosts");
          const auto other = std::ranges::find_if(inside, [&](const Prefix& each) {
            return each.contains(prefix->address()) || prefix->contains(each.address());
          });
          if (other != inside.end()) return fail(fmt::format("overlaps {}: remove one of the two", *other));
          inside.push_back(*prefix);
        });
  }

  void elements(std::string_view key, std::uint32_t& value) {
    reader_.number(table_, where_, key, 1, elements_max, "",
                   [&](auto number) { value = static_cast<std::uint32_t>(number); });
  }

  void at_exit(bool& stays) {
    const auto text = reader_.text(table_, where_, "at_exit");
    if (!text) return;
    if (*text == "keep")
      stays = true;
    else if (*text != "remove")
      fail("at_exit", "must be \"remove\", or \"keep\" to leave the table in the kernel");
  }

 private:
  static auto is_unicast(const Prefix& prefix) -> bool {
    const IpAddress& address = prefix.address();
    if (address.is_ipv4()) {
      const std::uint32_t first = address.ipv4().value >> 24U;
      return first != 0 && first != 127 && first < 224 && address.ipv4().value >> 16U != 0xa9fe;
    }
    return !address.is_link_local() && address.bits().octets[0] != 0xff && address.bits().octets[0] != 0;
  }

  Reader& reader_;
  const toml::table& table_;
  std::string where_;
  Family family_;
  const Settings& settings_;
};

auto overlap(const PortRange& one, const PortRange& other) -> bool {
  return one.first <= other.last && other.first <= one.last;
}

auto contains(const std::vector<Prefix>& prefixes, Ipv4Address address) -> bool {
  return std::ranges::any_of(prefixes,
                             [&](const Prefix& prefix) { return prefix.contains(IpAddress{address}); });
}

/// External addresses, one by one: the device pairs hosts with them by number.
void read_nat44_pool(Reader& reader, const toml::table& table, Settings& settings) {
  const toml::node* node = table.get("pool");
  if (node == nullptr) return;
  std::vector<Ipv4Address>& pool = settings.nat44.pool;
  bool is_too_large = false;
  const auto take = [&](const std::string& text, const toml::node& element) {
    const auto fail = [&](std::string_view problem) { reader.fail(element, "nat44.pool", problem); };
    const auto range = nat::PoolRange::parse(text);
    if (!range)
      return fail(
          "is no IPv4 address or range: write it as \"192.0.2.14\", \"192.0.2.16-192.0.2.31\" or "
          "\"192.0.2.16/28\"");
    if (pool.size() + range->size() > Nat44Settings::pool_max) {
      is_too_large = true;
      return;
    }
    for (std::uint64_t i = 0; i < range->size(); ++i) {
      const Ipv4Address address{static_cast<std::uint32_t>(range->first.value + i)};
      if (std::ranges::find(pool, address) != pool.end()) return fail("is listed twice: remove one");
      if (contains(settings.nat44.inside, address))
        return fail(
            fmt::format("has {}, which is in nat44.inside: external addresses are no host's", address));
      const auto has = [&](const nat::PoolRange& other) { return other.contains(address); };
      if (settings.has(DeviceKind::nat64) && std::ranges::any_of(settings.nat64.pool, has))
        return fail(fmt::format("has {}, which is in nat64.pool: an address is one device's", address));
      pool.push_back(address);
    }
  };
  reader.texts(table, "nat44.", "pool", "[\"192.0.2.14\"]", take);
  if (is_too_large)
    reader.fail(*node, "nat44.pool",
                fmt::format("has more than {} addresses: take some out", Nat44Settings::pool_max));
}

void read_nat44_ports(Reader& reader, const toml::table& table, Settings& settings) {
  Nat44Settings& nat44 = settings.nat44;
  const bool has_explicit =
      gateway::read_port_range(reader, table, "nat44.", "explicit_ports", nat44.explicit_ports);
  const bool has_implicit =
      gateway::read_port_range(reader, table, "nat44.", "implicit_ports", nat44.implicit_ports);
  // An error says which of the two to change: the one that is written.
  const auto fail = [&](bool is_explicit, std::string_view problem) {
    const std::string_view key = is_explicit ? "explicit_ports" : "implicit_ports";
    if (const toml::node* node = table.get(key))
      reader.fail(*node, fmt::format("nat44.{}", key), problem);
    else
      reader.fail_at(std::max(table.source().begin.line, 1U),
                     fmt::format("nat44.{} = [{}, {}] as it is left out: {}", key,
                                 (is_explicit ? nat44.explicit_ports : nat44.implicit_ports).first,
                                 (is_explicit ? nat44.explicit_ports : nat44.implicit_ports).last, problem));
  };
  if (has_explicit && nat44.explicit_ports.first == Port{0})
    fail(true, "begins with 0, which is no port: begin with 1 or more");
  if (has_implicit && nat44.implicit_ports.first < implicit_port_min)
    fail(false, fmt::format("begins below {}: those are for services", implicit_port_min));
  if (overlap(nat44.explicit_ports, nat44.implicit_ports))
    fail(!has_implicit,
         fmt::format("overlaps nat44.{} = [{}, {}]: a port is for mappings or for hosts' own traffic",
                     has_implicit ? "explicit_ports" : "implicit_ports",
                     (has_implicit ? nat44.explicit_ports : nat44.implicit_ports).first,
                     (has_implicit ? nat44.explicit_ports : nat44.implicit_ports).last));
  // The same address perhaps, in the pool too: each has ports of its own.
  const auto& own = settings.nat64.own_address;
  if (!settings.has(DeviceKind::nat64) || !own || own->interface != nat44.outside) return;
  for (const bool is_explicit : {true, false})
    if (overlap(is_explicit ? nat44.explicit_ports : nat44.implicit_ports, own->ports))
      fail(is_explicit,
           fmt::format("overlaps nat64.own_address.ports = [{}, {}], which are of the same address",
                       own->ports.first, own->ports.last));
}

}  // namespace

void read_nat44(Reader& reader, const toml::table& root, Settings& settings) {
  const toml::table* table = reader.table(root, "nat44");
  if (table == nullptr) {
    if (settings.has(DeviceKind::nat44))
      reader.fail_missing(
          root, "[nat44]",
          "write where the Internet is and whom to translate: outside = \"wan0\" and inside = "
          "[\"192.0.2.0/24\"]");
    return;
  }
  reader.refuse_unknown(
      *table, "nat44.",
      {"outside", "inside", "pool", "explicit_ports", "implicit_ports", "hold_down", "udp_idle",
       "mappings_max", "filters_max", "maps_all_ports", "drops_unasked", "at_exit"});
  TableReader nftables(reader, *table, "nat44", Family::ipv4, settings);
  Nat44Settings& nat44 = settings.nat44;
  nftables.outside(nat44.outside);
  nftables.inside(nat44.inside);
  read_nat44_pool(reader, *table, settings);
  read_nat44_ports(reader, *table, settings);
  reader.number(*table, "nat44.", "hold_down", 0, 30 * 86400, " seconds",
                [&](auto value) { nat44.hold_down = Seconds{value}; });
  // RFC 4787 s4.3.
  reader.number(*table, "nat44.", "udp_idle", 120, 30 * 86400, " seconds",
                [&](auto value) { nat44.udp_idle = Seconds{value}; });
  nftables.elements("mappings_max", nat44.mappings_max);
  nftables.elements("filters_max", nat44.filters_max);
  reader.flag(*table, "nat44.", "maps_all_ports", nat44.maps_all_ports);
  reader.flag(*table, "nat44.", "drops_unasked", nat44.drops_unasked);
  nftables.at_exit(nat44.stays_at_exit);
}

void read_firewall6(Reader& reader, const toml::table& root, Settings& settings) {
  const toml::table* table = reader.table(root, "firewall6");
  if (table == nullptr) {
    if (settings.has(DeviceKind::firewall6))
      reader.fail_missing(root, "[firewall6]",
                          "write where the Internet is and whom to protect: outside = \"wan0\" and inside = "
                          "[\"2001:db8:112::/48\"]");
    return;
  }
  reader.refuse_unknown(*table, "firewall6.",
                        {"outside", "inside", "pinholes_max", "filters_max", "maps_all_ports",
                         "drops_unasked", "mark", "at_exit"});
  TableReader nftables(reader, *table, "firewall6", Family::ipv6, settings);
  Firewall6Settings& firewall6 = settings.firewall6;
  nftables.outside(firewall6.outside);
  nftables.inside(firewall6.inside);
  if (settings.has(DeviceKind::nat64))
    for (const Prefix& nat64 : gateway::all_prefixes(settings.nat64))
      for (const Prefix& inside : firewall6.inside)
        if (inside.contains(nat64.address()) || nat64.contains(inside.address()))
          nftables.fail("inside",
                        fmt::format("has {}, which overlaps nat64.prefix {}: those addresses are the "
                                    "IPv4 Internet's",
                                    inside, nat64));
  nftables.elements("pinholes_max", firewall6.pinholes_max);
  nftables.elements("filters_max", firewall6.filters_max);
  reader.flag(*table, "firewall6.", "maps_all_ports", firewall6.maps_all_ports);
  reader.flag(*table, "firewall6.", "drops_unasked", firewall6.drops_unasked);
  reader.number(*table, "firewall6.", "mark", 0, 0xffffffff, "; 0 sets none",
                [&](auto value) { firewall6.mark = static_cast<std::uint32_t>(value); });
  nftables.at_exit(firewall6.stays_at_exit);
  if (!firewall6.drops_unasked && firewall6.mark == 0)
    nftables.fail(
        "drops_unasked",
        "leaves it to another firewall to let pinholes pass, which knows them by firewall6.mark: set that");
}

void refuse_changes(Reader& reader, const toml::table& root, const Nat44Settings& wanted,
                    const Nat44Settings& running) {
  gateway::Comparison nat44(reader, root, "nat44");
  nat44.fixed("outside", wanted.outside, running.outside);
  nat44.fixed("inside", wanted.inside, running.inside);
  // By the interface's address or by a pool: the rules are others.
  if (wanted.pool.empty() != running.pool.empty()) nat44.fixed("pool", wanted.pool, running.pool);
  nat44.fixed("explicit_ports", wanted.explicit_ports, running.explicit_ports);
  nat44.fixed("implicit_ports", wanted.implicit_ports, running.implicit_ports);
  nat44.fixed("hold_down", wanted.hold_down, running.hold_down);
  nat44.fixed("udp_idle", wanted.udp_idle, running.udp_idle);
  nat44.fixed("mappings_max", wanted.mappings_max, running.mappings_max);
  nat44.fixed("filters_max", wanted.filters_max, running.filters_max);
  nat44.fixed("maps_all_ports", wanted.maps_all_ports, running.maps_all_ports);
  nat44.fixed("drops_unasked", wanted.drops_unasked, running.drops_unasked);
  nat44.fixed("at_exit", wanted.stays_at_exit, running.stays_at_exit);
}

void refuse_changes(Reader& reader, const toml::table& root, const Firewall6Settings& wanted,
                    const Firewall6Settings& running) {
  gateway::Comparison firewall6(reader, root, "firewall6");
  firewall6.fixed("outside", wanted.outside, running.outside);
  firewall6.fixed("inside", wanted.inside, running.inside);
  firewall6.fixed("pinholes_max", wanted.pinholes_max, running.pinholes_max);
  firewall6.fixed("filters_max", wanted.filters_max, running.filters_max);
  firewall6.fixed("maps_all_ports", wanted.maps_all_ports, running.maps_all_ports);
  firewall6.fixed("drops_unasked", wanted.drops_unasked, running.drops_unasked);
  firewall6.fixed("mark", wanted.mark, running.mark);
  firewall6.fixed("at_exit", wanted.stays_at_exit, running.stays_at_exit);
}

}  // namespace portolan::portoland::detail
