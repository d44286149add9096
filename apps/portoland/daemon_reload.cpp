// SPDX-License-Identifier: BSD-2-Clause
//
// Other settings while portoland runs.
#include <algorithm>

#include <spdlog/spdlog.h>

#include "portoland/daemon.h"
#include "portoland/engine_config.h"

namespace portolan::portoland {
namespace {

/// Addresses of `pool` that are not in `other`.
auto only_in(const std::vector<Ipv4Address>& pool, const std::vector<Ipv4Address>& other)
    -> std::vector<Ipv4Address> {
  std::vector<Ipv4Address> found;
  std::ranges::copy_if(pool, std::back_inserter(found),
                       [&](Ipv4Address address) { return std::ranges::find(other, address) == other.end(); });
  return found;
}

}  // namespace

auto Daemon::reload(Settings wanted) -> std::expected<void, std::string> {
  const auto come = only_in(wanted.nat64.pool, settings_.nat64.pool);
  const auto gone = only_in(settings_.nat64.pool, wanted.nat64.pool);
  if (settings_.device == DeviceKind::nat64) {
    for (const Ipv4Address address : come) {
      const auto claimed = claim_address(address);
      if (claimed) continue;
      for (const Ipv4Address each : come) release_address(each);
      return claimed;
    }
  }
  settings_ = std::move(wanted);
  // From here on nothing fails.
  set_device_pool_(settings_);
  server_.reconfigure(io::monotonic_now(), server_config(settings_, io::monotonic_now()));
  if (settings_.device == DeviceKind::nat64)
    for (const Ipv4Address address : gone) release_address(address);
  server_.advance(io::monotonic_now());
  carry_out_actions();
  return {};
}

auto Daemon::claim_address(Ipv4Address address) -> std::expected<void, std::string> {
  const Nat64Settings& nat64 = settings_.nat64;
  if (const auto routed = host_.add_route(Prefix{IpAddress{address}, 128}, nat64.tun); !routed) return routed;
  return nat64.outside.empty() ? std::expected<void, std::string>{}
                               : host_.add_proxy_neighbour(IpAddress{address}, nat64.outside);
}

void Daemon::release_address(Ipv4Address address) {
  const Nat64Settings& nat64 = settings_.nat64;
  const auto warn = [](const std::expected<bool, std::string>& removed) {
    if (!removed) spdlog::warn("left on this host: {}", removed.error());
  };
  if (!nat64.outside.empty()) warn(host_.remove_proxy_neighbour(IpAddress{address}, nat64.outside));
  warn(host_.remove_route(Prefix{IpAddress{address}, 128}, nat64.tun));
}

}  // namespace portolan::portoland
