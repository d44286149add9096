// SPDX-License-Identifier: BSD-2-Clause
#include "portoland/engine_config.h"

#include <algorithm>

namespace portolan::portoland {
namespace {

void add(std::vector<Family>& families, Family family) {
  if (std::ranges::find(families, family) == families.end()) families.push_back(family);
}

}  // namespace

auto server_config(const Settings& settings, TimePoint now) -> server::Config {
  server::Config config = settings.server;
  config.epoch_base = now;
  const bool is_simulated = settings.has(DeviceKind::simulated);
  const bool is_nat64 = settings.has(DeviceKind::nat64) || settings.has(DeviceKind::nat64_remote);
  const bool serves_ipv4 = is_simulated || settings.has(DeviceKind::nat44);
  const bool serves_ipv6 = is_simulated || is_nat64 || settings.has(DeviceKind::firewall6);
  for (server::Config::Inside& inside : config.inside) {
    inside.families.clear();
    if (serves_ipv6) inside.families.push_back(Family::ipv6);
    if (serves_ipv4) inside.families.push_back(Family::ipv4);
  }
  // Only IPv4 hosts speak it (RFC 6886 s3.8).
  config.nat_pmp = config.nat_pmp && serves_ipv4;

  config.external_families.clear();
  if (is_nat64 || settings.has(DeviceKind::nat44)) add(config.external_families, Family::ipv4);
  if (settings.has(DeviceKind::firewall6)) add(config.external_families, Family::ipv6);
  if (settings.devices.size() > 1) {
    if (is_nat64) config.external_family_of.emplace_back(Family::ipv6, Family::ipv4);
    if (settings.has(DeviceKind::nat44)) config.external_family_of.emplace_back(Family::ipv4, Family::ipv4);
    if (settings.has(DeviceKind::firewall6))
      config.external_family_of.emplace_back(Family::ipv6, Family::ipv6);
  }
  if (settings.has(DeviceKind::nat44)) config.nat_pmp_addresses = settings.nat44.pool;
  if (is_simulated) {
    for (const IpAddress& address : settings.simulated.pool) {
      add(config.external_families, address.family());
      if (address.is_ipv4()) config.nat_pmp_addresses.push_back(address.ipv4());
    }
  }
  config.external_addresses = config.nat_pmp_addresses;
  // Of another process's, mappings that move tell when an address is gone.
  if (settings.has(DeviceKind::nat64))
    std::ranges::copy(gateway::addresses_of(settings.nat64.pool),
                      std::back_inserter(config.external_addresses));
  return config;
}

}  // namespace portolan::portoland
