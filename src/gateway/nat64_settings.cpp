// SPDX-License-Identifier: BSD-2-Clause
#include "gateway/nat64_settings.h"

namespace portolan::gateway {

auto all_prefixes(const Nat64Settings& settings) -> std::vector<Prefix> {
  std::vector<Prefix> prefixes{settings.prefix};
  prefixes.insert(prefixes.end(), settings.more_prefixes.begin(), settings.more_prefixes.end());
  return prefixes;
}

auto nat64_config(const Nat64Settings& settings) -> nat::Config {
  nat::Config config;
  config.prefix = settings.prefix;
  config.more_prefixes = settings.more_prefixes;
  config.untranslated = settings.untranslated;
  config.answers_untranslated = settings.answer_untranslated;
  config.pool = settings.pool;
  config.limits = settings.limits;
  config.timeouts = settings.timeouts;
  config.ipv6_mtu = config.ipv4_mtu = static_cast<std::uint16_t>(settings.mtu);
  config.lowest_ipv6_mtu = static_cast<std::uint16_t>(settings.lowest_ipv6_mtu);
  config.mss_max = static_cast<std::uint16_t>(settings.mss_max);
  config.filtering = settings.filtering;
  config.answers_unsolicited = settings.answer_unsolicited;
  config.copies_traffic_class = settings.copy_traffic_class;
  config.completes_udp_checksums = settings.complete_udp_checksums;
  return config;
}

}  // namespace portolan::gateway
