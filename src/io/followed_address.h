// SPDX-License-Identifier: BSD-2-Clause
//
// The IPv4 address of an interface, followed as the interface gets another one, as by DHCP or PPP.
#pragma once

#include <expected>
#include <optional>
#include <span>
#include <string>

#include "base/time.h"
#include "io/address_watch.h"
#include "io/netlink.h"

namespace portolan::io {

class FollowedAddress {
 public:
  /// How long an address that is gone stays this one: those who renew it take the old one away before they
  /// add the new one, and mappings can move only from one to the other.
  static constexpr Seconds patience{30};
  /// How soon what failed is tried again.
  static constexpr Seconds retry{5};

  /// Of the interface of that name, which need not be there. Errors  text for the operator
  [[nodiscard]] static auto open(std::string interface) -> std::expected<FollowedAddress, std::string>;

  /// Looks which address the interface has. True if address() is another now.
  /// Errors  text for the operator; address() is as before, look again after `retry`
  [[nodiscard]] auto look(TimePoint now) -> std::expected<bool, std::string>;
  /// Whether what is promised at the address need not wait for it: it is there, or has been waited for, since
  /// the first look, for `patience`.
  [[nodiscard]] auto is_settled() const -> bool { return is_settled_; }
  /// When to look though nothing is told.
  [[nodiscard]] auto next_look() const -> std::optional<TimePoint> { return next_look_; }

  [[nodiscard]] auto address() const -> std::optional<Ipv4Address> { return address_; }
  /// Of the interface when it last had the address; 0: there is no address.
  [[nodiscard]] auto interface_index() const -> unsigned { return interface_index_; }
  [[nodiscard]] auto watch() const -> const AddressWatch& { return watch_; }

  /// Which of an interface's addresses is taken: the one that was, as long as it is there; else the first
  /// IPv4 address that the Internet could send to, link-local ones apart.
  [[nodiscard]] static auto choose(std::optional<Ipv4Address> present,
                                   std::span<const InterfaceAddress> addresses) -> std::optional<Ipv4Address>;

 private:
  FollowedAddress(std::string interface, AddressWatch watch, Netlink netlink);

  std::string interface_;
  AddressWatch watch_;
  Netlink netlink_;
  std::optional<Ipv4Address> address_;
  unsigned interface_index_ = 0;
  std::optional<TimePoint> gone_since_;
  std::optional<TimePoint> first_look_;
  bool is_settled_ = false;
  std::optional<TimePoint> next_look_;
};

}  // namespace portolan::io
