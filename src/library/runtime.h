// SPDX-License-Identifier: BSD-2-Clause
//
// A client engine with its sockets, its servers and one descriptor to wait for: the part of the library that
// does I/O. Calls nobody back: what happened is taken by take_events().
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/host_address.h"
#include "client/client.h"
#include "discovery/host/look.h"
#include "discovery/nat64_prefix.h"
#include "io/dns_question.h"
#include "io/network_watch.h"
#include "io/plain/poll_set.h"
#include "io/system.h"
#include "io/udp.h"
#include "library/text.h"

namespace portolan::library {

/// A datagram of ours or to us, as it passes.
struct PassingDatagram {
  bool is_sent = false;
  Endpoint local = {};
  Endpoint remote = {};
  std::span<const std::byte> octets = {};
};

class Runtime {
 public:
  /// In  uses_anycast: the anycast addresses are asked where no server is named
  [[nodiscard]] static auto open(client::Speech speech, bool uses_anycast)
      -> std::expected<std::unique_ptr<Runtime>, std::string>;

  Runtime(const Runtime&) = delete;
  auto operator=(const Runtime&) -> Runtime& = delete;

  [[nodiscard]] auto engine() -> client::Client& { return engine_; }
  [[nodiscard]] auto engine() const -> const client::Client& { return engine_; }
  [[nodiscard]] static auto moment() -> Moment {
    return {.now = io::monotonic_now(), .wall = io::wall_now()};
  }

  /// Has `observer` called with all datagrams, from now on. It must not come back here.
  void observe(std::function<void(const PassingDatagram&)> observer) { observer_ = std::move(observer); }
  /// Asks these servers, by their texts; none: those that are found on this host.
  /// Errors  of a text, which changes nothing
  [[nodiscard]] auto use_servers(const std::vector<std::string>& servers) -> std::expected<void, std::string>;

  [[nodiscard]] auto descriptor() const -> int { return poll_.descriptor(); }
  /// Waits at most `timeout` (nothing: for ever) and does what is due then.
  void step(std::optional<Nanoseconds> timeout);
  /// Sends what the engine wants sent; after each call of the engine's.
  void carry_out();
  /// Ends the present or the next step()'s wait. Any thread, and signal handlers.
  void wake() const { poll_.wake(); }

  /// Asks the DNS for the prefix of the network's NAT64 too (RFC 7050), from now on.
  void ask_dns();
  /// Prefixes of the network's NAT64 that are in use, as routers advertise them, or else as the DNS tells.
  [[nodiscard]] auto network_prefixes() const -> std::vector<discovery::Nat64Prefixes::Entry>;

  /// When step() has something to do, unless the descriptor says so before.
  [[nodiscard]] auto next_deadline() const -> std::optional<TimePoint>;

  [[nodiscard]] auto take_events() -> std::vector<client::ClientEvent> { return std::exchange(events_, {}); }
  [[nodiscard]] auto has_events() const -> bool { return !events_.empty(); }

 private:
  struct NamedServer {
    std::string name;
    std::vector<ServerAddress> addresses;
  };
  /// A socket for one path: connected, so that ICMP errors tell.
  struct PathSocket {
    client::Path path;
    io::UdpSocket socket;
  };
  /// Hears announcements of one family (RFC 6887 s14.1.3).
  struct Listener {
    io::UdpSocket socket;
    std::vector<std::uint32_t> joined;
  };

  Runtime(client::Speech speech, bool uses_anycast, io::PollSet poll, std::optional<io::NetworkWatch> watch);

  void take_news();
  void begin_question();
  void proceed_question();
  void take_answer(const io::DnsQuestion::Answer& answer);
  void watch_question();
  /// An event, if what is in use has changed.
  void tell_prefixes();
  void find_servers();
  [[nodiscard]] auto named_servers(const discovery::View& view) const -> std::vector<client::Server>;
  void receive(PathSocket& from);
  void receive_announcements(Listener& listener);
  void hear(const std::vector<client::Server>& servers, const std::vector<HostAddress>& addresses);
  void hear(Family family, std::uint32_t interface_index);
  void match_sockets();
  void send(const client::ClientSend& send);

  io::PollSet poll_;
  std::optional<io::NetworkWatch> watch_;
  bool uses_anycast_;
  discovery::Nat64Prefixes prefixes_;
  std::vector<Prefix> told_prefixes_;
  bool asks_dns_ = false;
  std::optional<io::DnsQuestion> question_;
  /// When to look for servers again, while the last look failed.
  std::optional<TimePoint> look_again_;
  /// When to ask again, while there is no question.
  std::optional<TimePoint> ask_again_;
  io::SystemRandom random_;
  client::Client engine_;
  std::vector<NamedServer> named_;
  std::vector<PathSocket> sockets_;
  std::map<Family, Listener> listeners_;
  std::vector<client::ClientEvent> events_;
  std::function<void(const PassingDatagram&)> observer_;
};

}  // namespace portolan::library
