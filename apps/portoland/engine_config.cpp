// SPDX-License-Identifier: BSD-2-Clause
#include "portoland/engine_config.h"

namespace portolan::portoland {

auto server_config(const Settings& settings, TimePoint now) -> server::Config {
  server::Config config = settings.server;
  config.epoch_base = now;
  const bool is_nat64 = settings.device != DeviceKind::simulated;
  for (server::Config::Inside& inside : config.inside) {
    inside.families = {Family::ipv6};
    if (!is_nat64) inside.families.push_back(Family::ipv4);
  }
  if (is_nat64) {
    // Of another process's, mappings that move tell when an address is gone.
    if (settings.device == DeviceKind::nat64)
      config.external_addresses = gateway::addresses_of(settings.nat64.pool);
    // It translates nothing for IPv4 hosts, the only ones that speak it (RFC 6886 s3.8).
    config.nat_pmp = false;
  } else if (!settings.simulated.pool.empty()) {
    config.external_families = {settings.simulated.pool.front().family()};
    for (const IpAddress& address : settings.simulated.pool)
      if (address.is_ipv4()) config.external_addresses.push_back(address.ipv4());
  }
  return config;
}

}  // namespace portolan::portoland
