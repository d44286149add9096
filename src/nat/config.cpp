// SPDX-License-Identifier: BSD-2-Clause
#include "nat/config.h"

#include <algorithm>

#include <fmt/format.h>

#include "nat/embedding.h"
#include "nat/pool.h"
#include "nat/port_plan.h"
#include "nat/reassembly.h"
#include "nat/waiting_syns.h"

namespace portolan::nat {
namespace {

struct Minimum {
  const char* name;
  Seconds value;
  Seconds minimum;
};

struct Range {
  const char* name;
  std::uint32_t value;
};

// Numbers of sessions and bindings are kept in 32 bits, with room for two entries per session and a
// load of three quarters; how many sessions a binding has, in 30.
constexpr std::uint32_t table_max = (1U << 30U) - 1;

auto check_pool(const Config& config) -> std::expected<void, std::string> {
  std::uint64_t addresses = 0;
  for (const PoolRange& range : config.pool) {
    if (range.first.value > range.last.value)
      return std::unexpected(fmt::format("pool: {} comes after {}", range.first, range.last));
    for (const Ipv4Address address : {range.first, range.last}) {
      const std::uint8_t octets[4] = {
          static_cast<std::uint8_t>(address.value >> 24U), static_cast<std::uint8_t>(address.value >> 16U),
          static_cast<std::uint8_t>(address.value >> 8U), static_cast<std::uint8_t>(address.value)};
      if (is_illegal_ipv4(octets))
        return std::unexpected(fmt::format("pool address {} is not a unicast address", address));
    }
    if (range.weight < 1 || range.weight > pool_weight_max)
      return std::unexpected(fmt::format("pool: weight {} of {} is not 1 to {}", range.weight,
                                         to_string(range), pool_weight_max));
    if (range.ports.first > range.ports.last)
      return std::unexpected(fmt::format("pool: ports of {} are in the wrong order", to_string(range)));
    addresses += range.size();
  }
  if (addresses > Pool::addresses_max)
    return std::unexpected(
        fmt::format("pool has {} addresses, at most {} are possible", addresses, Pool::addresses_max));
  auto sorted = config.pool;
  std::ranges::sort(sorted, {}, [](const PoolRange& range) { return range.first.value; });
  const auto twice = std::ranges::adjacent_find(
      sorted, [](const PoolRange& one, const PoolRange& next) { return next.first.value <= one.last.value; });
  if (twice != sorted.end())
    return std::unexpected(fmt::format("pool address {} is listed twice", std::next(twice)->first));
  return {};
}

auto check_prefix(const Prefix& prefix) -> std::expected<void, std::string> {
  if (prefix.address().is_ipv4() || !is_embedding_length(prefix.length()))
    return std::unexpected(fmt::format(
        "prefix {} must be an IPv6 prefix of length 32, 40, 48, 56, 64 or 96 (RFC 6052 s2.2)", prefix));
  if (prefix.length() == 96 && prefix.address().bits().octets[8] != 0)
    return std::unexpected(fmt::format("prefix {}: bits 64 to 71 must be zero (RFC 6052 s2.2)", prefix));
  return {};
}

auto check_prefixes(const Config& config) -> std::expected<void, std::string> {
  if (config.more_prefixes.size() >= prefixes_max)
    return std::unexpected(fmt::format("there are {} prefixes, at most {} are possible",
                                       config.more_prefixes.size() + 1, prefixes_max));
  std::vector<Prefix> prefixes{config.prefix};
  for (const Prefix& prefix : config.more_prefixes) {
    for (const Prefix& other : prefixes)
      if (prefix.contains(other.address()) || other.contains(prefix.address()))
        return std::unexpected(fmt::format("prefix {} and prefix {} overlap", other, prefix));
    prefixes.push_back(prefix);
  }
  for (const Prefix& prefix : prefixes)
    if (const auto fine = check_prefix(prefix); !fine) return fine;
  if (config.untranslated.size() > untranslated_max)
    return std::unexpected(fmt::format("untranslated has {} prefixes, at most {} are possible",
                                       config.untranslated.size(), untranslated_max));
  for (const Prefix& prefix : config.untranslated)
    if (!prefix.address().is_ipv4())
      return std::unexpected(fmt::format("untranslated prefix {} must be an IPv4 prefix", prefix));
  return {};
}

}  // namespace

auto check(const Allowance& allowance) -> std::expected<void, std::string> {
  if (allowance.subscriber_prefix_length < 1 || allowance.subscriber_prefix_length > 128)
    return std::unexpected(
        fmt::format("subscriber prefix length {} is not 1 to 128", allowance.subscriber_prefix_length));
  if (allowance.external_ports.first > allowance.external_ports.last)
    return std::unexpected(fmt::format("ports {} to {} are in the wrong order",
                                       allowance.external_ports.first.value,
                                       allowance.external_ports.last.value));
  if (allowance.port_block_size % 64 != 0 || allowance.port_block_size > Allowance::port_block_max)
    return std::unexpected(fmt::format("port block size {} is not a multiple of 64 up to {}",
                                       allowance.port_block_size, Allowance::port_block_max));
  for (const auto& [name, value] :
       {Range{"ports_max", allowance.ports_max}, Range{"sessions_max", allowance.sessions_max},
        Range{"sessions_per_second_max", allowance.sessions_per_second_max}})
    if (value == 0) return std::unexpected(fmt::format("{} must not be 0", name));
  return {};
}

auto check(const Config& config) -> std::expected<void, std::string> {
  if (const auto prefixes = check_prefixes(config); !prefixes) return prefixes;
  if (const auto pool = check_pool(config); !pool) return pool;
  for (const auto& [name, value, minimum] :
       {Minimum{"udp", config.timeouts.udp, Seconds{120}},
        Minimum{"tcp_established", config.timeouts.tcp_established, Seconds{7200}},
        Minimum{"tcp_opening", config.timeouts.tcp_opening, WaitingSyns::wait},
        Minimum{"tcp_closing", config.timeouts.tcp_closing, Seconds{240}},
        Minimum{"icmp", config.timeouts.icmp, Seconds{60}},
        Minimum{"hold_down", config.timeouts.hold_down, Seconds{0}},
        Minimum{"fragment", config.timeouts.fragment, Seconds{2}}}) {
    constexpr Seconds maximum{30 * 86400};
    if (value < minimum || value > maximum)
      return std::unexpected(fmt::format("timeout {} is {} s, must be {} to {} s", name, value.count(),
                                         minimum.count(), maximum.count()));
  }
  for (const auto& [name, value] :
       {Range{"bindings", config.limits.bindings}, Range{"sessions", config.limits.sessions},
        Range{"subscribers", config.limits.subscribers},
        Range{"sessions_per_subscriber", config.limits.sessions_per_subscriber},
        Range{"profiles", config.limits.profiles}, Range{"port_blocks", config.limits.port_blocks},
        Range{"hold_downs", config.limits.hold_downs}, Range{"waiting_syns", config.limits.waiting_syns},
        Range{"filters_per_mapping", config.limits.filters_per_mapping},
        Range{"filters", config.limits.filters}, Range{"ports_per_set", config.limits.ports_per_set}}) {
    if (value == 0 || value > table_max)
      return std::unexpected(fmt::format("limit {} is {}, must be 1 to {}", name, value, table_max));
  }
  constexpr std::uint32_t fragments_min = 2 * Reassembly::pieces_per_packet_max;
  if (config.limits.fragments < fragments_min || config.limits.fragments > table_max)
    return std::unexpected(fmt::format("limit fragments is {}, must be {} to {}", config.limits.fragments,
                                       fragments_min, table_max));
  if (config.limits.errors_per_second > table_max)
    return std::unexpected(fmt::format("limit errors_per_second is {}, must be at most {}",
                                       config.limits.errors_per_second, table_max));
  if (const auto allowance = check(config.allowance); !allowance) return allowance;
  if (config.deterministic) {
    const auto plan =
        PortPlan::make(*config.deterministic, config.pool, config.allowance.subscriber_prefix_length);
    if (!plan) return std::unexpected(plan.error());
    const std::uint32_t block = config.allowance.port_block_size;
    const auto address = block != 0 ? plan->address_without_block(block, config.first_port) : std::nullopt;
    if (address)
      return std::unexpected(
          fmt::format("port block size {} with deterministic: of the dynamic ports of {}, {} to {}, none are "
                      "a block, which begins at a multiple of its size, so that nobody could have any: let "
                      "port_block_size be smaller, or 0, or dynamic_factor larger than {}",
                      block, *address, plan->dynamic_at(*address)->first, plan->dynamic_at(*address)->last,
                      config.deterministic->dynamic_factor));
  }
  if (config.first_port.value == 0) return std::unexpected("first_port must not be 0");
  if (config.ipv6_mtu < 1280)
    return std::unexpected(fmt::format("ipv6_mtu {} is below 1280", config.ipv6_mtu));
  if (config.lowest_ipv6_mtu < 1280 || config.lowest_ipv6_mtu > config.ipv6_mtu)
    return std::unexpected(fmt::format("lowest_ipv6_mtu {} is not between 1280 and ipv6_mtu {}",
                                       config.lowest_ipv6_mtu, config.ipv6_mtu));
  if (config.mss_max != 0 && config.mss_max < 536)
    return std::unexpected(fmt::format("mss_max {} is below 536", config.mss_max));
  if (config.ipv4_mtu < 68) return std::unexpected(fmt::format("ipv4_mtu {} is below 68", config.ipv4_mtu));
  return {};
}

}  // namespace portolan::nat
