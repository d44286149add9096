// SPDX-License-Identifier: BSD-2-Clause
//
// The three binding information bases (RFC 6146 s3.1), their external ports, and the subscribers they
// belong to. Found from the inside by a keyed hash of (protocol, X', x), from the outside by the
// port array of T.
//
// A binding is explicit while the server wants it (PCP), implicit while sessions keep it, or both.
// It is never taken away to make room for another.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/hash_index.h"
#include "base/lazy_array.h"
#include "base/port_range.h"
#include "base/random.h"
#include "base/time.h"
#include "nat/config.h"
#include "nat/counters.h"
#include "nat/events.h"
#include "nat/flat_table.h"
#include "nat/pool.h"
#include "nat/port_blocks.h"
#include "nat/port_plan.h"
#include "nat/port_space.h"
#include "nat/subscribers.h"

namespace portolan::nat {

/// The protocols with a BIB of their own; icmp is echo identifiers.
enum class Base : std::uint8_t { udp, tcp, icmp };
inline constexpr std::size_t base_count = 3;
/// As in RFC 6887: icmp stands for echo identifiers.
[[nodiscard]] constexpr auto pcp_protocol(Base base) -> Protocol {
  if (base == Base::tcp) return Protocol::tcp;
  return base == Base::udp ? Protocol::udp : Protocol::icmp;
}

/// (X',x) or (X',i1): an internal endpoint in one of the BIBs. Port in host order.
struct InternalEndpoint {
  Ipv6Address address;
  std::uint16_t port = 0;
  Base base = Base::udp;

  auto operator==(const InternalEndpoint&) const -> bool = default;
};

/// (X',x) <--> (T,t).
///
/// An explicit binding is part of a set of consecutive ports, mostly of one.
struct Binding {
  InternalEndpoint internal;
  std::uint16_t external_port;
  std::uint16_t pool_index;  ///< of T
  std::uint32_t subscriber;
  std::uint32_t first_session;  ///< head of the list of its sessions
  std::uint32_t sessions : 30;  ///< how many there are: Limits::sessions is less than 2^30
  bool is_explicit : 1;
  bool was_explicit : 1;
  std::uint32_t outbound_sessions : 30;  ///< those that inside packets began
  bool was_peered : 1;                   ///< PEER made it or one of its sessions
};

/// What is known of a binding that is or was explicit; of those of a set the head's counts, apart from
/// `head`. Others have none, and what is here costs them no memory.
struct ExplicitSet {
  std::int64_t until;        ///< the server wants it so long
  std::uint32_t head;        ///< the binding of the set's first port, which stands for the set
  std::uint32_t filters;     ///< peers that it lets in
  PortRange ports;           ///< where it may lie
  std::uint16_t port_count;  ///< at least 1
  bool is_bound;             ///< to its external address
  bool keeps_parity;         ///< when it moves, if it can
};
static_assert(sizeof(Binding) == 40 && sizeof(ExplicitSet) == 24, "there are millions");

/// The external endpoint wanted for a new binding.
struct Wanted {
  std::optional<std::uint16_t> pool_index;
  std::uint16_t port = 0;  ///< 0: any
  bool exact = false;      ///< no other will do
  bool is_explicit = false;
  bool is_limited = false;   ///< counts against Allowance::ports_max
  bool same_parity = false;  ///< if it can be had
  PortRange ports{};         ///< none but these will do
  bool is_of_plan = false;   ///< `ports` are the subscriber's own: it needs no block of them
};

/// Consecutive external ports of one pool address.
struct Run {
  std::uint16_t pool_index = 0;
  std::uint16_t port = 0;
  std::uint32_t count = 0;
};

class Bindings {
 public:
  Bindings(const Config& config, Random& random);

  /// Number of the binding of `internal`, or 0.
  [[nodiscard]] auto find(const InternalEndpoint& internal) const -> std::uint32_t;
  /// Starts fetching where find() looks at first, and make() would.
  void fetch_index(const InternalEndpoint& internal) const;
  /// A change soon: the explicit binding of `internal` is made or renewed, or ended. The rest is guessed by
  /// fetch(), and what is guessed wrongly is only slower.
  struct Upcoming {
    InternalEndpoint internal;
    bool is_removal = false;
    std::uint32_t hash = 0;
    std::uint32_t subscriber_hash = 0;
    std::uint32_t number = 0;  ///< of its binding; 0: it has none
    std::uint32_t place = 0;   ///< its number, or what a new binding will have
    std::uint32_t subscriber = 0;
    std::uint32_t hold_down = 0;

    [[nodiscard]] auto is_renewal() const -> bool { return number != 0 && !is_removal; }
  };
  /// Starts fetching what such changes touch.
  void fetch(std::span<Upcoming> changes) const;
  /// Number of the binding that has external port `port` of pool address `pool_index`, or 0.
  [[nodiscard]] auto find(Base base, std::uint16_t pool_index, std::uint16_t port) const -> std::uint32_t {
    return space(base, pool_index).owner(port).binding;
  }
  /// Index of `address` (host order) in the pool.
  [[nodiscard]] auto pool_index(std::uint32_t address) const -> std::optional<std::uint16_t> {
    return pool_.index_of(address);
  }
  [[nodiscard]] auto pool_address(std::uint16_t index) const -> Ipv4Address { return pool_.address(index); }
  /// The external address that all new bindings of `internal` have, if it is bound to one.
  [[nodiscard]] auto external_address(const Ipv6Address& internal) const -> std::optional<Ipv4Address>;
  [[nodiscard]] auto has_pool() const -> bool { return pool_.size() != 0; }

  /// Makes the binding of `internal`, which has none.
  ///
  /// Spec    RFC 6146 s3.5.1.1, s3.5.2.3, s3.5.3; RFC 4787 s4.1, s4.2; RFC 6888 s2 REQ-2, REQ-8
  /// Out     its number
  /// Errors  bindings_exhausted, subscribers_exhausted, subscriber_ports_exhausted, ports_exhausted
  /// Cost    O(1); near exhaustion a few 1024-word scans
  [[nodiscard]] auto make(const InternalEndpoint& internal, const Wanted& wanted)
      -> std::expected<std::uint32_t, DropReason>;
  /// Makes it at a port that choose_run() or may_have() found, while room() is left.
  auto make_at(const InternalEndpoint& internal, std::uint16_t pool_index, std::uint16_t port)
      -> std::uint32_t;
  /// Where `count` consecutive endpoints from `first` on, none of which has a binding, find consecutive
  /// external ports; if nowhere, where most of them do. Nothing if none does.
  ///
  /// Spec    RFC 7753 s4.2
  /// Cost    O(count); near exhaustion two scans of the bitmap for each of a few addresses
  [[nodiscard]] auto choose_run(const InternalEndpoint& first, const Wanted& wanted, std::uint32_t count)
      -> std::optional<Run>;
  /// Whether a binding of `internal` may be made at that place.
  [[nodiscard]] auto may_have(const InternalEndpoint& internal, bool is_explicit, std::uint16_t pool_index,
                              std::uint16_t port) const -> bool;
  /// How many bindings `address` may still get.
  [[nodiscard]] auto room(const Ipv6Address& address) const -> std::uint32_t;
  /// Gives `number`, which is explicit and has no session, another external endpoint.
  void move(std::uint32_t number, std::uint16_t pool_index, std::uint16_t port);

  /// Changes the pool to `ranges`, which check() has passed. Returns the indices of those that are
  /// gone: nothing new is made there, and what is there must be moved or erased before forget().
  [[nodiscard]] auto set_pool(const std::vector<PoolRange>& ranges) -> std::vector<std::uint16_t>;
  /// Numbers of the bindings at a pool address.
  [[nodiscard]] auto at(std::uint16_t pool_index) const -> std::vector<std::uint32_t>;
  /// Lets the index of a gone address, which has no binding any more, be used again.
  void forget(std::uint16_t pool_index);
  /// Makes `number` an explicit binding, or one that is no longer.
  void set_explicit(std::uint32_t number, bool is_explicit);
  /// Ends `number`, which has no session. With `hold` its port waits for its owner.
  void erase(std::uint32_t number, bool hold, TimePoint now);

  /// Frees ports whose hold-down is over, at most `budget` of them.
  void advance(TimePoint now, std::uint32_t& budget);
  [[nodiscard]] auto next_deadline() const -> std::optional<TimePoint>;

  /// Calls `visit(number, binding)` for each. For tests and inventories. Cost O(ports / 64 + bindings).
  template <typename Visit>
  void for_each(Visit visit) const {
    for (std::size_t index = 0; index < pool_.index_count(); ++index)
      for (std::size_t base = 0; base < base_count && pool_.is_prepared(static_cast<std::uint16_t>(index));
           ++base)
        pool_.space(base, static_cast<std::uint16_t>(index)).for_each([&](std::uint16_t, PortOwner owner) {
          if (owner.binding != 0) visit(owner.binding, bindings_[owner.binding]);
        });
  }
  /// Aborts if the tables contradict each other. For tests.
  void check_invariants() const;

  [[nodiscard]] auto operator[](std::uint32_t number) -> Binding& { return bindings_[number]; }
  [[nodiscard]] auto operator[](std::uint32_t number) const -> const Binding& { return bindings_[number]; }
  /// The head of the set that `number` is or was explicit in; 0: in none ever.
  [[nodiscard]] auto head_of(std::uint32_t number) const -> std::uint32_t {
    const Binding& binding = bindings_[number];
    return binding.is_explicit || binding.was_explicit ? sets_[number].head : 0;
  }
  /// Of a binding with a head.
  [[nodiscard]] auto set(std::uint32_t number) -> ExplicitSet& { return sets_[number]; }
  [[nodiscard]] auto set(std::uint32_t number) const -> const ExplicitSet& { return sets_[number]; }
  [[nodiscard]] auto events() -> EventSource& { return events_; }
  [[nodiscard]] auto subscribers() -> Subscribers& { return subscribers_; }
  [[nodiscard]] auto subscribers() const -> const Subscribers& { return subscribers_; }
  [[nodiscard]] auto pool() const -> const Pool& { return pool_; }
  [[nodiscard]] auto plan() const -> const std::optional<PortPlan>& { return plan_; }
  [[nodiscard]] auto size() const -> std::uint32_t { return numbers_.used(); }
  [[nodiscard]] auto block_count() const -> std::uint32_t { return blocks_.size(); }
  /// All numbers of bindings are smaller.
  [[nodiscard]] auto end() const -> std::uint32_t { return numbers_.end(); }
  /// Whether `number`, one handed out, is a binding now.
  [[nodiscard]] auto is_used(std::uint32_t number) const -> bool {
    const Binding& binding = bindings_[number];
    return find(binding.internal.base, binding.pool_index, binding.external_port) == number;
  }
  /// How many ports of a pool address are bound, and in hold-down. Cost O(ports)
  [[nodiscard]] auto use_of(Base base, std::uint16_t pool_index) const
      -> std::pair<std::uint32_t, std::uint32_t>;
  /// Of each protocol: external ports that hosts' own traffic may have, and those of them that are bound, in
  /// hold-down or in a subscriber's block. After a change of the pool some taken ones may be of no address.
  [[nodiscard]] auto ports() const -> const std::array<std::uint64_t, base_count>& { return ports_; }
  [[nodiscard]] auto ports_taken() const -> const std::array<std::uint64_t, base_count>& {
    return ports_taken_;
  }
  [[nodiscard]] auto hold_down_count() const -> std::uint32_t { return hold_down_numbers_.used(); }
  [[nodiscard]] auto hold_downs_cut() const -> std::uint64_t { return hold_downs_cut_; }

 private:
  /// A released port that only `owner` may have before `until`; a list in order of release.
  struct HoldDown {
    InternalEndpoint owner;
    std::uint16_t external_port;
    std::uint16_t pool_index;
    std::uint32_t previous;
    std::uint32_t next;
    std::int64_t until;
  };
  struct External {
    std::uint16_t pool_index;
    std::uint16_t port;
  };

  [[nodiscard]] auto space(Base base, std::uint16_t pool_index) const -> PortSpace {
    return pool_.space(static_cast<std::size_t>(base), pool_index);
  }
  /// How many of `ports` hosts' own traffic may have.
  [[nodiscard]] auto usable(Base base, const PortRange& ports) const -> std::uint32_t;
  void count_ports(const std::vector<PoolRange>& ranges);
  /// Counts a port that is somebody's now, or is nobody's again, for its block or among those taken.
  void count_taken(Base base, std::uint16_t pool_index, std::uint16_t port);
  void count_released(Base base, std::uint16_t pool_index, std::uint16_t port);
  /// Gives a port to a binding, or takes it back.
  void take_port(Base base, std::uint16_t pool_index, std::uint16_t port, std::uint32_t binding);
  void release_port(Base base, std::uint16_t pool_index, std::uint16_t port);
  /// Number of the block that a port is in.
  [[nodiscard]] auto block_of(std::uint16_t pool_index, std::uint16_t port) const -> std::uint32_t {
    return blocks_.size() == 0 ? 0 : pool_.blocks(pool_index)[port / 64U];
  }
  [[nodiscard]] auto hash(const InternalEndpoint& internal) const -> std::uint32_t;
  [[nodiscard]] auto find_hold_down(const InternalEndpoint& owner) const -> std::uint32_t;
  void fetch_port(const Upcoming& change, const Binding& binding) const;
  void fetch_new_port(const Upcoming& change) const;

  [[nodiscard]] auto choose(const InternalEndpoint& internal, const Wanted& wanted, std::uint32_t subscriber)
      -> std::optional<External>;
  [[nodiscard]] auto choose_port(const InternalEndpoint& internal, const Wanted& wanted,
                                 std::uint32_t subscriber, std::uint16_t pool_index)
      -> std::optional<std::uint16_t>;
  /// One in the subscriber's blocks, or in a new one.
  [[nodiscard]] auto choose_in_blocks(const InternalEndpoint& internal, const PortRange& range,
                                      bool keeps_number, std::uint32_t subscriber, std::uint16_t pool_index)
      -> std::optional<std::uint16_t>;
  [[nodiscard]] auto pick_in_blocks(const InternalEndpoint& internal, const PortRange& range,
                                    bool keeps_number, std::uint32_t subscriber,
                                    std::uint16_t pool_index) const -> std::optional<std::uint16_t>;
  /// What a search may not choose: ports of blocks.
  [[nodiscard]] auto blocks_at(std::uint16_t pool_index) const -> const std::uint32_t* {
    return blocks_.size() == 0 ? nullptr : pool_.blocks(pool_index);
  }
  [[nodiscard]] auto make_at(const InternalEndpoint& internal, std::uint32_t subscriber,
                             std::uint16_t pool_index, std::uint16_t port) -> std::uint32_t;
  [[nodiscard]] auto choose_run(const InternalEndpoint& first, const Wanted& wanted, std::uint32_t count,
                                std::uint32_t subscriber) -> std::optional<Run>;
  [[nodiscard]] auto choose_run_at(const InternalEndpoint& first, const Wanted& wanted, std::uint32_t count,
                                   std::uint32_t subscriber, std::uint16_t pool_index) -> Run;
  void make_plan(const std::vector<PoolRange>& ranges);
  /// Whether the plan tells whose it is.
  [[nodiscard]] auto is_planned(const Binding& binding) const -> bool;
  /// A pool address at which a host may have ports by the plan, and some of them.
  struct PlannedPlace {
    std::uint16_t pool_index = 0;
    PortRange ports{};
    bool is_own = false;  ///< not dynamic ones
  };
  struct PlannedPlaces {
    std::array<PlannedPlace, 4> all;
    std::size_t count = 0;
    [[nodiscard]] auto span() const -> std::span<const PlannedPlace> { return std::span(all).first(count); }
  };
  /// In the order in which they are tried.
  [[nodiscard]] auto planned_places(const Ipv6Address& host, const Wanted& wanted,
                                    std::uint32_t subscriber) const -> PlannedPlaces;
  [[nodiscard]] auto choose_planned(const InternalEndpoint& internal, const Wanted& wanted,
                                    std::uint32_t subscriber) -> std::optional<External>;
  [[nodiscard]] auto choose_run_planned(const InternalEndpoint& first, const Wanted& wanted,
                                        std::uint32_t count, std::uint32_t subscriber) -> std::optional<Run>;
  [[nodiscard]] auto free_ports(const InternalEndpoint& first, std::uint32_t count, std::uint16_t pool_index,
                                std::uint16_t port) const -> std::uint32_t;
  /// Ports among which one is chosen unasked. The server's word about an explicit mapping comes first.
  [[nodiscard]] auto range_for(std::uint32_t subscriber, const Wanted& wanted) const -> PortRange;
  /// The external address of a subscriber's profile, or of its bindings and blocks, if there is one.
  [[nodiscard]] auto paired(std::uint32_t subscriber) const -> std::optional<std::uint16_t>;
  void hold(const Binding& binding, TimePoint now);
  void end_hold_down(std::uint32_t number);
  void release_block(std::uint32_t number);
  /// Tells the log, if its rules say so.
  void tell(EventKind kind, const Binding& binding) const;
  void tell(EventKind kind, const PortBlock& block) const;

  Random& random_;
  EventSource events_;
  Pool pool_;
  std::optional<Deterministic> deterministic_;
  std::uint8_t planned_length_;
  std::optional<PortPlan> plan_;
  std::uint16_t first_port_;
  bool preserves_ports_;
  Seconds hold_down_time_;
  TableSecret secret_{};

  Numbers numbers_;
  LazyArray<Binding> bindings_;
  LazyArray<ExplicitSet> sets_;
  HashIndex index_;
  Subscribers subscribers_;
  PortBlocks blocks_;
  TimePoint now_{};  // when something was last let go
  Numbers hold_down_numbers_;
  LazyArray<HoldDown> hold_downs_;
  std::array<std::uint64_t, base_count> ports_{};
  std::array<std::uint64_t, base_count> ports_taken_{};
  HashIndex hold_down_index_;
  std::uint32_t oldest_hold_down_ = 0;
  std::uint32_t newest_hold_down_ = 0;
  std::uint64_t hold_downs_cut_ = 0;
};

}  // namespace portolan::nat
