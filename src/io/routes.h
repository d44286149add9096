// SPDX-License-Identifier: BSD-2-Clause
//
// Who a host's default routers are: a PCP client's servers unless it is told others (RFC 6887 s8.1).
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "base/address.h"

namespace portolan::io {

/// Gateway of a default route. A link-local address is meaningful on its interface only.
struct Router {
  IpAddress address;
  std::uint32_t interface_index = 0;
  std::string interface;
};

/// Gateways of the main table's default routes: those of IPv6 first, each family's by metric,
/// none twice. Empty if there is no default route.
[[nodiscard]] auto default_routers() -> std::expected<std::vector<Router>, std::string>;

}  // namespace portolan::io
