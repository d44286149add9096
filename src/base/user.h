// SPDX-License-Identifier: BSD-2-Clause
//
// A user: who it is by the prefix of its addresses, what it may ask for, and what the device gives it. As the
// server has it, and the store, where it was added by hand.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/address.h"
#include "base/port_range.h"

namespace portolan {

/// What becomes of a request whose nonce is not that of the mapping it is about.
enum class NoncePolicy : std::uint8_t {
  strict,   ///< NOT_AUTHORIZED (RFC 6887 s11.3, s12.3)
  relaxed,  ///< carried out, and its nonce is the mapping's from then on: for clients that forget theirs
};

/// Rights and limits of a user.
struct Policy {
  bool map = true;
  bool peer = true;
  /// Whether THIRD_PARTY is processed for requests of this user (RFC 6887 s13.1).
  bool third_party = false;
  /// Protocols that may be mapped; empty: all that the device can map.
  std::vector<Protocol> protocols{};
  /// Internal ports that may be mapped.
  PortRange internal_ports{};
  /// External ports that MAP and PEER may give.
  PortRange external_ports{};
  NoncePolicy nonce = NoncePolicy::strict;
  /// Ports mapped by MAP and PEER together; beyond them USER_EX_QUOTA.
  std::uint32_t mappings_max = 1000;
  /// FILTER entries of one mapping; beyond them EXCESSIVE_REMOTE_PEERS. At least 1.
  std::uint32_t filters_max = 8;
  /// Largest port set (RFC 7753); larger ones are granted in part. At least 1.
  std::uint16_t port_set_max = 64;

  auto operator==(const Policy&) const -> bool = default;
  [[nodiscard]] auto allows(Protocol protocol) const -> bool {
    return protocols.empty() || std::ranges::find(protocols, protocol) != protocols.end();
  }
};

/// What the device is to give a user, for its own traffic too; what is unspecified or 0 is as for everybody.
struct Allotment {
  /// Where MAP gets its mappings too, unless the device does not have it.
  IpAddress external_address{};
  PortRange external_ports{};
  /// device::PutProfile::no_port_blocks: ports one by one.
  std::uint16_t port_block_size = 0;
  /// These limit its own traffic only: Policy::mappings_max limits its mappings.
  std::uint32_t ports_max = 0;
  std::uint32_t sessions_max = 0;
  std::uint32_t sessions_per_second_max = 0;

  auto operator==(const Allotment&) const -> bool = default;
};

/// A set of users by the prefix of their addresses.
struct Profile {
  Prefix users;
  Policy policy{};
  Allotment allotment{};
  /// Bits that tell subscribers apart, instead of the interface's.
  std::optional<std::uint8_t> subscriber_prefix_length{};

  auto operator==(const Profile&) const -> bool = default;
};

}  // namespace portolan
