// SPDX-License-Identifier: BSD-2-Clause
#include "gateway/nat64_config_reader.h"

#include <array>

#include "device/nat64/workers.h"
#include "gateway/event_settings_reader.h"
#include "gateway/nat64_pool_reader.h"
#include "nat/config.h"

namespace portolan::gateway {
namespace {

/// Prefix lengths RFC 6052 s2.2 knows.
auto is_nat64_prefix_length(unsigned length) -> bool {
  constexpr std::array lengths{32U, 40U, 48U, 56U, 64U, 96U};
  return std::ranges::find(lengths, length) != lengths.end();
}

void read_nat64_limits(Reader& reader, const toml::table& nat64, nat::Limits& limits) {
  const auto limit = [&](std::string_view key, std::uint32_t& value) {
    reader.number(nat64, "nat64.", key, 1, 100'000'000, "",
                  [&](auto number) { value = static_cast<std::uint32_t>(number); });
  };
  limit("bindings_max", limits.bindings);
  limit("sessions_max", limits.sessions);
  limit("subscribers_max", limits.subscribers);
  limit("hold_downs_max", limits.hold_downs);
  limit("waiting_syns_max", limits.waiting_syns);
  reader.number(nat64, "nat64.", "icmp_errors_per_second", 0, 1'000'000, "; 0 turns them off",
                [&](auto number) { limits.errors_per_second = static_cast<std::uint32_t>(number); });
  reader.number(nat64, "nat64.", "fragments_max", 256, 100'000'000, "",
                [&](auto number) { limits.fragments = static_cast<std::uint32_t>(number); });
}

/// Least values: RFC 6146 s4, RFC 4787 s4.3, RFC 5382 s5, RFC 5508 s3.2, RFC 7857 s2.1.
void read_nat64_timeouts(Reader& reader, const toml::table& nat64, nat::Timeouts& timeouts) {
  constexpr std::int64_t longest = 30 * 86400;
  const auto timeout = [&](std::string_view key, Seconds& value, std::int64_t least) {
    reader.number(nat64, "nat64.", key, least, longest, " seconds",
                  [&](auto number) { value = Seconds{number}; });
  };
  timeout("udp_timeout", timeouts.udp, 120);
  timeout("tcp_established_timeout", timeouts.tcp_established, 7200);
  timeout("tcp_opening_timeout", timeouts.tcp_opening, 6);
  timeout("tcp_closing_timeout", timeouts.tcp_closing, 240);
  timeout("icmp_timeout", timeouts.icmp, 60);
  timeout("hold_down", timeouts.hold_down, 0);
  timeout("fragment_timeout", timeouts.fragment, 2);
}

/// One prefix, or a list of them: the first is the one for senders that begin from outside.
void read_prefixes(Reader& reader, const toml::table& nat64, Nat64Settings& settings) {
  const toml::node* node = nat64.get("prefix");
  if (node == nullptr) return;
  bool is_first = true;
  const auto read = [&](const toml::node& element) {
    const auto text = element.value_exact<std::string>();
    const auto prefix = text ? Prefix::parse(*text) : std::nullopt;
    if (!prefix || prefix->address().is_ipv4() || !is_nat64_prefix_length(prefix->length()))
      reader.fail(element, "nat64.prefix",
                  "must be an IPv6 prefix of length 32, 40, 48, 56, 64 or 96, such as \"64:ff9b::/96\", "
                  "without bits behind the length");
    else if (is_first)
      settings.prefix = *prefix;
    else
      settings.more_prefixes.push_back(*prefix);
    is_first = false;
  };
  const toml::array* list = node->as_array();
  if (list == nullptr) return read(*node);
  if (list->empty() || list->size() > nat::prefixes_max)
    return reader.fail(*node, "nat64.prefix", fmt::format("must be 1 to {} prefixes", nat::prefixes_max));
  for (const toml::node& element : *list) read(element);
}

/// `filtering` is for all protocols that have no key of their own.
void read_filtering(Reader& reader, const toml::table& nat64, nat::Filterings& filtering) {
  const auto read = [&](std::string_view key, auto&&... values) {
    const auto text = reader.text(nat64, "nat64.", key);
    if (!text) return;
    if (*text == "endpoint-independent")
      ((values = nat::Filtering::endpoint_independent), ...);
    else if (*text == "address-dependent")
      ((values = nat::Filtering::address_dependent), ...);
    else
      reader.fail(*nat64.get(key), fmt::format("nat64.{}", key),
                  "must be \"endpoint-independent\" or \"address-dependent\"");
  };
  read("filtering", filtering.udp, filtering.tcp, filtering.icmp);
  read("udp_filtering", filtering.udp);
  read("tcp_filtering", filtering.tcp);
  read("icmp_filtering", filtering.icmp);
}

/// The key that a difference in filtering is reported at.
auto filtering_key(const toml::table& root) -> std::string_view {
  const toml::table* nat64 = root.get_as<toml::table>("nat64");
  if (nat64 != nullptr && nat64->get("filtering") == nullptr)
    for (const std::string_view key : {"udp_filtering", "tcp_filtering", "icmp_filtering"})
      if (nat64->get(key) != nullptr) return key;
  return "filtering";
}

}  // namespace

void read_nat64(Reader& reader, const toml::table& root, std::string_view wanted_by,
                Nat64Settings& settings) {
  const toml::table* nat64 = reader.table(root, "nat64");
  if (nat64 == nullptr) {
    if (!wanted_by.empty())
      reader.fail_missing(root, "[nat64]", fmt::format("{} needs its prefix and pool", wanted_by));
    return;
  }
  reader.refuse_unknown(*nat64, "nat64.",
                        {"prefix",
                         "untranslated",
                         "answer_untranslated",
                         "pool",
                         "own_address",
                         "deterministic",
                         "outside",
                         "tun",
                         "workers",
                         "mtu",
                         "lowest_ipv6_mtu",
                         "mss_max",
                         "manage_forwarding",
                         "bindings_max",
                         "sessions_max",
                         "subscribers_max",
                         "hold_downs_max",
                         "fragments_max",
                         "udp_timeout",
                         "tcp_established_timeout",
                         "tcp_opening_timeout",
                         "tcp_closing_timeout",
                         "icmp_timeout",
                         "hold_down",
                         "fragment_timeout",
                         "filtering",
                         "udp_filtering",
                         "tcp_filtering",
                         "icmp_filtering",
                         "answer_unsolicited",
                         "waiting_syns_max",
                         "icmp_errors_per_second",
                         "preserve_ports",
                         "copy_traffic_class",
                         "complete_udp_checksums",
                         "subscriber_prefix_length",
                         "ports_per_subscriber_max",
                         "sessions_per_subscriber_max",
                         "new_sessions_per_second_max",
                         "port_block_size",
                         "profiles_max",
                         "port_blocks_max",
                         "events",
                         "event_log",
                         "event_destinations",
                         "events_of"});
  if (nat64->get("prefix") == nullptr)
    reader.fail_missing(*nat64, "nat64.prefix",
                        "write prefix = \"2001:db8:64:ff9b::/96\" with a prefix of yours");
  read_prefixes(reader, *nat64, settings);
  if (nat64->get("untranslated") != nullptr)
    reader.texts(*nat64, "nat64.", "untranslated", "[\"192.0.2.0/24\"]",
                 [&](const std::string& text, const toml::node& node) {
                   const auto prefix = Prefix::parse(text);
                   if (prefix && prefix->address().is_ipv4())
                     settings.untranslated.push_back(*prefix);
                   else
                     reader.fail(node, "nat64.untranslated", "is no IPv4 prefix such as \"192.0.2.0/24\"");
                 });
  reader.flag(*nat64, "nat64.", "answer_untranslated", settings.answer_untranslated);
  if (nat64->get("pool") == nullptr && nat64->get("own_address") == nullptr)
    reader.fail_missing(
        *nat64, "nat64.pool",
        "write pool = [\"192.0.2.14\"] with addresses of yours, or [nat64.own_address] to share "
        "this host's own");
  read_pool(reader, *nat64, settings);
  read_allowance(reader, *nat64, settings);
  read_own_address(reader, *nat64, settings);
  read_deterministic(reader, *nat64, settings);
  if (auto name = reader.interface(*nat64, "nat64.", "outside")) settings.outside = std::move(*name);
  if (auto name = reader.interface(*nat64, "nat64.", "tun")) settings.tun = std::move(*name);
  reader.number(*nat64, "nat64.", "workers", 1, device::Workers::workers_max,
                "; one for each core that is to translate",
                [&](auto value) { settings.workers = static_cast<unsigned>(value); });
  reader.number(*nat64, "nat64.", "mtu", 1280, 65535, "; 1500 is usual",
                [&](auto value) { settings.mtu = static_cast<unsigned>(value); });
  reader.number(*nat64, "nat64.", "lowest_ipv6_mtu", 1280, 65535, "; at most mtu",
                [&](auto value) { settings.lowest_ipv6_mtu = static_cast<unsigned>(value); });
  reader.number(*nat64, "nat64.", "mss_max", 536, 65535, "; leave it out and the ends decide",
                [&](auto value) { settings.mss_max = static_cast<unsigned>(value); });
  read_nat64_limits(reader, *nat64, settings.limits);
  read_nat64_timeouts(reader, *nat64, settings.timeouts);
  read_filtering(reader, *nat64, settings.filtering);
  read_events(reader, *nat64, settings.events);
  reader.flag(*nat64, "nat64.", "answer_unsolicited", settings.answer_unsolicited);
  reader.flag(*nat64, "nat64.", "preserve_ports", settings.preserve_ports);
  reader.flag(*nat64, "nat64.", "copy_traffic_class", settings.copy_traffic_class);
  reader.flag(*nat64, "nat64.", "complete_udp_checksums", settings.complete_udp_checksums);
  if (const toml::node* node = nat64->get("manage_forwarding")) {
    if (const auto value = node->value_exact<bool>())
      settings.manage_forwarding = *value;
    else
      reader.fail(*node, "nat64.manage_forwarding", "must be true or false");
  }
  if (reader.has_errors() || wanted_by.empty()) return;
  if (const auto fine = nat::check(nat64_config(settings)); !fine)
    reader.fail_at(nat64->source().begin.line, fmt::format("[nat64]: {}: change it", fine.error()));
  if (settings.own_address && settings.own_address->interface == settings.tun)
    reader.fail(*(*nat64)["own_address"]["interface"].node(), "nat64.own_address.interface",
                "is the NAT64's own: name the one towards the IPv4 Internet");
}

void refuse_changes(Reader& reader, const toml::table& root, const Nat64Settings& wanted,
                    const Nat64Settings& running) {
  Comparison nat64(reader, root, "nat64");
  nat64.fixed("prefix", all_prefixes(wanted), all_prefixes(running));
  nat64.fixed("untranslated", wanted.untranslated, running.untranslated);
  nat64.fixed("answer_untranslated", wanted.answer_untranslated, running.answer_untranslated);
  nat64.fixed("own_address", wanted.own_address, running.own_address);
  nat64.fixed("outside", wanted.outside, running.outside);
  nat64.fixed("tun", wanted.tun, running.tun);
  nat64.fixed("workers", wanted.workers, running.workers);
  nat64.fixed("mtu", wanted.mtu, running.mtu);
  nat64.fixed("lowest_ipv6_mtu", wanted.lowest_ipv6_mtu, running.lowest_ipv6_mtu);
  nat64.fixed("mss_max", wanted.mss_max, running.mss_max);
  nat64.fixed("manage_forwarding", wanted.manage_forwarding, running.manage_forwarding);
  nat64.fixed("bindings_max", wanted.limits.bindings, running.limits.bindings);
  nat64.fixed("sessions_max", wanted.limits.sessions, running.limits.sessions);
  nat64.fixed("subscribers_max", wanted.limits.subscribers, running.limits.subscribers);
  refuse_changes_of_allowance(nat64, wanted, running);
  nat64.fixed("hold_downs_max", wanted.limits.hold_downs, running.limits.hold_downs);
  nat64.fixed("waiting_syns_max", wanted.limits.waiting_syns, running.limits.waiting_syns);
  nat64.fixed("icmp_errors_per_second", wanted.limits.errors_per_second, running.limits.errors_per_second);
  nat64.fixed(filtering_key(root), wanted.filtering, running.filtering);
  nat64.fixed("answer_unsolicited", wanted.answer_unsolicited, running.answer_unsolicited);
  nat64.fixed("preserve_ports", wanted.preserve_ports, running.preserve_ports);
  nat64.fixed("copy_traffic_class", wanted.copy_traffic_class, running.copy_traffic_class);
  nat64.fixed("complete_udp_checksums", wanted.complete_udp_checksums, running.complete_udp_checksums);
  nat64.fixed("fragments_max", wanted.limits.fragments, running.limits.fragments);
  const nat::Timeouts& wanted_timeouts = wanted.timeouts;
  const nat::Timeouts& timeouts = running.timeouts;
  nat64.fixed("udp_timeout", wanted_timeouts.udp, timeouts.udp);
  nat64.fixed("tcp_established_timeout", wanted_timeouts.tcp_established, timeouts.tcp_established);
  nat64.fixed("tcp_opening_timeout", wanted_timeouts.tcp_opening, timeouts.tcp_opening);
  nat64.fixed("tcp_closing_timeout", wanted_timeouts.tcp_closing, timeouts.tcp_closing);
  nat64.fixed("icmp_timeout", wanted_timeouts.icmp, timeouts.icmp);
  nat64.fixed("hold_down", wanted_timeouts.hold_down, timeouts.hold_down);
  nat64.fixed("fragment_timeout", wanted_timeouts.fragment, timeouts.fragment);
}

}  // namespace portolan::gateway
