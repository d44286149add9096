// SPDX-License-Identifier: BSD-2-Clause
#include "device/nftables/ruleset.h"

#include <cctype>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/check.h"

namespace portolan::device {
namespace {

template <typename T>
auto listed(const std::vector<T>& values) -> std::string {
  return fmt::format("{{ {} }}", fmt::join(values, ", "));
}

auto in_text(const PortRange& ports) -> std::string { return fmt::format("{}-{}", ports.first, ports.last); }

auto quoted(const std::string& name) -> std::string { return fmt::format("\"{}\"", name); }

auto of_table(std::string_view family, std::string_view name, const std::string& text) -> Ruleset {
  const std::string table = fmt::format("table {} {}\n", family, name);
  return {.keeping_elements = fmt::format("{}flush {}{}", table, table, text),
          .anew = fmt::format("{}delete {}{}", table, table, text)};
}

/// The target of the rule for hosts' own traffic.
auto translation(const std::vector<Ipv4Address>& pool, const std::string& ports) -> std::string {
  if (pool.empty()) return "drop";
  if (pool.size() == 1) return fmt::format("snat to {}{}", pool.front(), ports);
  std::string addresses;
  for (std::size_t i = 0; i < pool.size(); ++i)
    addresses += fmt::format("{}{} : {}", i == 0 ? "" : ", ", i, pool[i]);
  return fmt::format("snat ip to jhash ip saddr mod {} seed 0x0 map {{ {} }}{}", pool.size(), addresses,
                     ports);
}

}  // namespace

auto filled_in(std::string_view text, const std::map<std::string, std::string>& values) -> std::string {
  std::string filled;
  while (!text.empty()) {
    const std::size_t dollar = text.find('$');
    filled += text.substr(0, dollar);
    if (dollar == std::string_view::npos) break;
    text.remove_prefix(dollar + 1);
    std::size_t length = 0;
    while (length < text.size() &&
           (std::isalnum(static_cast<unsigned char>(text[length])) != 0 || text[length] == '_'))
      ++length;
    const auto value = values.find(std::string(text.substr(0, length)));
    PORTOLAN_CHECK(value != values.end());
    filled += value->second;
    text.remove_prefix(length);
  }
  return filled;
}

auto ruleset(const Nat44Settings& settings, const std::vector<Ipv4Address>& pool) -> Ruleset {
  // Nothing has this address.
  const std::vector<Ipv4Address> nowhere{Ipv4Address{0xffffffffU}};
  const std::string inside = listed(settings.inside);
  const std::string outside = quoted(settings.outside);
  constexpr std::size_t protocols_max = 256;
  // What has no flow has no status either.
  const std::string from_outside = fmt::format("iifname {} ip daddr {}", outside, inside);
  const std::string unasked = fmt::format(
      "{0} ct state invalid,untracked drop\n\t\t{0} ct state new ct status & dnat == 0 drop", from_outside);
  return of_table(
      "ip", nat44_table,
      filled_in(nat44_text,
                {{"inside", inside},
                 {"outside", outside},
                 {"external", listed(pool.empty() ? nowhere : pool)},
                 {"translate_with_port", translation(pool, ":" + in_text(settings.implicit_ports))},
                 {"translate", translation(pool, "")},
                 {"udp_idle", std::to_string(settings.udp_idle.count())},
                 {"tcp_idle", std::to_string(tcp_idle.count())},
                 {"elements_max", std::to_string(settings.mappings_max + settings.filters_max)},
                 {"wildcards_max", std::to_string(Nat44Settings::pool_max * protocols_max)},
                 {"flows_max", std::to_string(settings.mappings_max)},
                 {"drop_unasked", settings.drops_unasked ? unasked : ""}}));
}

auto ruleset(const Firewall6Settings& settings) -> Ruleset {
  return of_table(
      "ip6", firewall6_table,
      filled_in(firewall6_text,
                {{"inside", listed(settings.inside)},
                 {"outside", quoted(settings.outside)},
                 {"udp_idle", std::to_string(settings.udp_idle.count())},
                 {"tcp_idle", std::to_string(tcp_idle.count())},
                 {"elements_max", std::to_string(settings.pinholes_max + settings.filters_max)},
                 {"flows_max", std::to_string(settings.pinholes_max)},
                 {"unasked", settings.drops_unasked ? "drop" : "return"},
                 {"set_mark",
                  settings.mark != 0 ? fmt::format("meta mark set {:#x}", settings.mark) : std::string()}}));
}

}  // namespace portolan::device
