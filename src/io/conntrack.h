// SPDX-License-Identifier: BSD-2-Clause
//
// The kernel's connection tracking through ctnetlink: one flow found, made, kept longer or ended by its
// tuple; word of flows that end.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/time.h"
#include "io/system.h"

namespace portolan::io {

/// One direction of a flow. Of ICMP echo the identifier stands in both ports; protocols without ports have
/// zeros.
struct FlowTuple {
  Protocol protocol = Protocol::udp;
  Endpoint source;
  Endpoint destination;

  auto operator<=>(const FlowTuple&) const = default;
  [[nodiscard]] auto reversed() const -> FlowTuple { return {protocol, destination, source}; }
};

struct Flow {
  FlowTuple original;  ///< of the first packet, before translation
  FlowTuple reply;  ///< of the answers, before translation: goes to original.source, or where that is mapped
  Seconds expires_in{};
  std::uint32_t status = 0;  ///< IPS_ bits of linux/netfilter/nf_conntrack_common.h

  auto operator==(const Flow&) const -> bool = default;
  /// Whether a packet went each way.
  [[nodiscard]] auto is_answered() const -> bool;
  /// Whether an address or port is another one for the other side.
  [[nodiscard]] auto is_translated() const -> bool;
};

/// Thread: one at a time.
class Conntrack {
 public:
  /// Errors  text for the operator: no right, no nf_conntrack_netlink
  [[nodiscard]] static auto open() -> std::expected<Conntrack, std::string>;
  Conntrack(Conntrack&&) noexcept;
  auto operator=(Conntrack&&) noexcept -> Conntrack&;
  ~Conntrack();

  /// The flow that `tuple` is a direction of. Cost  one look-up in the kernel
  [[nodiscard]] auto find(const FlowTuple& tuple) -> std::expected<std::optional<Flow>, SystemError>;

  /// Makes a flow that has seen no packet, kept for `lifetime`; its source leaves as `mapped_source` (which
  /// may be the source itself: no translation). Its peer may send the first packet, too. To rules the first
  /// packet is that of a new flow, but for the mapping. For TCP it is as after a SYN that was lost. When the
  /// table is full it is not among those that go. Some weeks are the longest lifetime there is; more is cut.
  /// Errors  EEXIST: a flow has that tuple, or its answers' tuple, already; EINVAL: the families differ;
  ///         EOPNOTSUPP: translation is asked for, the kernel has no NAT
  [[nodiscard]] auto create(const FlowTuple& original, const Endpoint& mapped_source, Seconds lifetime)
      -> std::expected<void, SystemError>;
  /// Has the flow, if no packet comes, end after `lifetime` from now; packets give it their own times. As of
  /// create(), some weeks at most.
  /// Errors  ENOENT: there is no such flow
  [[nodiscard]] auto keep(const FlowTuple& original, Seconds lifetime) -> std::expected<void, SystemError>;
  /// Ends a flow. True if there was one.
  [[nodiscard]] auto remove(const FlowTuple& tuple) -> std::expected<bool, SystemError>;

  /// All flows of a family that `wanted` holds for. Cost  the whole table, read in parts: not for what
  /// happens often
  [[nodiscard]] auto list(Family family, const std::function<bool(const Flow&)>& wanted)
      -> std::expected<std::vector<Flow>, SystemError>;

 private:
  struct State;
  explicit Conntrack(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Word of flows that end. The kernel need not tell of those that began when nobody listened
/// (net.netfilter.nf_conntrack_events=2, its default).
class FlowWatch {
 public:
  [[nodiscard]] static auto open() -> std::expected<FlowWatch, std::string>;
  FlowWatch(FlowWatch&&) noexcept;
  auto operator=(FlowWatch&&) noexcept -> FlowWatch&;
  ~FlowWatch();

  [[nodiscard]] auto descriptor() const -> int;
  /// Takes all words that are there. False if some were lost.
  [[nodiscard]] auto take(const std::function<void(const Flow&)>& ended) -> bool;

 private:
  struct State;
  explicit FlowWatch(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace portolan::io
