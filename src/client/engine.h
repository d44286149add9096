// SPDX-License-Identifier: BSD-2-Clause
//
// The PCP client (RFC 6887) towards one server from one address: makes mappings, keeps them alive, asks
// for them again when the network forgot, deletes them. A server that speaks only NAT-PMP (RFC 6886) is
// asked in its words. It does no I/O and reads no clock: a program hands it datagrams and the time, and
// carries out its actions. client.h has several servers and addresses.
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
#include <vector>

#include "base/random.h"
#include "base/time.h"
#include "client/epoch.h"
#include "client/events.h"
#include "client/requests.h"
#include "client/timing.h"

namespace portolan::client {

/// What the engine may speak.
enum class Speech : std::uint8_t {
  automatic,  ///< PCP, and NAT-PMP to an IPv4 server that offers nothing else (RFC 6887 s9)
  pcp,
  nat_pmp,
};

struct Config {
  Endpoint server;
  /// Source address of all requests, hence internal address of all mappings (RFC 6887 s8.1).
  IpAddress client_address;
  Speech speech = Speech::automatic;
  RetransmissionTimes retransmission;
  /// Requests without an answer after which Unresponsive is told; 0: never (RFC 7488 s3).
  unsigned unanswered_max = 0;
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
  /// Prefixes of a NAT64 beyond are not kept.
  static constexpr std::size_t nat64_prefixes_max = 32;

  /// `random` is borrowed for the engine's life.
  Engine(const Config& config, Random& random);

  /// Wants a mapping. What comes of it is told by events.
  ///
  /// In      wish: without error_in()
  ///         held: what an earlier run or another path was granted; it is asked for again at once, and holds
  ///         until it expires
  auto map(TimePoint now, const Wish& wish, const std::optional<Mapping>& held = {}) -> Handle;

  /// Ends a wish and deletes its mapping at the server; no effect on a handle that is gone.
  void remove(TimePoint now, Handle handle);

  /// Deletes a mapping that an earlier run made: `wish` has its protocol, internal port, external family,
  /// third party, number of ports and nonce; the rest is not looked at.
  auto remove(TimePoint now, const Wish& wish) -> Handle;

  /// Asks the server whether it is there and for its Epoch Time (RFC 6887 s14.1.2), if wanted for its
  /// NAT64's prefix too (RFC 7225 s4.3).
  auto announce(TimePoint now, bool wants_nat64_prefix = false) -> Handle;

  /// Ends a wish, deletion or announcement without telling the server.
  void forget(Handle handle);

  /// Requests ask for no lifetime beyond the client address's; nothing: as long as is wished.
  void limit_lifetimes(std::optional<TimePoint> address_valid_until) {
    address_valid_until_ = address_valid_until;
  }

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
  /// What the server told last of its NAT64.
  [[nodiscard]] auto nat64_prefixes() const -> const std::vector<Nat64Prefix>& { return nat64_prefixes_; }
  /// Whether the server is asked in NAT-PMP at present.
  [[nodiscard]] auto speaks_nat_pmp() const -> bool { return is_nat_pmp_; }
  /// Whether there is anything left to do.
  [[nodiscard]] auto is_idle() const -> bool { return requests_.empty(); }

  /// Says which internal truth does not hold, or nothing. For tests and fuzzers.
  [[nodiscard]] auto broken_invariant() const -> std::optional<std::string>;

 private:
  enum class Phase : std::uint8_t {
    asking,      // no answer yet, or waiting to ask (again)
    granted,     // renewing
    deleting,    // as asking, for a deletion
    announcing,  // as asking, for an ANNOUNCE
  };
  /// NAT-PMP tells the external address apart from the port (RFC 6886 s3.2): it is asked for first.
  enum class AddressQuery : std::uint8_t { needed, sent, answered };
  struct Request {
    Phase phase = Phase::asking;
    Wish wish;
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
    AddressQuery address = AddressQuery::needed;
    bool waits_for_turn = false;
  };
  using Requests = std::map<Handle, Request>;

  /// What a MAP, PEER or NAT-PMP answer says.
  struct Answer {
    wire::ResultCode result{};
    std::uint32_t lifetime_s = 0;
    std::uint32_t epoch_time_s = 0;
    Nonce nonce;
    Protocol protocol{};
    Port internal_port;
    Endpoint assigned;
    std::optional<Endpoint> remote_peer;
    AnswerOptions options;
    bool is_nat_pmp = false;
  };

  auto add(TimePoint now, Request request) -> Handle;
  /// Starts a new exchange whose first transmission is at `when`.
  void ask(TimePoint when, Request& request);
  void schedule_renewal(Request& request);
  /// When the request may go out again.
  [[nodiscard]] auto earliest(TimePoint now, const Request& request) const -> TimePoint;
  void advance_request(TimePoint now, Handle handle);
  void give_up(TimePoint now, Handle handle, Request& request);
  void transmit(TimePoint now, Handle handle, Request& request);
  [[nodiscard]] auto pcp_datagram(TimePoint now, const Request& request) const -> wire::Datagram;
  [[nodiscard]] auto requested_lifetime_s(TimePoint now, const Request& request) const -> std::uint32_t;
  void lose(TimePoint now, Handle handle, Request& request, Lost::Reason reason);
  [[nodiscard]] auto internal_address(const Request& request) const -> IpAddress;
  [[nodiscard]] auto times_of(const Request& request) const -> const RetransmissionTimes&;

  auto receive_pcp(TimePoint now, const wire::Response& response) -> Reception;
  auto receive_other_version(TimePoint now, std::span<const std::byte> datagram) -> Reception;
  auto receive_announce(TimePoint now, const wire::Response& response) -> Reception;
  auto receive_answer(TimePoint now, const Answer& answer) -> Reception;
  auto matches(const Request& request, const Answer& answer) const -> bool;
  /// PREFER_FAILURE: whether the suggestion was granted (RFC 6887 s13.2).
  auto is_as_insisted(const Request& request, const Answer& answer) const -> bool;
  void accept_success(TimePoint now, Handle handle, Request& request, const Answer& answer);
  void accept_error(TimePoint now, Handle handle, Request& request, const Answer& answer);
  void learn_prefixes(std::vector<Nat64Prefix> prefixes);
  void check_epoch(TimePoint now, std::uint32_t epoch_time_s);
  void recover(TimePoint now, std::uint32_t epoch_time_s);

  // nat_pmp.cpp
  [[nodiscard]] auto may_speak_nat_pmp() const -> bool;
  /// Whether NAT-PMP is spoken, and has words for the request.
  [[nodiscard]] auto goes_by_nat_pmp(const Request& request) const -> bool;
  void begin_nat_pmp(TimePoint now);
  /// Speaks PCP (again): all that was asked is asked anew.
  void begin_pcp(TimePoint now);
  /// What NAT-PMP has no words for is refused, and asked again in PCP later.
  void refuse_unspeakable(TimePoint now);
  [[nodiscard]] auto nat_pmp_datagram(TimePoint now, Request& request) const -> wire::Datagram;
  auto receive_nat_pmp(TimePoint now, std::span<const std::byte> datagram) -> Reception;
  auto receive_address(TimePoint now, const wire::nat_pmp::Response& response, Ipv4Address external)
      -> Reception;
  void move_to(Ipv4Address external);
  void check_nat_pmp_epoch(TimePoint now, std::uint32_t epoch_time_s);
  void give_turn(TimePoint now);

  Config config_;
  Random& random_;
  EpochCheck epoch_;
  Requests requests_;
  std::uint64_t last_handle_ = 0;
  std::optional<TimePoint> address_valid_until_;
  /// After NO_RESOURCES: no new mappings, or no requests at all (RFC 6887 s11.4).
  TimePoint no_new_before_;
  TimePoint nothing_before_;
  bool is_unresponsive_ = false;
  std::vector<Nat64Prefix> nat64_prefixes_;

  bool is_nat_pmp_ = false;
  NatPmpEpochCheck nat_pmp_epoch_;
  Ipv4Address nat_pmp_external_;
  /// One request at a time, until its answer or its retransmission is due (RFC 6886 s3.1).
  TimePoint nat_pmp_turn_until_;

  Actions actions_;
};

}  // namespace portolan::client
