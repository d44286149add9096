// SPDX-License-Identifier: BSD-2-Clause
#include "gateway/nat64_settings.h"

#include <algorithm>
#include <bit>

namespace portolan::gateway {

auto all_prefixes(const Nat64Settings& settings) -> std::vector<Prefix> {
  std::vector<Prefix> prefixes{settings.prefix};
  prefixes.insert(prefixes.end(), settings.more_prefixes.begin(), settings.more_prefixes.end());
  return prefixes;
}

auto addresses_of(const std::vector<nat::PoolRange>& pool) -> std::vector<Ipv4Address> {
  std::vector<Ipv4Address> addresses;
  for (const nat::PoolRange& range : pool)
    for (std::uint64_t i = 0; i < range.size(); ++i)
      addresses.push_back(Ipv4Address{static_cast<std::uint32_t>(range.first.value + i)});
  return addresses;
}

auto prefixes_of(const nat::PoolRange& range) -> std::vector<Prefix> {
  std::vector<Prefix> prefixes;
  std::uint64_t next = range.first.value;
  while (next <= range.last.value) {
    // As many as fit and begin where such a prefix may.
    auto bits = static_cast<unsigned>(std::countr_zero(next | std::uint64_t{1} << 32U));
    while (next + (std::uint64_t{1} << bits) > range.last.value + std::uint64_t{1}) --bits;
    prefixes.emplace_back(IpAddress{Ipv4Address{static_cast<std::uint32_t>(next)}}, 128 - bits);
    next += std::uint64_t{1} << bits;
  }
  return prefixes;
}

auto pool_with(const Nat64Settings& settings, std::optional<Ipv4Address> own) -> std::vector<nat::PoolRange> {
  std::vector<nat::PoolRange> pool = settings.pool;
  const auto has_it = [&](const nat::PoolRange& range) { return range.contains(*own); };
  if (!own || !settings.own_address || std::ranges::any_of(pool, has_it)) return pool;
  nat::PoolRange& range = pool.emplace_back(*own);
  range.weight = settings.own_address->weight;
  range.ports = settings.own_address->ports;
  range.is_shared = true;
  return pool;
}

auto nat64_config(const Nat64Settings& settings) -> nat::Config {
  nat::Config config;
  config.prefix = settings.prefix;
  config.more_prefixes = settings.more_prefixes;
  config.untranslated = settings.untranslated;
  config.answers_untranslated = settings.answer_untranslated;
  config.pool = settings.pool;
  config.limits = settings.limits;
  config.allowance = settings.allowance;
  config.deterministic = settings.deterministic;
  config.timeouts = settings.timeouts;
  config.ipv6_mtu = config.ipv4_mtu = static_cast<std::uint16_t>(settings.mtu);
  config.lowest_ipv6_mtu = static_cast<std::uint16_t>(settings.lowest_ipv6_mtu);
  config.mss_max = static_cast<std::uint16_t>(settings.mss_max);
  config.filtering = settings.filtering;
  config.preserves_ports = settings.preserve_ports;
  config.answers_unsolicited = settings.answer_unsolicited;
  config.copies_traffic_class = settings.copy_traffic_class;
  config.completes_udp_checksums = settings.complete_udp_checksums;
  return config;
}

}  // namespace portolan::gateway
