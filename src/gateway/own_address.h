// SPDX-License-Identifier: BSD-2-Clause
//
// The gateway's own IPv4 address, shared with the host: some ports of it are the NAT64's. It is followed as
// the interface gets another one, as by DHCP or PPP.
//
// The host keeps its sockets out of the ports (io/reserved_ports.h), and hands packets to them over to the
// NAT64 (io::Redirect), which no route could do.
#pragma once

#include <expected>
#include <optional>
#include <string>

#include "base/time.h"
#include "gateway/nat64_settings.h"
#include "io/followed_address.h"
#include "io/host_network.h"

namespace portolan::gateway {

class OwnAddress {
 public:
  /// How long an address that is gone stays the pool's, and how soon what failed is tried again.
  static constexpr Seconds patience = io::FollowedAddress::patience;
  static constexpr Seconds retry = io::FollowedAddress::retry;
  /// Fewest ports that the host keeps for connections of its own.
  static constexpr std::size_t host_ports_min = 256;

  /// Reserves the ports. `host` outlives it. Errors  text for the operator
  [[nodiscard]] static auto open(const OwnAddressSettings& settings, std::string tun, io::HostChanges& host)
      -> std::expected<OwnAddress, std::string>;

  /// What the TUN must be like, for packets that have the host's own address as their source. Once it is
  /// there. Errors  text for the operator
  [[nodiscard]] auto prepare_tun() const -> std::expected<void, std::string>;

  /// Looks which address the interface has, and has its packets handed over. True if address() is another
  /// now. Errors  text for the operator; address() is as before, look again after `retry`
  [[nodiscard]] auto look(TimePoint now) -> std::expected<bool, std::string>;
  /// Whether what is promised at the address need not wait for it: it is there, or has been waited for, since
  /// the first look, for `patience`.
  [[nodiscard]] auto is_settled() const -> bool { return followed_.is_settled(); }
  /// When to look though nothing is told.
  [[nodiscard]] auto next_look() const -> std::optional<TimePoint> { return next_look_; }

  /// The one that belongs in the pool.
  [[nodiscard]] auto address() const -> std::optional<Ipv4Address> { return address_; }
  [[nodiscard]] auto settings() const -> const OwnAddressSettings& { return settings_; }
  [[nodiscard]] auto watch() const -> const io::AddressWatch& { return followed_.watch(); }

 private:
  OwnAddress(OwnAddressSettings settings, std::string tun, io::HostChanges& host,
             io::FollowedAddress followed);

  OwnAddressSettings settings_;
  std::string tun_;
  io::HostChanges* host_;
  io::FollowedAddress followed_;
  std::optional<Ipv4Address> address_;  ///< that packets are handed over for
  unsigned interface_index_ = 0;        ///< of the interface that hands over; 0: none
  std::optional<TimePoint> next_look_;
};

}  // namespace portolan::gateway
