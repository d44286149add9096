// SPDX-License-Identifier: BSD-2-Clause
#include "io/reserved_ports.h"

#include <bitset>
#include <charconv>
#include <cstdint>
#include <fstream>
#include <ranges>
#include <set>
#include <sstream>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "io/sysctl.h"

namespace portolan::io {
namespace {

constexpr std::string_view setting = "net.ipv4.ip_local_reserved_ports";
constexpr std::size_t port_count = 65536;
using PortSet = std::bitset<port_count>;

auto parse_port(std::string_view text) -> std::optional<Port> {
  std::uint16_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return Port{value};
}

/// The kernel's list, such as "8080,40000-49999".
auto read_reserved() -> std::expected<PortSet, std::string> {
  const auto text = read_sysctl(setting);
  if (!text) return std::unexpected(text.error());
  PortSet reserved;
  for (const auto word : *text | std::views::split(',')) {
    const std::string_view item{word.begin(), word.end()};
    if (item.empty()) continue;
    const auto range = parse_port_range(item);
    if (!range) return std::unexpected(fmt::format("sysctl {}: can't read \"{}\"", setting, *text));
    for (std::size_t port = range->first.value; port <= range->last.value; ++port) reserved.set(port);
  }
  return reserved;
}

auto write_reserved(const PortSet& reserved) -> std::expected<void, std::string> {
  std::string text;
  for (std::size_t port = 0; port < port_count; ++port) {
    if (!reserved[port]) continue;
    const std::size_t first = port;
    while (port + 1 < port_count && reserved[port + 1]) ++port;
    text += fmt::format("{}{}-{}", text.empty() ? "" : ",", first, port);
  }
  // A write of nothing changes nothing; an empty line empties the list.
  return write_sysctl(setting, text + "\n");
}

auto count_in(const PortSet& reserved, const PortRange& ports) -> std::size_t {
  std::size_t count = 0;
  for (std::size_t port = ports.first.value; port <= ports.last.value; ++port) count += reserved[port];
  return count;
}

auto size_of(const PortRange& ports) -> std::size_t {
  return std::size_t{ports.last.value} - ports.first.value + 1;
}

}  // namespace

auto to_string(const PortRange& ports) -> std::string {
  return fmt::format("{}-{}", ports.first.value, ports.last.value);
}

auto parse_port_range(std::string_view text) -> std::optional<PortRange> {
  const auto dash = text.find('-');
  const auto first = parse_port(text.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : parse_port(text.substr(dash + 1));
  if (!first || !last || *last < *first) return std::nullopt;
  return PortRange{*first, *last};
}

auto reserve_ports(const PortRange& ports) -> std::expected<bool, std::string> {
  auto reserved = read_reserved();
  if (!reserved) return std::unexpected(reserved.error());
  const std::size_t already = count_in(*reserved, ports);
  if (already == size_of(ports)) return false;
  if (already != 0)
    return std::unexpected(
        fmt::format("ports {}: sysctl {} has {} of these {} already: reserve all of them, or none",
                    to_string(ports), setting, already, size_of(ports)));
  for (std::size_t port = ports.first.value; port <= ports.last.value; ++port) reserved->set(port);
  if (const auto written = write_reserved(*reserved); !written) return std::unexpected(written.error());
  return true;
}

auto release_ports(const PortRange& ports) -> std::expected<bool, std::string> {
  auto reserved = read_reserved();
  if (!reserved) return std::unexpected(reserved.error());
  if (count_in(*reserved, ports) != size_of(ports)) return false;
  for (std::size_t port = ports.first.value; port <= ports.last.value; ++port) reserved->reset(port);
  if (const auto written = write_reserved(*reserved); !written) return std::unexpected(written.error());
  return true;
}

auto free_choice_without(const PortRange& taken) -> std::expected<std::size_t, std::string> {
  constexpr std::string_view choice = "net.ipv4.ip_local_port_range";
  const auto reserved = read_reserved();
  if (!reserved) return std::unexpected(reserved.error());
  const auto text = read_sysctl(choice);
  if (!text) return std::unexpected(text.error());
  std::istringstream words(*text);
  std::size_t first = 0;
  std::size_t last = 0;
  if (!(words >> first >> last) || last >= port_count)
    return std::unexpected(fmt::format("sysctl {}: can't read \"{}\"", choice, *text));
  std::size_t count = 0;
  for (std::size_t port = first; port <= last; ++port)
    count += !(*reserved)[port] && !taken.contains(Port{static_cast<std::uint16_t>(port)});
  return count;
}

auto sockets_at(const PortRange& ports) -> std::vector<std::string> {
  std::set<std::pair<std::string, unsigned>> found;
  for (const std::string_view table : {"tcp", "tcp6", "udp", "udp6"}) {
    std::ifstream file(fmt::format("/proc/thread-self/net/{}", table));
    // "0: 0100007F:1F90 ...", under a line of headings.
    for (std::string line; std::getline(file, line);) {
      std::istringstream words(line);
      std::string number;
      std::string local;
      words >> number >> local;
      const auto colon = local.find(':');
      if (colon == std::string::npos) continue;
      std::uint16_t port = 0;
      const char* const end = local.data() + local.size();
      if (std::from_chars(local.data() + colon + 1, end, port, 16).ptr != end) continue;
      if (ports.contains(Port{port})) found.emplace(table.substr(0, 3), port);
    }
  }
  std::vector<std::string> lines;
  lines.reserve(found.size());
  for (const auto& [protocol, port] : found) lines.push_back(fmt::format("{} {}", protocol, port));
  return lines;
}

}  // namespace portolan::io
