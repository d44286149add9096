// SPDX-License-Identifier: BSD-2-Clause
#include "io/reserved_ports.h"

#include <bitset>
#include <charconv>
#include <cstdint>
#include <ranges>
#include <system_error>

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

}  // namespace portolan::io
