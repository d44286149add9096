// SPDX-License-Identifier: BSD-2-Clause
//
// What an operator decides about the server engine; limits included.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/mapping_key.h"
#include "base/static_mapping.h"
#include "base/time.h"
#include "base/user.h"
#include "wire/protocol.h"

namespace portolan::server {

using portolan::Allotment;
using portolan::NoncePolicy;
using portolan::Policy;
using portolan::Profile;

/// Longest grantable lifetime: 2^17 s (36 h). RFC 6887 s15 recommends at most a day.
constexpr Seconds lifetime_max{131071};

/// RFC 6887 s14.1.3 wants no more.
constexpr unsigned announcements_max = 10;

/// Whose epoch time a client sees (RFC 6887 s8.5).
enum class EpochScope : std::uint8_t {
  server,      ///< one for all
  subscriber,  ///< each subscriber's begins with its first mapping
};

struct Config {
  /// Granted lifetimes are clamped to these (RFC 6887 s15). 1 s <= minimum <= maximum <= lifetime_max.
  Seconds minimum_lifetime{120};
  Seconds maximum_lifetime{86400};
  /// Lifetimes of error answers (RFC 6887 s7.4).
  Seconds short_error_lifetime = wire::short_error_lifetime;
  Seconds long_error_lifetime = wire::long_error_lifetime;

  /// Ports mapped in all; beyond them NO_RESOURCES.
  std::size_t mappings_max = 1'000'000;

  /// What users may do who have no profile.
  Policy policy{};
  /// Each prefix once, at most profiles_max.
  std::vector<Profile> profiles{};
  std::size_t profiles_max = 1'000'000;
  /// Users and static mappings that may be added by hand.
  std::size_t users_by_hand_max = 1'000'000;
  std::size_t statics_by_hand_max = 10'000;

  /// Batches with the device or waiting for the store; beyond it requests that change mappings are
  /// dropped, and clients ask again (RFC 6887 s8.2).
  std::size_t batches_in_flight_max = 64;
  /// Requests waiting for an earlier one on the same mapping; beyond it they are dropped likewise.
  std::size_t deferred_max = 4096;
  /// Contracts looked at for expiry by one advance(); more follow in the next.
  std::size_t expiries_per_advance_max = 1024;
  /// Unsolicited messages sent by one advance(); more follow in the next.
  std::size_t updates_per_advance_max = 256;
  /// Ways by which requests came in; beyond them updates nobody asked for are not sent to more.
  std::size_t paths_max = 4096;

  /// One inside interface: Path::inside indexes this list.
  struct Inside {
    /// As the store remembers it.
    std::string interface{};
    /// Bits that tell subscribers apart: 64 where each has a link of its own, 128 on shared links. IPv4
    /// clients are told apart by their whole address.
    unsigned subscriber_prefix_length = 64;
    /// Families in which hosts there ask; restart announcements are multicast in these.
    std::vector<Family> families{Family::ipv6};
  };
  std::vector<Inside> inside{Inside{}};

  /// Families of the external addresses the device gives.
  std::vector<Family> external_families{Family::ipv4};
  /// Of which family a host of the first one gets them, if not all hosts get all: the device is made of
  /// several. Empty: they do, or the device says who does not.
  std::vector<std::pair<Family, Family>> external_family_of{};
  /// Its IPv4 external addresses, as far as they are configured: mappings at one that is gone move.
  std::vector<Ipv4Address> external_addresses{};
  /// Those that IPv4 hosts get, for NAT-PMP's question after them (RFC 6886 s3.2).
  std::vector<Ipv4Address> nat_pmp_addresses{};

  /// Versions besides PCP 2. NAT-PMP is answered to IPv4 clients only: it has no other addresses.
  bool version_1 = false;
  bool nat_pmp = true;

  /// A prefix for PREFIX64 (RFC 7225), and the IPv4 addresses it is for; empty: all.
  struct Nat64Prefix {
    Prefix prefix;
    std::vector<Prefix> ipv4_prefixes;
  };
  /// Those with a list of IPv4 addresses first, then the one to synthesise with (RFC 7225 s4.2); empty: the
  /// option is not processed.
  std::vector<Nat64Prefix> prefix64{};

  /// Identifiers of third parties and the realms their addresses are in (RFC 7843); empty: the option is
  /// not processed.
  std::vector<std::pair<std::vector<std::byte>, Realm>> third_party_ids{};
  /// THIRD_PARTY without an identifier is refused.
  bool third_party_id_required = false;

  /// draft-cheshire-pcp-unsupp-family, expired: result code 14 for a family that the device has not, and an
  /// answer with the existing mapping to who doesn't know its nonce.
  bool unsupp_family = false;
  bool relaxed_nonce_answer = false;
  /// draft-boucadair-pcp-rtp-rtcp, expired: option 132, a pair of ports, is processed.
  bool port_reservation = false;
  /// Option 127 of version 1, experimental: the NAT64 prefix alone.
  bool experimental_prefix64 = false;

  using StaticMapping = portolan::StaticMapping;
  /// Each key, and each external endpoint of a protocol, once.
  std::vector<StaticMapping> static_mappings{};

  EpochScope epoch_scope = EpochScope::server;
  /// Where the epoch begins: `now` of the first moment without state (RFC 6887 s8.5).
  TimePoint epoch_base{};
  /// Restart announcements sent after loss of state, 0 to announcements_max (RFC 6887 s14.1.3).
  unsigned announcements = 10;
};

}  // namespace portolan::server
