// SPDX-License-Identifier: BSD-2-Clause
//
// The stateful NAT64 (RFC 6146) as a value driven from outside: packets in, packets out, time as an
// argument. It makes no system call and, once built, allocates nothing but in set_pool().
//
// Way in: process() in nat64.cpp; one packet is parsed, looked up, rewritten in place. control.cpp
// has what the server asks for, icmp_errors.cpp errors translated and made here.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/mapping_key.h"
#include "base/random.h"
#include "base/time.h"
#include "base/timer_wheel.h"
#include "nat/bindings.h"
#include "nat/config.h"
#include "nat/contacts.h"
#include "nat/counters.h"
#include "nat/embedding.h"
#include "nat/events.h"
#include "nat/filters.h"
#include "nat/frame.h"
#include "nat/icmp.h"
#include "nat/identifications.h"
#include "nat/parse.h"
#include "nat/prefixes.h"
#include "nat/reassembly.h"
#include "nat/session_entry.h"
#include "nat/sessions.h"
#include "nat/view.h"
#include "nat/waiting_syns.h"

namespace portolan::nat {

/// What the server wants of a new explicit mapping.
struct Suggestion {
  std::optional<Ipv4Address> external_address;  ///< nothing: any
  Port external_port;                           ///< 0: any
  bool exact = false;                           ///< refuse if it cannot be had
  /// Where a new one is while the pool has it; another external address is not to be had then.
  std::optional<Ipv4Address> given_address{};
};

/// What may come with a mapping.
struct Extras {
  /// The whole list; empty: everyone may send. As the client sees its peers.
  std::span<const RemoteFilter> filters{};
  std::uint16_t port_count = 1;  ///< at least 1
  bool preserve_parity = false;
  PortRange external_ports{};        ///< where a new one is looked for
  bool is_bound_to_address = false;  ///< lost, not moved, when its address leaves the pool
};

/// Why a mapping was not installed; nothing changed.
enum class InstallError : std::uint8_t {
  cannot_provide_external,  ///< exact, and the endpoint is taken, reserved, not ours, or not the present one
  no_resources,             ///< no port or table space left
  unsupported_protocol,     ///< not UDP or TCP from IPv6 to IPv4, or port 0
  not_inside,               ///< no address a host inside can have: IPv4, link-local, in the prefix, ...
  network_failure,          ///< the pool is empty
  excessive_filters,        ///< beyond Limits::filters_per_mapping or Limits::filters
  remote_peer_invalid,      ///< PEER: no packet to that peer would be translated
};
[[nodiscard]] auto to_string(InstallError error) -> std::string_view;

/// Why a profile was not taken; nothing changed.
enum class ProfileError : std::uint8_t { not_inside, no_resources, unsupported };

struct External {
  Ipv4Address address;
  Port port;
  std::uint16_t port_count = 1;  ///< consecutive ones, from `port` on
  auto operator==(const External&) const -> bool = default;
};

/// An explicit mapping made or renewed.
struct Installed {
  External external;
  /// What was asked for, or longer: as sessions begun from inside keep the endpoint mapped if no more packets
  /// come (RFC 6887 s15).
  Seconds lifetime{};
};

/// An explicit mapping taken back, or a session that PEER no longer keeps.
struct Removed {
  External external;
  /// How long sessions begun from inside keep the endpoint mapped if no more packets come; 0 if none.
  Seconds remaining{};
};

/// Why there was nothing to take back.
enum class RemoveError : std::uint8_t {
  no_mapping,
  outbound_mapping,  ///< one that only traffic or PEER made (RFC 6887 s15.1)
};

/// A session that PEER keeps.
struct Peered {
  External external;
  Seconds remaining{};  ///< it lives so long at least
};

/// What became of one explicit mapping, or of one session that PEER kept, when the pool changed.
struct PoolChange {
  enum class Kind : std::uint8_t { moved, lost, lost_peer };
  Kind kind = Kind::lost;
  MappingKey key;
  External external;     ///< moved: the new one
  Endpoint remote_peer;  ///< lost_peer
};

class Nat64 {
 public:
  /// `config` has passed check(); `random` outlives this. Throws std::bad_alloc.
  Nat64(const Config& config, Random& random);

  /// Translates one packet in place.
  ///
  /// Spec    RFC 6146 s3.4-s3.8, RFC 7915 s4, s5
  /// In      frame: Frame::headroom_min octets before the packet; any content
  /// Out     forward: frame holds the translated packet, in its buffer or, if it came in fragments, in one of
  ///         the engine's until the next call. leave: so it does the packet, as it came or whole. drop, keep:
  ///         frame's octets are undefined. Either way errors for the sender, or further fragments, may be in
  ///         output().
  /// Cost    O(packet headers); O(octets) for UDP without checksum and ICMP errors. No allocation.
  [[nodiscard]] auto process(TimePoint now, Frame& frame) -> Verdict;

  /// Ends what is idle or expired, a bounded number of steps at a time.
  void advance(TimePoint now);
  /// When advance() next has something to do; may be early, never late. A time in the past means that
  /// advance() left work over.
  [[nodiscard]] auto next_deadline() const -> std::optional<TimePoint>;

  /// A call of install() or remove() soon.
  struct UpcomingCall {
    const MappingKey* key = nullptr;
    bool is_removal = false;
  };
  /// With many bindings, control costs little but the wait for memory: starts fetching what `calls` touch,
  /// the first `fetched_together_max` of them.
  void fetch(std::span<const UpcomingCall> calls) const;

  /// Creates or renews the explicit mapping of `key`; lifetime > 0.
  ///
  /// Spec    RFC 6887 s11.3, s15; device.h says the same for every device
  /// Effect  An existing binding of the endpoint, explicit or not, keeps its external endpoint, and an
  ///         explicit one the size of its port set
  /// Cost    O(ports of the set and their sessions)
  [[nodiscard]] auto install(TimePoint now, const MappingKey& key, const Suggestion& suggestion,
                             Seconds lifetime, const Extras& extras = {})
      -> std::expected<Installed, InstallError>;
  /// Takes the explicit mapping of `key` back, a port set as a whole. One taken back before is answered
  /// again while traffic keeps its binding.
  ///
  /// Effect  Sessions begun from inside keep the binding as an implicit one. Sessions begun from
  ///         outside go on until idle, but no new one enters. Without sessions the port goes into
  ///         hold-down for its owner at once.
  auto remove(TimePoint now, const MappingKey& key) -> std::expected<Removed, RemoveError>;

  /// Makes or finds the session of `key` towards `remote_peer` and keeps it for `lifetime` at least.
  ///
  /// Spec    RFC 6887 s12.3; device.h says the same for every device
  [[nodiscard]] auto install_peer(TimePoint now, const MappingKey& key, const Endpoint& remote_peer,
                                  const Suggestion& suggestion, Seconds lifetime, const PortRange& ports = {})
      -> std::expected<Peered, InstallError>;
  /// From now on only packets keep that session; nothing if there is none.
  auto release_peer(TimePoint now, const MappingKey& key, const Endpoint& remote_peer)
      -> std::optional<Removed>;

  /// Says what subscribers with addresses in `internal` may have; device.h says the same for every device.
  ///
  /// In      asked: what is 0 of its limits, and of subscriber_prefix_length, is as for everybody
  /// Errors  not_inside, no_resources (Limits::profiles), unsupported (as check() finds)
  /// Cost    O(prefix lengths that occur)
  [[nodiscard]] auto put_profile(const Prefix& internal, const Allowance& asked)
      -> std::expected<void, ProfileError>;
  void drop_profile(const Prefix& internal);

  /// Changes the pool. What is at an address that is no longer in it ends, but explicit mappings move to
  /// another, to the same port if it is free, with what is left of their lifetime.
  ///
  /// In      pool: as in a Config that passes check()
  /// Cost    O(what is at addresses that are gone); allocates
  auto set_pool(TimePoint now, const std::vector<PoolRange>& pool) -> std::vector<PoolChange>;

  /// Whether flows from inside may have external ports of their own; they may at first. While not, what would
  /// need one is dropped (not_reconciled); explicit mappings, and flows at ports that are mapped, go on. So a
  /// server gets the ports back that it promised before a restart.
  void allow_implicit(bool is_allowed) { is_implicit_allowed_ = is_allowed; }
  [[nodiscard]] auto is_implicit_allowed() const -> bool { return is_implicit_allowed_; }

  /// Places of a table that a view looks at in one call.
  static constexpr std::uint32_t places_per_view = 512;
  /// Part of a table: appends the rows that `filter` lets through among the next places from `from` on.
  /// Returns where to go on, 0 at the end. From 0 to the end, what was there all the time is seen once. Cost
  /// O(places_per_view); allocates
  [[nodiscard]] auto view(TimePoint now, const RowFilter& filter, std::uint32_t from,
                          std::vector<BindingRow>& rows) -> std::uint32_t;
  [[nodiscard]] auto view(TimePoint now, const RowFilter& filter, std::uint32_t from,
                          std::vector<SessionRow>& rows) -> std::uint32_t;
  [[nodiscard]] auto view(TimePoint now, const RowFilter& filter, std::uint32_t from,
                          std::vector<HostRow>& rows) -> std::uint32_t;
  /// One address a call: O(ports).
  [[nodiscard]] auto view(TimePoint now, const RowFilter& filter, std::uint32_t from,
                          std::vector<PoolRow>& rows) -> std::uint32_t;
  [[nodiscard]] auto view(TimePoint now, const RowFilter& filter, std::uint32_t from,
                          std::vector<ProfileRow>& rows) const -> std::uint32_t;
  /// The same for what the server wants besides profiles: explicit mappings, sessions that PEER keeps.
  [[nodiscard]] auto view(TimePoint now, std::uint32_t from, std::vector<MappingRow>& rows) -> std::uint32_t;
  [[nodiscard]] auto view(TimePoint now, std::uint32_t from, std::vector<PeerRow>& rows) -> std::uint32_t;
  /// What would become of a packet; changes nothing.
  [[nodiscard]] auto trace(TimePoint now, const TraceQuery& query) -> TraceResult;

  /// So many packets made here wait at most.
  static constexpr std::size_t outputs_max = 64;
  /// The oldest packet made here that waits for being sent: an ICMP error, a fragment of the packet
  /// just forwarded, a TCP probe. It needs no offload. Empty if none.
  [[nodiscard]] auto output() const -> std::span<const std::byte>;
  void pop_output();

  [[nodiscard]] auto counters() const -> Counters;
  [[nodiscard]] auto config() const -> const Config& { return config_; }

  /// What is told from now on of bindings, sessions and blocks that come and go, and to whom; what exists is
  /// not. `sink` outlives this, null: nobody listens. Cost O(rules); allocates
  void set_events(EventSink* sink, const EventRules& rules) { bindings_.events().set(sink, rules); }

  /// Aborts if the tables contradict each other. For tests. Cost O(everything).
  void check_invariants() const;

 private:
  static constexpr std::uint32_t steps_per_advance = 256;  // well below 1 ms

  struct Output {
    std::array<std::byte, ipv6::minimum_mtu> octets;
    std::size_t size;
  };

  // Translation; nat64.cpp.
  [[nodiscard]] auto from_ipv6(TimePoint now, Frame& frame) -> DropReason;
  [[nodiscard]] auto from_ipv4(TimePoint now, Frame& frame) -> DropReason;
  [[nodiscard]] auto check_addresses_v6(Packet& packet) const -> DropReason;
  [[nodiscard]] auto goes_to_shared_address(const Packet& packet) const -> bool;
  /// Whether a packet to such an address, whole and no ICMP error, is the host's; `parsed` is what
  /// parse_ipv4() says of it.
  [[nodiscard]] auto is_the_hosts(const Packet& packet, DropReason parsed) const -> bool;
  /// Whether a packet that is left to the host may come from `source`: the kernel, which takes it from the
  /// TUN with its checks off, would believe even that it comes from the host itself. Those to the translator
  /// may come from the pool too (hairpinning).
  [[nodiscard]] auto may_be_outside(const std::uint8_t* source) const -> bool;
  [[nodiscard]] auto check_addresses_v4(const Packet& packet, bool is_error) const -> DropReason;
  /// The source of ICMPv6 errors, unspecified if there is none.
  [[nodiscard]] static auto own_address(const Config& config, const Prefixes& prefixes) -> Ipv6Address;
  /// Whether a host may have `address`: not multicast, link-local, loopback, unspecified, IPv4-mapped.
  [[nodiscard]] static auto is_inside_address(const std::uint8_t* address) -> bool;
  /// Keeps a fragment; with the last one missing, `frame` becomes the whole packet, which goes on.
  [[nodiscard]] auto reassemble(TimePoint now, Frame& frame, const Packet& fragment, Direction side)
      -> DropReason;
  [[nodiscard]] auto flow_from_ipv6(TimePoint now, Frame& frame, const Packet& packet) -> DropReason;
  [[nodiscard]] auto flow_from_ipv4(TimePoint now, Frame& frame, const Packet& packet) -> DropReason;
  /// Sends a packet that is for a pool address back in.
  [[nodiscard]] auto hairpin(TimePoint now, Frame& frame) -> DropReason;
  void count(Direction direction, Kind kind, const Frame& frame);
  /// Cuts a translated packet: the first fragment stays in `frame`, the others go into output().
  [[nodiscard]] auto fragment_ipv6(Frame& frame, std::uint16_t identification) -> DropReason;
  void touch(SessionEntry& entry, Direction side, const Packet& packet, TimePoint now);
  /// Corrects for octets of an embedded address that its canonical form has not.
  [[nodiscard]] static auto suffix_delta(const Embedding& embedding, const std::uint8_t* embedded)
      -> std::uint16_t;
  /// The host inside uses another prefix for the remote address than before: answers come from that.
  void change_prefix(const SessionEntry& entry, std::uint8_t prefix);

  // Sessions and bindings; flows.cpp.
  /// The two directions' entries for a binding and a remote endpoint, numbers in network order.
  struct Entries {
    SessionEntry outward;
    SessionEntry inward;
  };
  [[nodiscard]] auto entries_of(const Binding& binding, std::uint32_t remote, std::uint16_t remote_port,
                                std::uint8_t prefix) const -> Entries;
  /// The prefix that an address outside is known by inside if nobody inside chose one.
  [[nodiscard]] auto source_prefix(std::uint32_t remote) const -> std::uint8_t;
  [[nodiscard]] auto is_untranslated(std::uint32_t remote) const -> bool;
  [[nodiscard]] auto open_from_ipv6(TimePoint now, const InsideKey& key, const Packet& packet)
      -> std::expected<SessionEntry, DropReason>;
  [[nodiscard]] auto open_from_ipv4(TimePoint now, const OutsideKey& key, std::uint16_t pool_index,
                                    const Packet& packet) -> std::expected<SessionEntry, DropReason>;
  /// Whether the binding lets `remote` (network order) begin something. Filters are about the inbound
  /// mapping: an implicit binding has none, but the filtering configured.
  [[nodiscard]] auto lets_in(std::uint32_t number, std::uint32_t remote, std::uint16_t remote_port) const
      -> bool;
  [[nodiscard]] auto is_address_dependent(Base base) const -> bool;
  /// Keeps a SYN from outside that was not let in; the reason why it does not pass.
  [[nodiscard]] auto keep_syn(TimePoint now, const Packet& packet, DropReason reason) -> DropReason;
  /// Answers those that have waited long enough, as far as output() has room.
  void answer_syns(TimePoint now, std::uint32_t& steps);
  /// Makes a session if there is room; an explicit mapping's packets pass also without one.
  [[nodiscard]] auto admit(TimePoint now, std::uint32_t number, const Entries& entries, Direction opener)
      -> DropReason;
  [[nodiscard]] auto add_session(TimePoint now, std::uint32_t number, const Entries& entries,
                                 Direction opener, std::uint32_t share) -> DropReason;
  void erase_session(std::uint32_t number, TimePoint now);
  /// A TCP connection was idle for long: asks its inside end whether it still exists.
  void expire_established(std::uint32_t number, TimePoint now);
  void release_if_unused(std::uint32_t number, TimePoint now);
  /// Tells the log of a session, if its rules say so, or of a packet that something was lacking for.
  void tell(EventKind kind, std::uint32_t session);
  void tell_exhausted_v6(TimePoint now, const Packet& packet, DropReason reason);
  void tell_exhausted_v4(TimePoint now, const Packet& packet, DropReason reason);
  [[nodiscard]] static auto base_of(std::uint8_t protocol) -> Base;
  /// The number of its protocol over IPv4.
  [[nodiscard]] static auto protocol_of(Base base) -> std::uint8_t;
  /// Its explicit mapping is gone, and only sessions begun from outside are left.
  [[nodiscard]] static auto is_draining(const Binding& binding) -> bool;

  // What the server asks for; control.cpp.
  [[nodiscard]] auto endpoint_of(const MappingKey& key) const
      -> std::expected<InternalEndpoint, InstallError>;
  [[nodiscard]] static auto agrees(const Suggestion& suggestion, const External& present) -> bool;
  [[nodiscard]] auto find_pool(const Suggestion& suggestion, Wanted& wanted) const -> bool;
  /// What `suggestion` means for a new place; nothing if it is exact and not to be had.
  [[nodiscard]] auto for_new_place(Suggestion suggestion) const -> std::optional<Suggestion>;
  [[nodiscard]] static auto key_of(const InternalEndpoint& internal) -> MappingKey;
  /// Binds the set of `first`, whose binding is `number` or yet to be made.
  [[nodiscard]] auto bind_set(const InternalEndpoint& first, std::uint32_t number, const Wanted& wanted,
                              std::uint32_t count) -> std::expected<std::uint32_t, InstallError>;
  /// Makes the binding of `internal` an explicit one of the set of `head`.
  void make_explicit(std::uint32_t number, std::uint32_t head);
  /// The binding of the set's i-th port, if it is or was in it.
  [[nodiscard]] auto member(std::uint32_t head, std::uint32_t i) const -> std::uint32_t;
  void end_forbidden_sessions(std::uint32_t head, TimePoint now);
  /// How long sessions begun from inside keep a binding, or any of a set; O(sessions).
  [[nodiscard]] auto remaining(const Binding& binding, TimePoint now) -> Seconds;
  [[nodiscard]] auto remaining(std::uint32_t head, TimePoint now) -> Seconds;
  [[nodiscard]] auto end_explicit(std::uint32_t head, TimePoint now) -> Removed;
  [[nodiscard]] auto external_of(std::uint32_t number) const -> External;

  // PEER and changes of the pool; peers.cpp.
  struct PeerTuple {
    InsideKey key;
    std::uint8_t prefix;
  };
  [[nodiscard]] auto peer_tuple(const InternalEndpoint& internal, const Endpoint& remote_peer) const
      -> std::optional<PeerTuple>;
  [[nodiscard]] auto remote_peer_of(std::uint32_t session) const -> Endpoint;
  void end_sessions(std::uint32_t number, TimePoint now, std::vector<PoolChange>& changes);
  [[nodiscard]] auto move_set(std::uint32_t head) -> PoolChange;
  [[nodiscard]] auto open_for_peer(TimePoint now, const InternalEndpoint& internal, const PeerTuple& tuple,
                                   const Suggestion& suggestion, const PortRange& ports)
      -> std::expected<std::uint32_t, InstallError>;

  // For those who look; views.cpp, trace.cpp.
  [[nodiscard]] auto row_of_binding(std::uint32_t number, TimePoint now) const -> BindingRow;
  [[nodiscard]] auto row_of_session(std::uint32_t number, TimePoint now) -> SessionRow;
  void trace_from_ipv6(TimePoint now, const TraceQuery& query, TraceResult& result);
  /// Sessions that a packet will have made before it comes back in (hairpinning).
  struct Ahead {
    std::uint32_t subscriber = 0;
    std::uint32_t sessions = 0;
  };
  void trace_from_ipv4(TimePoint now, const TraceQuery& query, const Ahead& ahead, TraceResult& result);
  /// As add_session() would find, for a binding or one to be made.
  [[nodiscard]] auto room_for_session(TimePoint now, std::uint32_t binding, std::uint32_t subscriber,
                                      Direction opener, const Ahead& ahead) const -> DropReason;

  // ICMP errors; icmp_errors.cpp.
  [[nodiscard]] auto error_from_ipv6(TimePoint now, Frame& frame, const Packet& packet) -> DropReason;
  [[nodiscard]] auto error_from_ipv4(Frame& frame, const Packet& packet) -> DropReason;
  [[nodiscard]] static auto is_quotable(const Packet& inner) -> bool;
  void report_drop_v6(TimePoint now, const Packet& packet, DropReason reason);
  void report_drop_v4(TimePoint now, const Packet& packet, DropReason reason);
  void send_error_v6(TimePoint now, const Packet& packet, const IcmpHeader& header);
  void send_error_v4(TimePoint now, const Packet& packet, const IcmpHeader& header);
  /// Turns the error just made, for a host that met another at its external address, into its family.
  void turn_inward(TimePoint now, Output& output);
  [[nodiscard]] auto take_error_token(TimePoint now, Direction side) -> bool;
  [[nodiscard]] auto claim_output() -> Output*;

  Config config_;
  Prefixes prefixes_;
  AddressSet untranslated_;
  Ipv6Address own_address_;
  std::uint8_t traffic_class_mask_;
  Bindings bindings_;
  Sessions sessions_;
  Filters filters_;
  Contacts contacts_;
  WaitingSyns waiting_syns_;
  Reassembly reassembly_;
  std::vector<PeerFilter> new_filters_;  // of the mapping at hand
  TimerWheel explicit_wheel_;
  std::vector<Output> outputs_;
  std::size_t first_output_ = 0;
  std::size_t output_count_ = 0;
  Identifications identifications_;
  /// Errors that may still be made in this second, by the side they are for: strangers use up none of the
  /// hosts'.
  struct ErrorTokens {
    TimePoint since{};
    std::uint32_t used = 0;
  };
  std::array<ErrorTokens, 2> error_tokens_;
  bool is_implicit_allowed_ = true;
  Counters counters_;
};

}  // namespace portolan::nat
