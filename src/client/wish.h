// SPDX-License-Identifier: BSD-2-Clause
//
// A mapping that somebody wants, and as a server granted it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/nonce.h"
#include "base/remote_filter.h"
#include "base/time.h"

namespace portolan::client {

/// A mapping somebody wants: inbound (MAP, RFC 6887 s11), or with a remote peer outbound (PEER, RFC 6887
/// s12). Its internal address is the client address, unless there is a third party.
struct Wish {
  Protocol protocol = Protocol::tcp;
  Port internal_port;  ///< 0: all ports, and for protocols without ports
  Port suggested_external_port;
  /// Its family is the family wanted, its value a preference unless all zeros.
  IpAddress suggested_external_address = IpAddress::unspecified(Family::ipv4);
  Seconds lifetime{7200};  ///< at least 1 s, less than 2^32 s
  bool prefer_failure = false;
  std::optional<Nonce> nonce;  ///< unless given, the engine draws one
  /// Makes it a PEER mapping: the other end as this host sees it, of the client address's family.
  std::optional<Endpoint> remote_peer;
  /// The host it is for (RFC 6887 s13.1). The client's own address is left out of requests.
  std::optional<IpAddress> third_party;
  /// Goes with a third party (RFC 7843).
  std::optional<std::vector<std::byte>> third_party_id;
  /// Who may send to it (RFC 6887 s13.3); empty: everyone.
  std::vector<RemoteFilter> filters;
  /// Ports in a row (RFC 7753); 65535: as many as there are.
  std::uint16_t port_count = 1;
  /// Of the ports in a row, external ones have the parity of internal ones.
  bool keeps_parity = false;
  /// UTF-8 that says what it is for (RFC 7220).
  std::optional<std::string> description;
  /// Asks for the NAT64's prefix with it (RFC 7225 s4.3).
  bool wants_nat64_prefix = false;

  [[nodiscard]] auto is_peer() const -> bool { return remote_peer.has_value(); }
  auto operator==(const Wish&) const -> bool = default;
};

/// Why a wish can't be one.
enum class WishError : std::uint8_t {
  lifetime_out_of_range,        ///< 1 to 2^32 - 1 s
  port_without_protocol,        ///< RFC 6887 s11.1
  port_of_portless_protocol,    ///< RFC 6887 s11.2
  prefer_failure_without_port,  ///< RFC 6887 s13.2
  prefer_failure_for_peer,      ///< options of MAP only: RFC 6887 s13.2, s13.3; RFC 7753 s4
  filter_for_peer,
  port_set_for_peer,
  prefer_failure_for_port_set,  ///< RFC 7753 s4.1
  port_set_out_of_range,        ///< begins at port 0, or has no port
  peer_without_port,            ///< RFC 6887 s12.1
  peer_is_unspecified,
  filter_for_everyone,   ///< a prefix of no bits means "no filter" (RFC 6887 s13.3)
  third_party_id_alone,  ///< RFC 7843 s4
  description_not_utf8,  ///< RFC 7220 s2: UTF-8 without NUL
  too_long,              ///< its options don't fit into a message
};
/// What is wrong and what to do, as a sentence without end.
[[nodiscard]] auto to_string(WishError error) -> std::string_view;

/// What is wrong with `wish`, if anything. Cost O(filters + description).
[[nodiscard]] auto error_in(const Wish& wish) -> std::optional<WishError>;

/// A prefix, and suffix, of which a NAT64 makes IPv6 addresses for IPv4 ones (RFC 7225 s4.1).
struct Nat64Prefix {
  Prefix prefix;
  std::array<std::byte, 8> suffix{};
  /// For whose addresses; empty: for all.
  std::vector<Prefix> ipv4_prefixes;

  auto operator==(const Nat64Prefix&) const -> bool = default;
};

/// A mapping as the server granted it.
struct Mapping {
  Protocol protocol = Protocol::all;
  Endpoint internal;
  Endpoint external;
  Nonce nonce;
  Seconds lifetime{0};  ///< as granted, but no longer than Config::lifetime_max
  TimePoint expires;
  std::uint32_t epoch_time_s = 0;
  std::optional<Endpoint> remote_peer = {};
  /// Ports in a row, from internal and external port on (RFC 7753).
  std::uint16_t port_count = 1;
  /// Whether the server confirmed the filters; without, everyone may send.
  bool is_filtered = false;
  /// As the server stores it; nothing if it does not (RFC 7220 s3).
  std::optional<std::string> description = {};
  /// Made by NAT-PMP: it has no nonce that anybody checks.
  bool is_nat_pmp = false;

  auto operator==(const Mapping&) const -> bool = default;
};

}  // namespace portolan::client
