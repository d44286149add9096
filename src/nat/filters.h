// SPDX-License-Identifier: BSD-2-Clause
//
// The remote peers that explicit mappings let in (RFC 6887 s13.3), in the form packets from the IPv4
// side are compared with.
#pragma once

#include <cstdint>
#include <span>

#include "base/lazy_array.h"
#include "base/remote_filter.h"
#include "nat/config.h"
#include "nat/embedding.h"
#include "nat/prefixes.h"

namespace portolan::nat {

/// Peers whose address has `address` under `mask`, with `port` or any if that is 0. Host order.
struct PeerFilter {
  std::uint32_t address = 0;
  std::uint32_t mask = 0;
  std::uint16_t port = 0;

  auto operator==(const PeerFilter&) const -> bool = default;
  [[nodiscard]] auto matches(std::uint32_t remote, std::uint16_t remote_port) const -> bool {
    return (remote & mask) == address && (port == 0 || port == remote_port);
  }
};

/// What `filter`, whose peers are IPv6 addresses as a host inside sees them, means on the IPv4 side.
///
/// Spec    RFC 6887 s13.3, RFC 6052 s2.2
/// Out     A prefix that holds the whole translation prefix is any peer. One that has no address in
///         common with what peers look like from inside matches nobody.
[[nodiscard]] auto to_peer_filter(const RemoteFilter& filter, const Embedding& embedding) -> PeerFilter;
/// The same for several prefixes: of the first in which the filter's peers may lie.
[[nodiscard]] auto to_peer_filter(const RemoteFilter& filter, const Prefixes& prefixes) -> PeerFilter;

/// A filter that means the same to an engine with that prefix.
[[nodiscard]] auto to_remote_filter(const PeerFilter& filter, const Embedding& embedding) -> RemoteFilter;

/// Lists of filters in one table of fixed size. A list is the number of its first filter; 0 is the empty
/// one, which lets everyone in.
class Filters {
 public:
  explicit Filters(const Limits& limits);

  /// Whether `count` filters may take the place of `list`.
  [[nodiscard]] auto has_room(std::uint32_t list, std::size_t count) const -> bool;
  /// Puts `filters`, for which there is room, in the place of `list`. Returns whether that is a change.
  auto replace(std::uint32_t& list, std::span<const PeerFilter> filters) -> bool;
  /// Whether a packet from `remote` may begin something.
  [[nodiscard]] auto allows(std::uint32_t list, std::uint32_t remote, std::uint16_t remote_port) const
      -> bool;
  [[nodiscard]] auto length(std::uint32_t list) const -> std::size_t;
  /// Calls visit(filter) for each of `list`.
  template <typename Visit>
  void for_each(std::uint32_t list, Visit visit) const {
    for (; list != 0; list = nodes_[list].next) visit(nodes_[list].filter);
  }
  [[nodiscard]] auto size() const -> std::uint32_t { return numbers_.used(); }
  [[nodiscard]] auto length_max() const -> std::size_t { return length_max_; }

 private:
  struct Node {
    PeerFilter filter;
    std::uint32_t next;
  };

  std::size_t length_max_;
  Numbers numbers_;
  LazyArray<Node> nodes_;
};

}  // namespace portolan::nat
