// SPDX-License-Identifier: BSD-2-Clause
#include "io/followed_address.h"

#include <utility>

namespace portolan::io {
namespace {

auto is_usable(Ipv4Address address) -> bool {
  const std::uint32_t first = address.value >> 24U;
  return first != 0 && first != 127 && first < 224 && address.value >> 16U != 0xa9feU;
}

}  // namespace

FollowedAddress::FollowedAddress(std::string interface, AddressWatch watch, Netlink netlink)
    : interface_(std::move(interface)), watch_(std::move(watch)), netlink_(std::move(netlink)) {}

auto FollowedAddress::open(std::string interface) -> std::expected<FollowedAddress, std::string> {
  // The watch first: so no change is missed between the first look and the first word.
  auto watch = AddressWatch::open();
  if (!watch) return std::unexpected(watch.error());
  auto netlink = Netlink::open();
  if (!netlink) return std::unexpected(netlink.error());
  return FollowedAddress(std::move(interface), *std::move(watch), *std::move(netlink));
}

auto FollowedAddress::choose(std::optional<Ipv4Address> present, std::span<const InterfaceAddress> addresses)
    -> std::optional<Ipv4Address> {
  std::optional<Ipv4Address> first;
  for (const InterfaceAddress& each : addresses) {
    if (!each.address.is_ipv4() || !is_usable(each.address.ipv4())) continue;
    if (each.address.ipv4() == present) return present;
    if (!first) first = each.address.ipv4();
  }
  return first;
}

auto FollowedAddress::look(TimePoint now) -> std::expected<bool, std::string> {
  next_look_ = now + retry;
  if (!first_look_) first_look_ = now;
  if (now >= *first_look_ + patience) is_settled_ = true;
  const auto interface = netlink_.find_interface(interface_);
  if (!interface) return std::unexpected(interface.error());
  std::optional<Ipv4Address> found;
  if (*interface) {
    const auto addresses = netlink_.addresses((*interface)->index);
    if (!addresses) return std::unexpected(addresses.error());
    found = choose(address_, *addresses);
  }
  if (found) {
    interface_index_ = (*interface)->index;
    gone_since_.reset();
    next_look_.reset();
    is_settled_ = true;
    return std::exchange(address_, found) != found;
  }
  if (address_ && !gone_since_) gone_since_ = now;
  if (address_ && now < *gone_since_ + patience) {
    next_look_ = *gone_since_ + patience;
    return false;
  }
  next_look_.reset();
  gone_since_.reset();
  interface_index_ = 0;
  if (!is_settled_) next_look_ = *first_look_ + patience;
  return std::exchange(address_, std::nullopt).has_value();
}

}  // namespace portolan::io
