// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/server_choice.h"

#include <utility>

#include <fmt/format.h>

#include "io/routes.h"
#include "io/udp.h"

namespace portolan {
namespace {

/// The address the kernel would use towards `destination`, by way of `device` unless empty. Nothing is
/// sent: connecting a UDP socket only looks up the route.
auto source_towards(const IpAddress& destination, std::uint32_t scope_id, const std::string& device)
    -> std::expected<IpAddress, std::string> {
  auto socket = io::UdpSocket::open({.bind_address = IpAddress::unspecified(destination.family()),
                                     .bind_port = {},
                                     .scope_id = 0,
                                     .device = device,
                                     .receive_buffer_bytes = 0,
                                     .shares_port = false});
  if (!socket) return std::unexpected(socket.error());
  if (auto connected = socket->connect({destination, Port{wire::server_port}}, scope_id); !connected)
    return std::unexpected(connected.error());
  return socket->local_endpoint().address;
}

/// A link-local server is asked from the address the host uses towards the rest of the world: a mapping
/// to a link-local address would reach nobody. Any global destination stands for that world.
auto global_source(const std::string& interface) -> std::expected<IpAddress, std::string> {
  const IpAddress somewhere = *IpAddress::parse("2001:db8::1");
  const auto source = source_towards(somewhere, 0, interface);
  if (!source) return std::unexpected(source.error());
  if (source->is_link_local()) {
    return std::unexpected(fmt::format(
        "interface {} has no global IPv6 address yet, and a mapping needs one: wait for the network, or give "
        "--internal-address",
        interface));
  }
  return *source;
}

auto candidates_of(const ServerOptions& options)
    -> std::expected<std::vector<io::ScopedAddress>, std::string> {
  if (!options.server.empty()) {
    auto addresses = io::resolve(options.server);
    if (addresses) return addresses;
    return std::unexpected(
        fmt::format("--server {}: give the name or address of the PCP server", addresses.error()));
  }
  const auto routers = io::default_routers();
  if (!routers) return std::unexpected(routers.error());
  if (routers->empty())
    return std::unexpected(
        "this host has no default router, so there is no PCP server to ask: connect it to a network, or name "
        "the server with --server");
  std::vector<io::ScopedAddress> addresses;
  for (const io::Router& router : *routers) {
    const bool needs_zone = router.address.is_link_local();
    addresses.push_back({.address = router.address,
                         .interface_index = needs_zone ? router.interface_index : 0,
                         .interface = needs_zone ? router.interface : ""});
  }
  return addresses;
}

}  // namespace

auto ServerChoice::address_text() const -> std::string {
  return server.interface.empty() ? to_string(server.address)
                                  : fmt::format("{}%{}", server.address, server.interface);
}

auto ServerChoice::endpoint_text() const -> std::string {
  return server.address.is_ipv4() ? fmt::format("{}:{}", server.address, port)
                                  : fmt::format("[{}]:{}", address_text(), port);
}

auto choose_server(const ServerOptions& options) -> std::expected<ServerChoice, Exit> {
  const auto fail = [](int status, std::string text) {
    return std::unexpected(Exit{.status = status, .text = std::move(text)});
  };
  auto candidates = candidates_of(options);
  if (!candidates) return fail(exit_no_answer, candidates.error());
  std::optional<Exit> first_failure;
  for (io::ScopedAddress& candidate : *candidates) {
    if (candidate.address.is_link_local() && candidate.interface_index == 0) {
      return fail(
          exit_usage,
          fmt::format("--server {0} is a link-local address: name its interface, as in --server {0}%eth0",
                      candidate.address));
    }
    const auto source = options.internal_address
                            ? std::expected<IpAddress, std::string>(*options.internal_address)
                        : candidate.address.is_link_local()
                            ? global_source(candidate.interface)
                            : source_towards(candidate.address, candidate.interface_index, {});
    if (source && source->family() == candidate.address.family())
      return ServerChoice{
          .server = std::move(candidate), .port = options.server_port, .client_address = *source};
    if (first_failure) continue;
    first_failure =
        source ? Exit{.status = exit_usage,
                      .text = fmt::format("--internal-address {} and the PCP server {} are of different "
                                          "families: give an address of the server's",
                                          *source, candidate.address)}
               : Exit{.status = exit_no_answer, .text = source.error()};
  }
  return std::unexpected(*first_failure);
}

}  // namespace portolan
