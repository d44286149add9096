// SPDX-License-Identifier: BSD-2-Clause
//
// Routes as the kernel lists them. For this folder only.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <libmnl/libmnl.h>

#include "base/address.h"

namespace portolan::io {

/// One way of a route.
struct Hop {
  IpAddress gateway;
  std::uint32_t interface_index = 0;
};

struct Route {
  Prefix destination;
  std::uint8_t type = 0;    ///< RTN_*
  std::uint32_t flags = 0;  ///< RTM_F_*
  std::uint32_t table = 0;
  std::uint32_t metric = 0;
  std::vector<Hop> hops;
};

struct RouteSocketCloser {
  void operator()(mnl_socket* socket) const { static_cast<void>(mnl_socket_close(socket)); }
};
using RouteSocket = std::unique_ptr<mnl_socket, RouteSocketCloser>;

[[nodiscard]] auto open_route_socket() -> std::expected<RouteSocket, std::string>;
/// Nothing if the message is about no route.
[[nodiscard]] auto read_route(const nlmsghdr* message) -> std::optional<Route>;
/// Calls `visit` for each route of a family, of all tables, until it returns false.
[[nodiscard]] auto list_routes(Family family, const std::function<bool(const Route&)>& visit)
    -> std::expected<void, std::string>;

}  // namespace portolan::io
