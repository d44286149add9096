// SPDX-License-Identifier: BSD-2-Clause
#include "discovery/host/look.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "discovery/destination_order.h"
#include "discovery/lease_text.h"
#include "io/host_addresses.h"
#include "io/read_file.h"
#include "io/routes.h"
#include "io/source_address.h"

namespace portolan::discovery {
namespace {

namespace fs = std::filesystem;

/// How the file of a DHCP client is written, and how its interface is found.
enum class Format : std::uint8_t { dhclient, dhcpcd4, dhcpcd6, networkd };

auto by_name(std::string_view name, const std::vector<InterfaceName>& interfaces) -> InterfaceName {
  const auto found = std::ranges::find(interfaces, name, &InterfaceName::name);
  return found == interfaces.end() ? InterfaceName{} : *found;
}

auto by_index(const std::string& text, const std::vector<InterfaceName>& interfaces) -> InterfaceName {
  std::uint32_t index = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
  if (error != std::errc{} || end != text.data() + text.size()) return {};
  const auto found = std::ranges::find(interfaces, index, &InterfaceName::index);
  return found == interfaces.end() ? InterfaceName{} : *found;
}

auto text_of(const std::vector<std::byte>& octets) -> std::string_view {
  return {reinterpret_cast<const char*>(octets.data()), octets.size()};
}

class LeaseSearch {
 public:
  LeaseSearch(fs::path root, View& view) : root_(std::move(root)), view_(view) {}

  void run() {
    // NetworkManager has dhclient write where and as dhclient does.
    for (const char* folder : {"var/lib/dhcp", "var/lib/dhclient", "var/lib/NetworkManager"})
      search(folder, [](const std::string& name) -> std::optional<Format> {
        const bool is_lease = name.ends_with(".leases") || name.ends_with(".lease");
        return name.starts_with("dhclient") && is_lease ? std::optional(Format::dhclient) : std::nullopt;
      });
    search("var/lib/dhcpcd", [](const std::string& name) -> std::optional<Format> {
      if (name.ends_with(".lease")) return Format::dhcpcd4;
      if (name.ends_with(".lease6")) return Format::dhcpcd6;
      return {};
    });
    search("run/systemd/netif/leases",
           [](const std::string&) -> std::optional<Format> { return Format::networkd; });
  }

 private:
  template <typename FormatOf>
  void search(const char* folder, FormatOf format_of) {
    std::error_code error;
    fs::directory_iterator entries(root_ / folder, error);
    if (error && error != std::errc::no_such_file_or_directory && error != std::errc::not_a_directory)
      remark(root_ / folder, error.message());
    if (error) return;
    std::vector<fs::path> paths;
    while (!error && entries != fs::directory_iterator() && paths.size() < lease_files_max) {
      paths.push_back(entries->path());
      entries.increment(error);
    }
    std::ranges::sort(paths);
    for (const fs::path& path : paths)
      if (const auto format = format_of(path.filename().string())) read(path, *format);
  }

  void read(const fs::path& path, Format format) {
    const auto octets = io::read_file(path, lease_file_octets_max);
    if (!octets && octets.error().number == ENOENT) return;
    if (!octets) {
      const int number = octets.error().number;
      remark(path, number == EFBIG ? fmt::format("it has more than {} octets", lease_file_octets_max)
                                   : io::to_string(octets.error()));
      return;
    }
    switch (format) {
      case Format::dhclient: return take(path, parse_dhclient_leases(text_of(*octets)), {});
      case Format::networkd:
        return take(path, parse_networkd_lease(text_of(*octets)),
                    by_index(path.filename().string(), view_.interfaces));
      case Format::dhcpcd4: return take(path, parse_dhcp4_message(*octets));
      case Format::dhcpcd6: return take(path, parse_dhcp6_message(*octets));
    }
  }

  void take(const fs::path& path, const std::expected<Lease, DhcpError>& lease) {
    if (!lease) return remark(path, std::string(to_string(lease.error())));
    take(path, {.leases = {*lease}, .problems = {}},
         interface_of_stem(path.stem().string(), view_.interfaces));
  }

  /// `of_file`: the interface that the file's name tells.
  void take(const fs::path& path, LeaseFile file, const InterfaceName& of_file) {
    for (const std::string& problem : file.problems) remark(path, problem);
    for (Lease& lease : file.leases) {
      const InterfaceName interface =
          lease.interface.empty() ? of_file : by_name(lease.interface, view_.interfaces);
      if (lease.servers.empty() || interface.index == 0) continue;
      view_.findings.leased.push_back({.lease = std::move(lease), .interface = interface});
    }
  }

  void remark(const fs::path& path, const std::string& problem) {
    view_.remarks.push_back(
        fmt::format("{}: {}; PCP servers that DHCP named in it stay unknown", path.string(), problem));
  }

  fs::path root_;
  View& view_;
};

}  // namespace

auto interface_of_stem(const std::string& stem, const std::vector<InterfaceName>& interfaces)
    -> InterfaceName {
  InterfaceName best;
  for (const InterfaceName& interface : interfaces) {
    const bool begins = stem.starts_with(interface.name) &&
                        (stem.size() == interface.name.size() || stem[interface.name.size()] == '-');
    if (begins && interface.name.size() > best.name.size()) best = interface;
  }
  return best;
}

auto look_at_addresses() -> std::expected<View, std::string> {
  View view;
  const auto interfaces = io::named_interfaces();
  if (!interfaces) return std::unexpected(interfaces.error());
  for (const io::NamedInterface& interface : *interfaces)
    view.interfaces.push_back({.index = interface.index, .name = interface.name});
  auto addresses = io::host_addresses();
  if (!addresses) return std::unexpected(addresses.error());
  view.findings.host_addresses = std::move(*addresses);
  return view;
}

auto look_around(const fs::path& root) -> std::expected<View, std::string> {
  auto view = look_at_addresses();
  if (!view) return view;
  const auto routers = io::default_routers();
  if (!routers) return std::unexpected(routers.error());
  for (const io::Router& router : *routers)
    view->findings.routers.push_back(
        {.address = router.address,
         .interface = {.index = router.interface_index, .name = router.interface}});
  LeaseSearch(root, *view).run();
  return view;
}

auto Way::server_text() const -> std::string {
  return server.is_link_local() ? fmt::format("{}%{}", server, interface.name) : to_string(server);
}

auto Way::path(Port port) const -> client::Path {
  return {.server = {.address = server, .port = port},
          .interface_index = interface.index,
          .client_address = plan.source,
          .address_valid_until = plan.valid_until};
}

auto ways_to(const Server& server, const View& view, std::vector<std::string>& remarks) -> std::vector<Way> {
  std::vector<Destination> destinations;
  std::vector<Way> ways;
  for (const IpAddress& address : server.addresses) {
    const bool is_link_local = address.is_link_local();
    Way way{.server = address, .interface = is_link_local ? server.interface : InterfaceName{}, .plan = {}};
    const auto source = io::source_for_server(address, way.interface.index, server.interface.name);
    const auto plan = source ? plan_address(view.findings.host_addresses, *source, address)
                             : std::expected<AddressPlan, NoAddress>(std::unexpected(NoAddress::unknown));
    if (!plan) {
      remarks.push_back(fmt::format("{} ({}): {}", way.server_text(), to_string(server.origin),
                                    source ? std::string(to_string(plan.error())) : source.error()));
      continue;
    }
    way.plan = *plan;
    const auto* const host =
        &*std::ranges::find(view.findings.host_addresses, *source, &HostAddress::address);
    destinations.push_back(
        {.address = address, .source = *source, .is_source_deprecated = host->is_deprecated});
    ways.push_back(std::move(way));
  }
  // Routers come in the order of the routing table, which knows better than a comparison of addresses.
  if (server.origin == Origin::default_router) return ways;
  std::vector<Way> ordered;
  for (const Destination& destination : in_order(std::move(destinations)))
    ordered.push_back(*std::ranges::find(ways, destination.address, &Way::server));
  return ordered;
}

void add_other_paths(const View& view, client::Server& server) {
  const auto& addresses = view.findings.host_addresses;
  for (const client::Path& path : server.paths) {
    const auto chosen = std::ranges::find(addresses, path.client_address, &HostAddress::address);
    if (chosen == addresses.end()) continue;
    for (const HostAddress& other : addresses) {
      if (other.interface_index != chosen->interface_index || other.address == chosen->address ||
          other.address.family() != chosen->address.family())
        continue;
      const auto plan = plan_address(addresses, other.address, path.server.address);
      if (!plan) continue;
      client::Path added = path;
      added.client_address = plan->source;
      added.address_valid_until = plan->valid_until;
      server.other_paths.push_back(std::move(added));
    }
  }
}

auto client_servers(const View& view, Port port, std::vector<std::string>& remarks)
    -> std::vector<client::Server> {
  std::vector<client::Server> servers;
  for (const Server& server : choose_servers(view.findings)) {
    client::Server made;
    for (const Way& way : ways_to(server, view, remarks)) {
      // The first address names the server, whichever is in use: the order may change, the server is the
      // same.
      if (way.server == server.addresses.front() || made.name.empty()) made.name = way.server_text();
      made.paths.push_back(way.path(port));
    }
    const bool is_known = std::ranges::find(servers, made.name, &client::Server::name) != servers.end();
    if (made.paths.empty() || is_known) continue;
    add_other_paths(view, made);
    servers.push_back(std::move(made));
  }
  return servers;
}

}  // namespace portolan::discovery
