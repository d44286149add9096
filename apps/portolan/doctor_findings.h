// SPDX-License-Identifier: BSD-2-Clause
//
// What `portolan doctor` makes of what it saw: findings in plain words, each with what to do about it. Values
// in, values out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/time.h"
#include "client/events.h"
#include "client/wish.h"
#include "discovery/servers.h"

namespace portolan::doctor {

enum class State : std::uint8_t { good, note, problem };
[[nodiscard]] auto to_string(State state) -> std::string_view;

struct Finding {
  State state = State::good;
  /// For programs: it stays the same when the words change.
  std::string_view id;
  std::string text;
  std::string remedy;  ///< empty if there is nothing to do
  auto operator==(const Finding&) const -> bool = default;
};
using Findings = std::vector<Finding>;

/// This host's place in the network.
struct HostSeen {
  std::vector<IpAddress> addresses;  ///< those that somebody beyond the link can reach
  std::vector<std::string> routers;
  /// Those of them that do not answer on their link, once something was sent.
  std::vector<std::string> silent_routers = {};
  std::vector<std::string> remarks;

  [[nodiscard]] auto has(Family family) const -> bool;
  [[nodiscard]] auto is_ipv6_only() const -> bool { return has(Family::ipv6) && !has(Family::ipv4); }
};
[[nodiscard]] auto findings_of(const HostSeen& host) -> Findings;
/// Which routers are there; nothing if this host has none.
[[nodiscard]] auto router_findings(const HostSeen& host) -> Findings;

/// Where the network's NAT64 is known from.
struct Nat64Seen {
  std::optional<std::string> resolver_error;
  std::vector<Prefix> of_resolver;  ///< by ipv4only.arpa (RFC 7050)
  std::vector<Prefix> of_routers;   ///< by router advertisements (RFC 8781)
};
[[nodiscard]] auto findings_of(const Nat64Seen& nat64, const HostSeen& host) -> Findings;

/// An option of PCP, and whether the server knows it; nothing: that could not be found out.
struct OptionSeen {
  std::string_view name;
  std::optional<bool> is_known;
};

/// What one server said.
struct ServerSeen {
  std::string name;
  discovery::Origin origin = discovery::Origin::told;
  IpAddress client_address;
  /// Why it could not even be asked.
  std::optional<std::string> error;
  /// An ICMP error said that nothing listens there.
  bool is_closed = false;
  std::optional<client::Announced> announced;
  bool speaks_nat_pmp = false;
  /// It speaks nothing but that version.
  std::optional<std::uint8_t> other_version;
  std::optional<client::Mapping> mapping;
  std::optional<client::Refused> refused;
  std::vector<OptionSeen> options;
  std::vector<client::Nat64Prefix> nat64_prefixes;

  [[nodiscard]] auto answers() const -> bool {
    return announced || other_version || mapping || refused || speaks_nat_pmp;
  }
  [[nodiscard]] auto is_behind_nat() const -> bool;
};
/// What the servers say, and what follows for the host.
///
/// In  timeout: how long they were asked
[[nodiscard]] auto findings_of(const std::vector<ServerSeen>& servers, const HostSeen& host,
                               const Nat64Seen& nat64, Seconds timeout) -> Findings;

/// Whether a connection from outside arrived.
struct InboundSeen {
  /// Who was to make it, as the user named it; empty: nobody.
  std::string helper;
  /// There was nobody to ask, or no mapping: why.
  std::optional<std::string> error;
  /// Where the helper saw this host.
  std::optional<IpAddress> seen_from;
  std::optional<client::Mapping> mapping;
  bool has_arrived = false;
};
[[nodiscard]] auto findings_of(const InboundSeen& inbound) -> Findings;

}  // namespace portolan::doctor
