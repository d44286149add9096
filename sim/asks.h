// SPDX-License-Identifier: BSD-2-Clause
//
// Datagrams that hosts may send a PCP server: every opcode, version and option, well-formed or not.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "base/address.h"
#include "sim/choices.h"

namespace portolan::sim {

/// Octets and who sends them.
using Ask = std::pair<Endpoint, std::vector<std::byte>>;

/// The external addresses a pool may have, and suggestions name.
[[nodiscard]] auto external_address(std::uint64_t which) -> IpAddress;
constexpr std::uint64_t external_addresses = 2;
/// External ports, so few that they run out.
constexpr std::uint16_t first_external_port = 4000;
constexpr std::uint16_t last_external_port = 4040;

/// A known identifier of a third party (RFC 7843).
[[nodiscard]] auto third_party_id() -> std::vector<std::byte>;

/// The datagram that `choices` decide on.
[[nodiscard]] auto make_ask(Choices& choices) -> Ask;

}  // namespace portolan::sim
