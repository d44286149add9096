// SPDX-License-Identifier: BSD-2-Clause
//
// What the translator tells a log of: bindings, sessions and port blocks that come and go (RFC 8158 s4.3),
// and what could not be had for want of room (RFC 6888 s3 REQ-11). Never a packet.
//
// Who writes the log takes the events elsewhere: put() leaves the engine at once.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/time.h"
#include "nat/counters.h"

namespace portolan::nat {

/// How much of a subscriber is told; each level tells what those before it tell too.
enum class EventLevel : std::uint8_t {
  none,
  blocks,    ///< port blocks, and bindings at ports that are in none: the least that says whose a port was
  bindings,  ///< all bindings
  sessions,  ///< sessions
};
/// "none", "blocks", "bindings", "sessions".
[[nodiscard]] auto to_string(EventLevel level) -> std::string_view;

enum class EventKind : std::uint8_t {
  session_created,
  session_deleted,
  binding_created,
  binding_deleted,
  block_allocated,
  block_released,
  exhausted,  ///< `reason` says of what
  end,
};
/// "session-created" and so on.
[[nodiscard]] auto to_string(EventKind kind) -> std::string_view;

/// One of them; what does not apply is zero.
struct Event {
  EventKind kind = EventKind::end;
  DropReason reason = DropReason::none;  ///< exhausted
  Protocol protocol = Protocol::all;     ///< udp, tcp, or icmp for echo identifiers, which count as ports
  std::uint8_t prefix_length = 128;      ///< of `internal`: a block is a subscriber's
  bool is_outbound = false;              ///< session: a packet from inside began it
  std::uint16_t internal_port = 0;
  std::uint16_t external_port = 0;  ///< block: the first
  std::uint16_t last_port = 0;      ///< block
  std::uint16_t remote_port = 0;    ///< session, only if EventRules::tells_destinations
  Ipv6Address internal{};           ///< exhausted: of the first host concerned, unspecified if unknown
  Ipv4Address external{};           ///< exhausted: where a packet from outside went
  Ipv4Address remote{};             ///< as remote_port
  std::uint32_t packets = 0;        ///< exhausted: dropped since the last such event, this one included

  auto operator==(const Event&) const -> bool = default;
};

/// Takes events, at once and without waiting. Thread: the engine's.
class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void put(const Event& event) noexcept = 0;
};

/// What is told of the subscribers with addresses in a prefix.
struct EventRule {
  Prefix internal;
  EventLevel level = EventLevel::none;

  auto operator==(const EventRule&) const -> bool = default;
};

struct EventRules {
  static constexpr std::size_t rules_max = 1024;

  EventLevel everybody = EventLevel::none;
  /// For some instead; the longest prefix counts. At most rules_max.
  std::vector<EventRule> of;
  /// Whether sessions are told with the addresses they are with, which RFC 6888 s4 REQ-12 advises against.
  bool tells_destinations = false;

  auto operator==(const EventRules&) const -> bool = default;
};

/// Decides what is told.
class EventSource {
 public:
  /// Events of one reason that are told in a period, so that who fills a log is not who fills a table.
  static constexpr std::uint32_t exhaustions_max = 8;
  static constexpr Seconds exhaustion_period{10};

  /// From now on; `sink` outlives this, null: nobody listens. Cost O(rules); allocates
  void set(EventSink* sink, const EventRules& rules);

  /// Whether anything but exhaustion may be told: the only cost of a log that is off.
  [[nodiscard]] auto is_on() const -> bool { return highest_ != EventLevel::none; }
  /// Of the subscriber that has `address`. Cost O(prefix lengths that occur * log rules)
  [[nodiscard]] auto level_of(const Ipv6Address& address) const -> EventLevel;
  [[nodiscard]] auto tells_destinations() const -> bool { return tells_destinations_; }
  void put(const Event& event) const {
    if (sink_ != nullptr) sink_->put(event);
  }

  /// A packet was dropped for want of something: told a few times in a period, and again for other hosts
  /// first.
  void exhausted(TimePoint now, const Event& event);
  /// Whether a reason to drop a packet is one of those.
  [[nodiscard]] static auto is_exhaustion(DropReason reason) -> bool {
    return reason >= DropReason::bindings_exhausted && reason <= DropReason::ports_exhausted;
  }

 private:
  /// Rules of one prefix length, in order of address.
  struct Length {
    std::uint8_t length;
    std::uint32_t first;
    std::uint32_t end;
  };
  struct Told {
    TimePoint since{};
    std::uint32_t events = 0;
    std::uint32_t untold = 0;
    Ipv6Address last{};
  };

  EventSink* sink_ = nullptr;
  EventLevel highest_ = EventLevel::none;
  EventLevel everybody_ = EventLevel::none;
  bool tells_destinations_ = false;
  std::vector<EventRule> rules_;
  std::vector<Length> lengths_;  // longest first
  std::array<Told, drop_reason_count> told_{};
};

}  // namespace portolan::nat
