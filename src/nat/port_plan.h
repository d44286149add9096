// SPDX-License-Identifier: BSD-2-Clause
//
// External ports that follow from a subscriber's place in a prefix, so that nobody has to log whose a port
// was: function 1 and function 2 of RFC 7422 s2, with address assignment algorithm 0 (sequential).
//
//   I  subscribers of the inside prefix, numbered from 0; O  pool addresses, in the order of their ranges
//   C = I / O, rounded up;  D = Deterministic::dynamic_factor
//   ports of an address: those of its pool range from Deterministic::first_port on; P of them
//   size = P / (C + D), rounded down
//   subscriber i has address i mod O, and `size` ports there from place (i / O) * size on
//   The ports behind the last subscriber's are the address's dynamic ones, if D > 0; otherwise nobody's.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/port_range.h"
#include "nat/config.h"

namespace portolan::nat {

/// Where a subscriber's ports are.
struct PlannedPorts {
  Ipv4Address address;
  PortRange ports;

  auto operator==(const PlannedPorts&) const -> bool = default;
};

/// Whose a port is by the plan.
struct PortHolder {
  enum class Kind : std::uint8_t {
    subscriber,
    dynamic,    ///< whoever got it: the log of sessions knows
    nobody,     ///< no subscriber's, and there are no dynamic ports
    reserved,   ///< below first_port, or not the pool's
    elsewhere,  ///< the pool has no such address
  };
  Kind kind = Kind::elsewhere;
  Prefix subscriber{};

  auto operator==(const PortHolder&) const -> bool = default;
};

class PortPlan {
 public:
  /// Fewest ports that are worth being a subscriber's, and most subscribers and dynamic factor.
  static constexpr std::uint32_t ports_min = 64;
  static constexpr unsigned subscriber_bits_max = 24;
  static constexpr std::uint32_t dynamic_factor_max = 1000;

  /// The plan of a pool for subscribers of `subscriber_prefix_length`. Errors  in words for who configured it
  [[nodiscard]] static auto make(const Deterministic& wanted, const std::vector<PoolRange>& pool,
                                 std::uint8_t subscriber_prefix_length)
      -> std::expected<PortPlan, std::string>;
  /// The same for any number of subscribers, for tests and examples.
  [[nodiscard]] static auto make(const Deterministic& wanted, const std::vector<PoolRange>& pool,
                                 std::uint8_t subscriber_prefix_length, std::uint32_t subscribers)
      -> std::expected<PortPlan, std::string>;

  /// Function 1: the ports of the subscriber that `address` belongs to; nothing outside of the prefix.
  ///
  /// Cost    O(log pool ranges)
  [[nodiscard]] auto ports_of(const Ipv6Address& address) const -> std::optional<PlannedPorts>;
  /// Function 2.
  [[nodiscard]] auto holder_of(Ipv4Address address, Port port) const -> PortHolder;
  /// The dynamic ports of a pool address, if it has any.
  [[nodiscard]] auto dynamic_at(Ipv4Address address) const -> std::optional<PortRange>;
  /// A pool address, if there is one, of whose dynamic ports from `first_port` on none are a block of `size`:
  /// blocks begin at multiples of their size.
  [[nodiscard]] auto address_without_block(std::uint32_t size, Port first_port) const
      -> std::optional<Ipv4Address>;
  /// Whether a host may have a port: its subscriber's, or a dynamic one.
  [[nodiscard]] auto may_have(const Ipv6Address& host, Ipv4Address address, Port port) const -> bool;

  [[nodiscard]] auto inside() const -> const Prefix& { return wanted_.inside; }
  [[nodiscard]] auto subscriber_prefix_length() const -> std::uint8_t { return length_; }
  /// What it says, as a record of the configuration (RFC 7422 s3); `ports_max` is M.
  [[nodiscard]] auto describe(std::uint32_t ports_max) const -> std::string;

 private:
  /// A range of the pool.
  struct Addresses {
    std::uint32_t first = 0;
    std::uint32_t last = 0;
    std::uint32_t place = 0;  ///< of the first one among all addresses
    PortRange ports;          ///< that the plan is about
    std::uint32_t size = 0;   ///< of a subscriber's range
  };
  [[nodiscard]] auto find(Ipv4Address address) const -> const Addresses*;
  [[nodiscard]] auto at_place(std::uint32_t place) const -> const Addresses&;
  /// How many subscribers have the address at `place`.
  [[nodiscard]] auto subscribers_at(std::uint32_t place) const -> std::uint32_t;
  [[nodiscard]] auto subscriber(std::uint32_t number) const -> Prefix;
  [[nodiscard]] auto number_of(const Ipv6Address& address) const -> std::optional<std::uint32_t>;

  Deterministic wanted_;
  std::uint8_t length_ = 128;
  std::uint32_t subscribers_ = 0;
  std::uint32_t addresses_ = 0;
  std::vector<Addresses> by_place_;
  std::vector<std::uint32_t> by_address_;  // indices of by_place_
};

}  // namespace portolan::nat
