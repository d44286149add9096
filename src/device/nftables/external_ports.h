// SPDX-License-Identifier: BSD-2-Clause
//
// The external addresses of a NAT44 and who has which of their ports. Port 0 stands for all ports of a
// protocol, of protocol 0 for all that comes to an address.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/port_range.h"
#include "base/random.h"
#include "device/pool_use.h"
#include "nat/port_space.h"

namespace portolan::device {

/// Owners are numbers, 1 to 2^31 - 1, of whoever asks.
class ExternalPorts {
 public:
  /// Ports are chosen from `chosen` only; others can be had by name, those of PCP itself never.
  ExternalPorts(PortRange chosen, Random& random) : chosen_(chosen), random_(random) {}

  [[nodiscard]] auto pool() const -> const std::vector<Ipv4Address>& { return pool_; }
  /// Addresses without duplicates. What is known of ports of an address that is gone is forgotten.
  void set_pool(std::vector<Ipv4Address> pool);
  [[nodiscard]] auto has(const IpAddress& address) const -> bool;

  /// Who has the port, or had it last and it is held down for. `external` is of the pool.
  [[nodiscard]] auto owner(Protocol protocol, const Endpoint& external) const -> nat::PortOwner;
  /// Whether the port may be chosen and nobody has it.
  [[nodiscard]] auto is_free(Protocol protocol, const Endpoint& external) const -> bool;
  void give(Protocol protocol, const Endpoint& external, std::uint32_t owner);
  void hold(Protocol protocol, const Endpoint& external, std::uint32_t owner);
  void release(Protocol protocol, const Endpoint& external);

  struct Run {
    Endpoint first;
    std::uint32_t count = 0;
  };
  /// `count` consecutive free ports of an address within `range`, or as many as there are; at random.
  [[nodiscard]] auto pick(Protocol protocol, Ipv4Address address, PortRange range, std::optional<bool> odd,
                          std::uint32_t count) -> Run;

  [[nodiscard]] auto chosen() const -> const PortRange& { return chosen_; }
  /// How many of the ports that are chosen from somebody has, or had last and they are held down for.
  /// Cost O(ports / 64)
  [[nodiscard]] auto use_of(Protocol protocol) const -> PoolUse;
  /// Ports that a PCP server must not give away (RFC 6887 s11.3).
  [[nodiscard]] static auto is_of_pcp(Protocol protocol, Port port) -> bool {
    return protocol == Protocol::udp && (port == Port{5350} || port == Port{5351});
  }

 private:
  /// Nothing of what was never asked for is kept.
  [[nodiscard]] auto find(Protocol protocol, Ipv4Address address) const -> nat::PortMemory*;
  [[nodiscard]] auto space(Protocol protocol, Ipv4Address address) -> nat::PortSpace;

  PortRange chosen_;
  Random& random_;
  std::vector<Ipv4Address> pool_;
  std::map<std::pair<Ipv4Address, Protocol>, std::unique_ptr<nat::PortMemory>> spaces_;
};

}  // namespace portolan::device
