// SPDX-License-Identifier: BSD-2-Clause
//
// Where the SIP server of a name is (RFC 3263), by the system's resolver in a thread: nobody waits for it.
// Sofia-SIP's own resolver is not asked for anything: it asks a name server that there is no route to over
// and over, and never comes back.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/random.h"
#include "sip/agent/agent.h"
#include "sip/uri.h"

namespace portolan::sip {

/// Endpoints of a server, in the order in which they are to be tried.
using ServerPlaces = std::expected<std::vector<Endpoint>, std::string>;

/// Spec    RFC 3263 s4.2: the host's SRV records for the transport, and its addresses if there are none, or a
///         port is given. The transport is the caller's choice, so that NAPTR records tell nothing
/// In      seed: for the choice among servers of one priority (RFC 2782)
/// Out     addresses of both families; at least one
/// Errors  text, with a remedy
/// Cost    blocks for as long as the resolver takes
[[nodiscard]] auto find_servers(const HostPort& server, Transport transport, std::uint64_t seed)
    -> ServerPlaces;

/// find_servers() under way. Destroyed, it is forgotten; its thread ends when the resolver does.
class [[nodiscard]] ServerLookup {
 public:
  static auto start(HostPort server, Transport transport, Random& random) -> ServerLookup;

  /// Readable once there is a result; borrowed.
  [[nodiscard]] auto descriptor() const -> int;
  /// Nothing: there is none yet.
  [[nodiscard]] auto take() const -> std::optional<ServerPlaces>;

 private:
  struct State;
  explicit ServerLookup(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

}  // namespace portolan::sip
