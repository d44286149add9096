// SPDX-License-Identifier: BSD-2-Clause
//
// Section [router_advertisement] of a daemon's configuration. docs/man/portolan-daemons.5 describes every
// key.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/time.h"
#include "gateway/advertisement_schedule.h"

namespace portolan::gateway {

/// Whether hosts have their default route by somebody else's advertisements or by ours.
enum class AdvertisementMode : std::uint8_t {
  alone,  ///< PREF64 alone, from a link-local address of its own
  whole,  ///< all that a router says, from the interface's address
};

struct AdvertisementSettings {
  AdvertisementMode mode = AdvertisementMode::alone;
  std::vector<std::string> interfaces;
  AdvertisementSchedule::Intervals intervals;
  /// Of PREF64.
  Seconds lifetime{1800};
  bool is_managed = false;
  bool has_other_config = false;
  /// Mode alone: what advertisements come from. None: one that the interface's address makes.
  std::optional<IpAddress> source;

  // Mode whole.
  Seconds router_lifetime{1800};
  std::uint8_t hop_limit = 64;
  /// 0: hosts take the link's.
  std::uint32_t mtu = 0;
  /// Empty: those of the interface's addresses.
  std::vector<Prefix> prefixes;
  Seconds valid_lifetime{2592000};
  Seconds preferred_lifetime{604800};
  std::vector<IpAddress> dns_servers;

  auto operator==(const AdvertisementSettings&) const -> bool = default;
};

}  // namespace portolan::gateway
