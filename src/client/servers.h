// SPDX-License-Identifier: BSD-2-Clause
//
// Which PCP servers a client asks, and from which of its addresses. Who finds them out (a configuration,
// DHCP, the default routers) hands the whole list to Client::set_servers() again whenever it changes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/time.h"

namespace portolan::client {

/// One way to a PCP server: from an address of this host to an address of the server.
struct Path {
  Endpoint server;
  /// Interface index if the server's address is link-local, else 0.
  std::uint32_t interface_index = 0;
  /// Source address of the requests, hence internal address of the mappings (RFC 6887 s8.4).
  IpAddress client_address;
  /// When this host loses the client address; no mapping is asked for beyond.
  std::optional<TimePoint> address_valid_until = {};

  auto operator==(const Path&) const -> bool = default;
};

/// The same server from the same address, however long that lives.
[[nodiscard]] auto is_same_way(const Path& left, const Path& right) -> bool;
/// The multicast group to which servers of this address family announce restarts (RFC 6887 s14.1.1), port
/// 5350.
[[nodiscard]] auto announcement_group(Family family) -> IpAddress;

/// One PCP server. Requests to different servers have nothing to do with each other (RFC 7488 s4).
struct Server {
  /// Says which server it is when the list is set again, and shows it to people; unique in a list.
  std::string name;
  /// In the order in which to try them (RFC 7488 s3); not empty.
  std::vector<Path> paths;
  /// The same from this host's other addresses: for wishes that name one of them.
  std::vector<Path> other_paths = {};

  auto operator==(const Server&) const -> bool = default;
};

/// Servers beyond, and paths of one, are not asked.
constexpr std::size_t servers_max = 16;
constexpr std::size_t paths_max = 16;
constexpr std::size_t other_paths_max = 256;

}  // namespace portolan::client
