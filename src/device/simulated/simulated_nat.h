// SPDX-License-Identifier: BSD-2-Clause
//
// A NAT that forwards nothing: external ports, lifetimes, implicit mappings and hold-down as device.h
// wants them, in ordered maps that are easy to believe. For tests, the simulator and dry runs.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "device/device.h"

namespace portolan::device {

struct SimulatedConfig {
  /// External addresses, all of one family.
  std::vector<IpAddress> pool;
  Port first_port{1024};
  Port last_port{65535};
  std::set<Protocol> protocols{Protocol::tcp, Protocol::udp};
  /// How long a freed port stays away from others than its last owner (RFC 6887 s15).
  Seconds hold_down{120};
  /// How long outbound traffic keeps an implicit mapping (RFC 4787 REQ-5).
  Seconds implicit_lifetime{300};
};

class SimulatedNat {
 public:
  explicit SimulatedNat(SimulatedConfig config);

  /// Carries out one operation.
  auto apply(TimePoint now, const Operation& operation) -> Result;

  /// Outbound traffic of an internal endpoint: makes or refreshes its implicit mapping and returns the
  /// external endpoint, nothing if no port is free.
  auto outbound(TimePoint now, const MappingKey& key) -> std::optional<Endpoint>;

  /// Where inbound traffic to an external endpoint goes at `now`, if anywhere.
  [[nodiscard]] auto inbound(TimePoint now, Protocol protocol, const Endpoint& external) const
      -> std::optional<Endpoint>;

  /// Explicit mappings alive at `now`.
  [[nodiscard]] auto explicit_mappings(TimePoint now) const -> std::map<MappingKey, Endpoint>;

 private:
  struct External {
    Protocol protocol = Protocol::all;
    Endpoint endpoint;
    auto operator<=>(const External&) const = default;
  };
  struct Entry {
    MappingKey owner;
    TimePoint explicit_until;
    TimePoint implicit_until;
    TimePoint held_until;

    [[nodiscard]] auto is_mapped(TimePoint now) const -> bool {
      return explicit_until > now || implicit_until > now;
    }
  };

  auto install(TimePoint now, const Install& install) -> Result;
  auto remove(TimePoint now, const Remove& remove) -> Result;
  [[nodiscard]] auto find(TimePoint now, const MappingKey& key) -> Entry*;
  [[nodiscard]] auto is_free(TimePoint now, const External& external, const MappingKey& owner) const -> bool;
  [[nodiscard]] auto choose(TimePoint now, const Install& install) const -> std::optional<Endpoint>;
  auto assign(const MappingKey& key, const Endpoint& external) -> Entry&;

  SimulatedConfig config_;
  std::map<External, Entry> entries_;
  std::map<MappingKey, External> by_owner_;
};

}  // namespace portolan::device
