// SPDX-License-Identifier: BSD-2-Clause
//
// The PCP client with all its servers (RFC 7488): each wish is asked of every server that may fulfil it,
// from the address that the path to the server names, or that the wish does. A server that does not answer at
// one of its addresses is asked at the next one, until it announces itself at a former one. When this host's
// address changes, mappings are asked for from the new one and deleted from the old one. As the engine it
// does no I/O and reads no clock.
//
//   client.set_servers(now, servers);      whenever they or this host's addresses change
//   client.add(now, wish);
//   loop: carry out client.take_actions(); wait until client.next_deadline() or a datagram;
//         client.receive(now, ...) / client.advance(now)
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/time.h"
#include "client/engine.h"
#include "client/servers.h"

namespace portolan::client {

/// Names a wish of a Client; never used twice.
enum class WishId : std::uint64_t {};

struct ClientConfig {
  Speech speech = Speech::automatic;
  RetransmissionTimes retransmission;
  Seconds lifetime_max = std::chrono::hours{24};
};

/// A wish, and whom to ask.
struct ClientWish {
  Wish wish;
  /// Only from this address of this host, while it has it; nothing: from every path's.
  std::optional<IpAddress> client_address = {};
  /// Only from addresses of this family; nothing: from both.
  std::optional<Family> client_family = {};
  /// Only this server; empty: every one.
  std::string server = {};
  /// Makes the nonce for a server that is asked from this client address, the same one each time; none: it is
  /// drawn. A run that has no memory of the last one finds its mappings by that.
  std::function<Nonce(const std::string& server, const IpAddress& client_address)> nonce_for = {};
};

/// What a server granted; kept by a program, it survives it (`held` of Client::add()).
struct Held {
  std::string server;
  Mapping mapping;
};

/// Nonces of one wish, by server. Who has the nonce may renew and delete the mapping (RFC 6887 s11.2).
using Nonces = std::map<std::string, Nonce>;

/// A datagram to send from the path's client address to its server.
struct ClientSend {
  Path path;
  wire::Datagram datagram;
};

/// What happened to a wish at a server, or without a wish to the server. The event's handle means nothing.
struct ClientEvent {
  std::optional<WishId> wish;
  std::string server;
  Path path;
  Event event;
};

struct ClientActions {
  std::vector<ClientSend> send;
  std::vector<ClientEvent> events;
};

class Client {
 public:
  /// Wishes at a time; one more is a bug of the caller.
  static constexpr std::size_t wishes_max = 4096;
  /// Requests to an address of a server that has others, before the next one is tried (RFC 7488 s3).
  static constexpr unsigned unanswered_max = 4;
  /// When all addresses of a server are tried, they are again after this (RFC 7488 s3).
  static constexpr Seconds all_tried_pause = std::chrono::minutes{15};
  /// How long deletions are tried from an address, or of a server, that is left.
  static constexpr Seconds leaving_time{30};
  /// Left ones at a time; the oldest makes room.
  static constexpr std::size_t leaving_max = 32;
  /// Nonces kept of one wish; those of servers that are not asked now make room.
  static constexpr std::size_t nonces_max = 64;

  /// `random` is borrowed for the client's life.
  Client(const ClientConfig& config, Random& random);

  /// Replaces the list of servers. Mappings at a server that stays, by its name, are kept if the client
  /// address in use does; else they move.
  void set_servers(TimePoint now, const std::vector<Server>& servers);

  /// Wants mappings. `held` is what earlier runs were granted; one of an unknown server is left alone.
  /// `nonces` are those that earlier runs asked with, granted or not, at most nonces_max.
  auto add(TimePoint now, const ClientWish& wish, std::vector<Held> held = {}, Nonces nonces = {}) -> WishId;

  /// Ends a wish and deletes its mappings. Each server's answer is told by Deleted or Refused; the wish is
  /// gone when is_known() says so.
  void remove(TimePoint now, WishId id);

  /// Ends a wish without telling the servers.
  void forget(WishId id);

  /// Takes a datagram that came to `client_address`, or by multicast (then it is nothing), at an interface.
  auto receive(TimePoint now, const std::optional<IpAddress>& client_address, std::uint32_t interface_index,
               const Endpoint& from, std::span<const std::byte> datagram) -> Reception;

  /// A hard ICMP error tells that nothing can be reached by this path: the server's next address is tried at
  /// once (RFC 7488 s3).
  void unreachable(TimePoint now, const Path& path);

  void advance(TimePoint now);
  [[nodiscard]] auto next_deadline() const -> std::optional<TimePoint>;
  [[nodiscard]] auto take_actions() -> ClientActions;

  /// Whether the wish, or a deletion of its mappings, is under way.
  [[nodiscard]] auto is_known(WishId id) const -> bool { return wishes_.contains(id); }
  /// Whether nothing is wanted and no deletion under way.
  [[nodiscard]] auto is_idle() const -> bool { return wishes_.empty() && leaving_.empty(); }
  /// Whether a deletion is under way.
  [[nodiscard]] auto is_deleting() const -> bool;
  [[nodiscard]] auto wish_count() const -> std::size_t { return wishes_.size(); }
  /// What the wish holds now, by server.
  [[nodiscard]] auto held(WishId id) const -> std::vector<Held>;
  /// With which nonces it was asked for. A program that is to survive keeps them before it sends: a server
  /// may grant what nobody hears of, and lets only the nonce have it.
  [[nodiscard]] auto nonces(WishId id) const -> Nonces;
  /// How many servers the wish is asked of now.
  [[nodiscard]] auto servers_asked(WishId id) const -> std::size_t;
  /// Whether some are asked, and all of them are among these.
  [[nodiscard]] auto is_asked_only_of(WishId id, const std::set<std::string>& servers) const -> bool;
  /// As they were set.
  [[nodiscard]] auto servers() const -> const std::vector<Server>& { return servers_; }
  /// Whether a server can be asked from this address of the host.
  [[nodiscard]] auto has_path_from(const IpAddress& client_address) const -> bool;
  /// Addresses of this host that wishes name.
  [[nodiscard]] auto named_addresses() const -> std::set<IpAddress>;
  /// Paths in use, those to leave included: sockets are needed for these.
  [[nodiscard]] auto paths() const -> std::vector<Path>;
  /// What the servers told of their NAT64, by server.
  [[nodiscard]] auto nat64_prefixes() const -> std::map<std::string, std::vector<Nat64Prefix>>;

  /// Says which internal truth does not hold, or nothing. For tests and fuzzers.
  [[nodiscard]] auto broken_invariant() const -> std::optional<std::string>;

 private:
  struct WishState {
    ClientWish wish;
    bool is_removed = false;
    /// One nonce for all addresses of a server, another one for each server (RFC 7488 s3, s4).
    Nonces nonces;
    /// Not yet taken up, by server.
    std::map<std::string, Mapping> held;
  };
  /// Wishes that name an address of this host have engines of their own: what the kernel chooses for others
  /// is nothing to them.
  struct Place {
    std::string server;
    std::optional<IpAddress> client_address = {};
    auto operator<=>(const Place&) const = default;
  };
  struct Association {
    std::optional<IpAddress> client_address;  // of its Place
    Server server;
    std::size_t path = 0;
    std::size_t tried = 0;
    std::unique_ptr<Engine> engine;  // none: all paths are tried, until retry_at
    std::optional<TimePoint> retry_at;
    std::map<WishId, Handle> handles;

    [[nodiscard]] auto current() const -> const Path& { return server.paths[path]; }
  };
  /// An engine that only deletes.
  struct Leaving {
    Path path;
    std::unique_ptr<Engine> engine;
    TimePoint until;
  };

  /// What there is at a place now; nothing without a path.
  [[nodiscard]] auto offered(const Place& place) const -> std::optional<Server>;
  /// Has an association with each server that has a path for wishes that name this address, or none.
  void associate(TimePoint now, const std::optional<IpAddress>& client_address);
  void start(TimePoint now, Association& association);
  void ask(TimePoint now, Association& association, WishId id, WishState& state);
  /// Ends the engine's work on the present path.
  void leave(TimePoint now, Association& association, Lost::Reason reason, bool deletes);
  void tell_lost(const Association& association, WishId id, const Mapping& mapping, Lost::Reason reason);
  /// While all paths are tried in vain, what was held goes on living.
  void expire_held(TimePoint now, const Association& association);
  void use_paths(TimePoint now, Association& association, const Server& server);
  void try_next_path(TimePoint now, Association& association);
  /// Asks again, soon, at an address that was given up.
  auto come_back(TimePoint now, Association& association, std::size_t path) -> bool;
  void collect(TimePoint now, Association& association);
  void drop_ended();
  void keep_nonce(WishState& state, const std::string& server, const Nonce& nonce) const;
  [[nodiscard]] static auto suits(const ClientWish& wish, const Association& association) -> bool;

  ClientConfig config_;
  Random& random_;
  std::vector<Server> servers_;
  std::map<Place, Association> associations_;
  std::vector<Leaving> leaving_;
  std::map<WishId, WishState> wishes_;
  std::uint64_t last_id_ = 0;
  ClientActions actions_;
};

}  // namespace portolan::client
