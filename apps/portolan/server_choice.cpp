// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/server_choice.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "discovery/host/look.h"
#include "io/host_addresses.h"
#include "io/source_address.h"

namespace portolan {
namespace {

/// The address to be mapped, which is the one that this host's traffic leaves from.
auto source_for(const io::ScopedAddress& server) -> std::expected<IpAddress, std::string> {
  auto source = io::source_for_server(server.address, server.interface_index, server.interface);
  if (source && source->is_link_local()) {
    return std::unexpected(fmt::format(
        "interface {} has no global IPv6 address yet, and a mapping needs one: wait for the network, or give "
        "--internal-address",
        server.interface));
  }
  return source;
}

auto candidates_of(const ServerOptions& options)
    -> std::expected<std::vector<io::ScopedAddress>, std::string> {
  if (!options.server.empty()) {
    auto addresses = io::resolve(options.server);
    if (addresses) return addresses;
    return std::unexpected(
        fmt::format("--server {}: give the name or address of the PCP server", addresses.error()));
  }
  auto view = discovery::look_around();
  if (!view) return std::unexpected(view.error());
  // An anycast address is the way out only where a program stays and tries one after the other.
  view->findings.uses_anycast = false;
  std::vector<io::ScopedAddress> addresses;
  for (const discovery::Server& server : discovery::choose_servers(view->findings)) {
    for (const IpAddress& address : server.addresses) {
      const bool needs_zone = address.is_link_local();
      addresses.push_back({.address = address,
                           .interface_index = needs_zone ? server.interface.index : 0,
                           .interface = needs_zone ? server.interface.name : ""});
    }
  }
  if (!addresses.empty()) return addresses;
  return std::unexpected(
      "this host has no default router, so there is no PCP server to ask: connect it to a network, or name "
      "the server with --server");
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

auto ServerChoice::look_at_address() -> bool {
  const auto addresses = io::host_addresses();
  if (!addresses) return true;  // nothing is known against it
  const auto found = std::ranges::find(*addresses, client_address, &HostAddress::address);
  if (found == addresses->end()) return false;
  address_valid_until = found->valid_until;
  return true;
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
                            : source_for(candidate);
    if (source && source->family() == candidate.address.family()) {
      ServerChoice choice{
          .server = std::move(candidate), .port = options.server_port, .client_address = *source};
      choice.look_at_address();
      return choice;
    }
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
