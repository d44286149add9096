// SPDX-License-Identifier: BSD-2-Clause
#include "gateway/own_address.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "io/log.h"
#include "io/reserved_ports.h"
#include "io/sysctl.h"

namespace portolan::gateway {
namespace {

/// The kernel drops what comes from a TUN with a source of its own, unless no check asks where such packets
/// should come from; it takes the stricter of two settings.
auto check_reverse_path() -> std::expected<void, std::string> {
  constexpr std::string_view name = "net.ipv4.conf.all.rp_filter";
  const auto value = io::read_sysctl(name);
  if (!value) return std::unexpected(value.error());
  if (*value == "0") return {};
  return std::unexpected(
      fmt::format("nat64.own_address: sysctl {} is {}, and drops what the NAT64 sends from this host's own "
                  "address: set it to 0, and that of each interface to what it is to be",
                  name, *value));
}

}  // namespace

OwnAddress::OwnAddress(OwnAddressSettings settings, std::string tun, io::HostChanges& host,
                       io::FollowedAddress followed)
    : settings_(std::move(settings)), tun_(std::move(tun)), host_(&host), followed_(std::move(followed)) {}

auto OwnAddress::open(const OwnAddressSettings& settings, std::string tun, io::HostChanges& host)
    -> std::expected<OwnAddress, std::string> {
  if (const auto fine = check_reverse_path(); !fine) return std::unexpected(fine.error());
  if (const auto freed = host.free_left_ports_but(settings.ports); !freed)
    return std::unexpected(freed.error());
  const auto left = io::free_choice_without(settings.ports);
  if (!left) return std::unexpected(left.error());
  if (*left < host_ports_min)
    return std::unexpected(fmt::format(
        "nat64.own_address.ports: {} leave this host {} ports for connections of its own, and it needs {}: "
        "take fewer, or give it others by sysctl net.ipv4.ip_local_port_range",
        io::to_string(settings.ports), *left, host_ports_min));
  if (const auto reserved = host.reserve_ports(settings.ports); !reserved)
    return std::unexpected(reserved.error());
  if (const auto sockets = io::sockets_at(settings.ports); !sockets.empty()) {
    constexpr std::size_t shown_max = 8;
    const auto shown = std::span(sockets).first(std::min(sockets.size(), shown_max));
    io::log::warn(
        "own-address-sockets",
        "nat64.own_address: this host has sockets at ports that are the NAT64's, and they get nothing "
        "from outside any more: {sockets}",
        fmt::format("{}{}", fmt::join(shown, ", "), sockets.size() > shown_max ? ", ..." : ""));
  }
  auto followed = io::FollowedAddress::open(settings.interface);
  if (!followed) return std::unexpected(followed.error());
  return OwnAddress(settings, std::move(tun), host, *std::move(followed));
}

auto OwnAddress::prepare_tun() const -> std::expected<void, std::string> {
  // The TUN's own settings go with it: there is nothing to undo.
  for (const auto& [name, value] : {std::pair{"accept_local", "1"}, std::pair{"rp_filter", "0"}})
    if (const auto set = io::write_sysctl(fmt::format("net/ipv4/conf/{}/{}", tun_, name), value); !set)
      return set;
  return {};
}

auto OwnAddress::look(TimePoint now) -> std::expected<bool, std::string> {
  next_look_ = now + retry;
  if (const auto looked = followed_.look(now); !looked) return std::unexpected(looked.error());
  const std::optional<Ipv4Address> wanted = followed_.address();
  const bool is_other = wanted != address_;
  if (!wanted && is_other) {
    if (const auto removed = host_->remove_redirect(settings_.interface); !removed)
      io::log::warn("left-on-host", "left on this host: {what}", removed.error());
    interface_index_ = 0;
  } else if (wanted && (is_other || followed_.interface_index() != interface_index_)) {
    const io::Redirect redirect{.destination = *wanted, .ports = settings_.ports};
    if (const auto redirected = host_->redirect(redirect, settings_.interface, tun_); !redirected)
      return std::unexpected(redirected.error());
    interface_index_ = followed_.interface_index();
  }
  address_ = wanted;
  next_look_ = followed_.next_look();
  return is_other;
}

}  // namespace portolan::gateway
