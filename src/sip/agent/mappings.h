// SPDX-License-Identifier: BSD-2-Clause
//
// The mappings of a phone, by libportolan's C interface: one for SIP, and two for the media of each call.
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
#include "sip/agent/traffic.h"
#include "sip/altc.h"

// Of the C interface. NOLINTBEGIN(readability-identifier-naming)
struct portolan_client;
struct portolan_mapping;
struct portolan_event;
struct portolan_datagram;
// NOLINTEND(readability-identifier-naming)

namespace portolan::sip {

struct PortWish {
  Protocol protocol = Protocol::udp;
  Port port = {};
  /// 2: a pair whose first port is even outside too, as RTP and RTCP want it (RFC 7753, RFC 3550 s11).
  std::uint16_t count = 1;
  Seconds lifetime{3600};
  std::string description = {};
  /// What it is for, to whoever hears of it: "the signalling".
  std::string purpose = {};
};

/// One mapping that is wanted; ends with this.
class PortMapping {
 public:
  PortMapping(const PortMapping&) = delete;
  auto operator=(const PortMapping&) -> PortMapping& = delete;
  ~PortMapping();

  /// Where it is reachable now.
  [[nodiscard]] auto external() const -> std::optional<Endpoint> { return external_; }
  [[nodiscard]] auto internal() const -> Port { return internal_; }
  /// Ports in a row that were granted.
  [[nodiscard]] auto count() const -> std::uint16_t { return count_; }
  /// A server granted or refused it.
  [[nodiscard]] auto is_settled() const -> bool { return external_ || is_refused_; }
  [[nodiscard]] auto is_refused() const -> bool { return is_refused_; }

 private:
  friend class Mappings;
  using Teller = std::function<void(const std::string&)>;
  PortMapping(const PortWish& wish, Teller teller)
      : internal_(wish.port), purpose_(wish.purpose), teller_(std::move(teller)) {}
  static void on_event(const portolan_event* event);

  portolan_mapping* mapping_ = nullptr;
  Port internal_;
  std::string purpose_;
  Teller teller_;
  std::optional<Endpoint> external_;
  std::uint16_t count_ = 1;
  bool is_refused_ = false;
};

/// A client of PCP. Mappings end before it.
class Mappings {
 public:
  /// `servers` as of portolan_use_servers(), none: the default routers. `teller` hears a sentence for each
  /// event, `observer` of each datagram. Errors  text
  [[nodiscard]] static auto open(const std::vector<std::string>& servers,
                                 std::function<void(const std::string&)> teller, TrafficObserver observer)
      -> std::expected<std::unique_ptr<Mappings>, std::string>;
  Mappings(const Mappings&) = delete;
  auto operator=(const Mappings&) -> Mappings& = delete;
  ~Mappings();

  /// Readable when process() has to be called.
  [[nodiscard]] auto descriptor() const -> int;
  void process();

  /// Errors  text
  [[nodiscard]] auto map(const PortWish& wish) -> std::expected<std::unique_ptr<PortMapping>, std::string>;
  /// Waits until the mapping is settled, at most `timeout`.
  void wait(const PortMapping& mapping, Milliseconds timeout);
  /// Waits until ended mappings are deleted at their servers, at most `timeout`. Out  whether they are
  auto flush(Milliseconds timeout) -> bool;

  /// Of the network's NAT64, if the server told it (RFC 7225).
  [[nodiscard]] auto nat64_prefix() const -> std::optional<Prefix>;

 private:
  Mappings(std::function<void(const std::string&)> teller, TrafficObserver observer)
      : teller_(std::move(teller)), observer_(std::move(observer)) {}
  static void on_datagram(const portolan_datagram* datagram);

  portolan_client* client_ = nullptr;
  std::function<void(const std::string&)> teller_;
  TrafficObserver observer_;
};

/// RTP and RTCP of one call: a pair of ports if there is one to be had, else two mappings, or RTP's alone.
class MediaMapping {
 public:
  /// Where reports are told to go that can't be received, so that nobody gets them in our place: "discard".
  static constexpr Port discard_port{9};

  /// `rtp` is even, RTCP the port behind it. Errors of map() leave it without mappings, and settled.
  MediaMapping(Mappings& mappings, Port rtp, Seconds lifetime, std::string user, unsigned call);

  /// To be called after Mappings::process(): a pair that is not to be had becomes two mappings.
  void update();
  /// Without a mapping of RTCP its port is discard_port: audio goes without reports.
  [[nodiscard]] auto ends() const -> std::optional<Ends>;
  [[nodiscard]] auto is_settled() const -> bool;

 private:
  [[nodiscard]] auto is_pair() const -> bool { return rtp_->external() && rtp_->count() >= 2; }
  void ask_rtcp();

  Mappings& mappings_;
  Port port_;
  Seconds lifetime_;
  std::string user_;
  unsigned call_;
  std::unique_ptr<PortMapping> rtp_;   // or both
  std::unique_ptr<PortMapping> rtcp_;  // none: they are a pair
  bool is_refused_pair_ = false;
};

}  // namespace portolan::sip
