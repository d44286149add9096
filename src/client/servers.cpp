// SPDX-License-Identifier: BSD-2-Clause
#include "client/servers.h"

namespace portolan::client {

auto is_same_way(const Path& left, const Path& right) -> bool {
  return left.server == right.server && left.interface_index == right.interface_index &&
         left.client_address == right.client_address;
}

auto announcement_group(Family family) -> IpAddress {
  return *IpAddress::parse(family == Family::ipv4 ? "224.0.0.1" : "ff02::1");
}

}  // namespace portolan::client
