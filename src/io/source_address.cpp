// SPDX-License-Identifier: BSD-2-Clause
#include "io/source_address.h"

#include "io/udp.h"

namespace portolan::io {

auto source_towards(const IpAddress& destination, std::uint32_t scope_id, const std::string& device)
    -> std::expected<IpAddress, std::string> {
  // No port is asked; any but 0 will do.
  constexpr Port some_port{9};
  auto socket =
      UdpSocket::open({.bind_address = IpAddress::unspecified(destination.family()), .device = device});
  if (!socket) return std::unexpected(socket.error());
  if (auto connected = socket->connect({.address = destination, .port = some_port}, scope_id); !connected)
    return std::unexpected(connected.error());
  return socket->local_endpoint().address;
}

auto source_for_server(const IpAddress& server, std::uint32_t scope_id, const std::string& interface)
    -> std::expected<IpAddress, std::string> {
  const bool is_unique_local = !server.is_ipv4() && (server.bits().octets[0] & 0xfeU) == 0xfcU;
  if (!server.is_link_local() && !is_unique_local) return source_towards(server, scope_id);
  // Any global destination stands for the rest of the world.
  constexpr IpAddress somewhere{Ipv6Address{{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}}};
  auto source = source_towards(somewhere, 0, interface);
  if (!source && is_unique_local) return source_towards(server, scope_id);
  return source;
}

}  // namespace portolan::io
