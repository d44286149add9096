// SPDX-License-Identifier: BSD-2-Clause
//
// The PCP client (RFC 6887) towards one server from one address: makes mappings, keeps them alive, asks
// for them again when the network forgot, deletes them. It does no I/O and reads no clock: a program
// hands it datagrams and the time, and carries out its actions.
//
//   engine.map(now, wish);
//   loop: for (Send s : engine.take_actions().send) ...; wait until engine.next_deadline() or a datagram;
//         engine.receive(now, from, datagram) / engine.advance(now)
//
// A wish asks (retransmitting), is granted (renewing) or refused (waiting), and goes on until remove() or
// forget(). A refusal that may pass by itself (short lifetime errors, RFC 6887 s7.4) leaves a granted
// mapping valid until it expires; any other means that it is gone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>

#include "base/random.h"
#include "base/time.h"
#include "client/epoch.h"
#include "client/events.h"
#include "client/timing.h"

namespace portolan::client {

struct Config {
  Endpoint server;
  /// Source address of all requests, hence internal address of all mappings (RFC 6887 s8.1).
  IpAddress client_address;
  RetransmissionTimes retransmission;
  /// Lifetimes beyond are absurd and taken for this (RFC 6887 s15). At least Engine::refusal_lifetime_min.
  Seconds lifetime_max = std::chrono::hours{24};
};

class Engine {
 public:
  /// Wishes and announcements at a time; one more is a bug of the caller.
  static constexpr std::size_t requests_max = 65536;
  /// Bounds of the wait after an error answer, whatever lifetime it carries.
  static constexpr Seconds refusal_lifetime_min{30};
  /// Longest random wait before mappings are asked for again (RFC 6887 s14.1.3).
  static constexpr Seconds recovery_delay_max{5};
  /// Longest wait after UNSUPP_VERSION (RFC 6887 s9).
  static constexpr Seconds version_retry_max = std::chrono::minutes{30};

  /// `random` is borrowed for the engine's life.
  Engine(const Config& config, Random& random);

  /// Wants a mapping. What comes of it is told by events.
  auto map(TimePoint now, const MapWish& wish) -> Handle;

  /// Ends a wish and deletes its mapping at the server; no effect on a handle that is gone.
  void remove(TimePoint now, Handle handle);

  /// Deletes a mapping that an earlier run made: `wish` has its protocol, internal port, external family
  /// and nonce; the rest is not looked at.
  auto remove(TimePoint now, const MapWish& wish) -> Handle;

  /// Asks the server whether it is there and for its Epoch Time (RFC 6887 s14.1.2).
  auto announce(TimePoint now) -> Handle;

  /// Ends a wish, deletion or announcement without telling the server.
  void forget(Handle handle);

  /// Takes a datagram that came to the client address; `from` is its source.
  auto receive(TimePoint now, const Endpoint& from, std::span<const std::byte> datagram) -> Reception;

  /// Does what is due at `now`. Cost O(requests).
  void advance(TimePoint now);

  /// When advance() has something to do next. Cost O(requests).
  [[nodiscard]] auto next_deadline() const -> std::optional<TimePoint>;

  /// What is to be done and what has happened, in order; each is returned once.
  [[nodiscard]] auto take_actions() -> Actions;

  /// Nonce of a wish or deletion.
  [[nodiscard]] auto nonce(Handle handle) const -> std::optional<Nonce>;
  /// The mapping a wish holds now.
  [[nodiscard]] auto mapping(Handle handle) const -> std::optional<Mapping>;

  /// Says which internal truth does not hold, or nothing. For tests and fuzzers.
  [[nodiscard]] auto broken_invariant() const -> std::optional<std::string>;

 private:
  enum class Phase : std::uint8_t {
    asking,      // no answer yet, or waiting to ask (again)
    granted,     // renewing
    deleting,    // as asking, for a deletion
    announcing,  // as asking, for an ANNOUNCE
  };
  struct Request {
    Phase phase = Phase::asking;
    MapWish wish;
    Nonce nonce;
    /// Suggested in requests: the wish's at first, what was assigned later.
    Endpoint suggested;
    std::optional<Mapping> mapping;
    TimePoint granted_at;
    unsigned renewals = 0;
    Retransmission exchange;
    std::optional<TimePoint> last_sent;
    /// Transmissions since the last answer.
    unsigned unanswered = 0;
    /// Before this nothing is sent: an error's lifetime, or a random delay.
    TimePoint not_before;
    std::optional<TimePoint> next_send;
  };
  using Requests = std::map<Handle, Request>;

  auto add(TimePoint now, Request request) -> Handle;
  /// Starts a new exchange whose first transmission is at `when`.
  void ask(TimePoint when, Request& request);
  void schedule_renewal(Request& request);
  void advance_request(TimePoint now, Handle handle);
  void transmit(TimePoint now, Handle handle, Request& request);
  void lose(TimePoint now, Handle handle, Request& request, Lost::Reason reason);

  auto receive_other_version(TimePoint now, std::span<const std::byte> datagram) -> Reception;
  auto receive_announce(TimePoint now, const wire::Response& response) -> Reception;
  auto receive_map(TimePoint now, const wire::Response& response, const wire::MapResponse& map) -> Reception;
  auto matches(const Request& request, const wire::Response& response, const wire::MapResponse& map) const
      -> bool;
  /// PREFER_FAILURE: whether the suggestion was granted (RFC 6887 s13.2).
  auto is_as_insisted(const Request& request, const wire::MapResponse& map) const -> bool;
  void accept_success(TimePoint now, Handle handle, Request& request, const wire::Response& response,
                      const wire::MapResponse& map);
  void accept_error(TimePoint now, Handle handle, Request& request, const wire::Response& response);
  void check_epoch(TimePoint now, std::uint32_t epoch_time_s);

  Config config_;
  Random& random_;
  EpochCheck epoch_;
  Requests requests_;
  std::uint64_t last_handle_ = 0;
  /// After NO_RESOURCES: no new mappings, or no requests at all (RFC 6887 s11.4).
  TimePoint no_new_before_;
  TimePoint nothing_before_;
  Actions actions_;
};

}  // namespace portolan::client
