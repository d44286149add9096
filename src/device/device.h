// SPDX-License-Identifier: BSD-2-Clause
//
// The server's view of a NAT or firewall. A device owns external addresses and ports and enforces
// lifetimes by itself; the server reaches it only by batches and gets their results later, because a
// device may live behind a TCP connection or in another thread.
//
// How each kind carries out the two operations:
//
//   operation | NAT64                          | nftables NAT44               | IPv6 firewall
//   ----------+--------------------------------+------------------------------+--------------------------
//   Install   | static BIB entry (RFC 6146     | element of the DNAT map and  | element of the pinhole
//             | s3.1) with a deadline; an      | of the SNAT map, with        | set, with timeout;
//             | implicit entry of the same     | timeout; an implicit         | external = internal
//             | endpoint becomes explicit and  | conntrack entry gives the    | address and port, any
//             | keeps its external port        | external port                | other is not provided
//   Remove    | entry loses its static mark;   | elements deleted; flows in   | element deleted;
//             | live sessions keep it until    | conntrack keep their port    | conntrack keeps flows
//             | idle; else the port goes into  | until idle; else hold-down   | alive until idle
//             | hold-down                      |                              |
//   batch     | one queue hand-over            | one netlink transaction      | one netlink transaction
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <string_view>
#include <variant>
#include <vector>

#include "base/address.h"
#include "base/mapping_key.h"
#include "base/time.h"

namespace portolan::device {

/// Numbers batches of one server run, ascending.
struct BatchId {
  std::uint64_t value = 0;
  auto operator<=>(const BatchId&) const = default;
};

/// What to do if the suggested external address and port cannot be had.
enum class Match : std::uint8_t {
  suggested,  ///< assign another
  exact,      ///< refuse with cannot_provide_external; unspecified parts match anything
};

/// Creates or renews the explicit mapping `key`; idempotent.
///
/// Spec    RFC 6887 s11.3, s10
/// In      external_address, external_port: the suggestion; all-zeros and 0 for no preference;
///         lifetime > 0, counted from when the device applies it
/// Effect  An explicit mapping of `key` keeps its external endpoint and gets the lifetime. Otherwise
///         an implicit one of the same internal endpoint becomes explicit. Otherwise one is made at
///         the suggestion if it is free (ports in hold-down are free for their last owner), else by
///         Match. Inbound traffic from anyone is let through.
struct Install {
  MappingKey key;
  IpAddress external_address;
  Port external_port;
  Match match = Match::suggested;
  Seconds lifetime{};
};

/// Ends the explicit mapping `key`; no mapping is success (RFC 6887 s15.1).
///
/// Effect  Its external port enters hold-down for the internal endpoint, unless outbound traffic
///         keeps an implicit mapping alive on it.
struct Remove {
  MappingKey key;
};

using Operation = std::variant<Install, Remove>;

/// Result of an operation that was carried out.
struct Applied {
  /// Of the mapping installed or removed; unspecified if there was none to remove.
  IpAddress external_address;
  Port external_port;
  /// Install: the lifetime given. Remove: how long outbound traffic keeps the mapping alive if no more
  /// comes (RFC 6887 s15), 0 if it is gone.
  Seconds lifetime{};
};

/// Why an operation was not carried out; nothing changed.
enum class Refusal : std::uint8_t {
  cannot_provide_external,  ///< Match::exact and the endpoint is taken, reserved or not the device's
  no_resources,             ///< no external port or table space left
  unsupported_protocol,     ///< the device can't map this protocol, port 0, or external family
  not_inside,               ///< the internal address is none the device translates (family, link-local, ...)
  network_failure,          ///< no external address at present, or the device can't be reached
};
[[nodiscard]] auto to_string(Refusal refusal) -> std::string_view;

using Result = std::expected<Applied, Refusal>;

/// A NAT or firewall that carries out batches.
///
/// Operations of a batch are carried out in order, each seeing the effect of earlier ones; batches in
/// order of apply(). Each batch is answered once by `completion`, with one result per operation, in
/// order of apply(), never from inside apply(), on the thread that called it.
class Device {
 public:
  using Completion = std::function<void(BatchId, std::vector<Result>)>;

  virtual ~Device() = default;
  virtual void apply(BatchId batch, std::vector<Operation> operations) = 0;
};

}  // namespace portolan::device
