// SPDX-License-Identifier: BSD-2-Clause
//
// Sockets that stay open from packet to packet, so that what a server says later, unasked, arrives too:
// answers to requests that were sent again, updates of mappings (RFC 6887 s14.2), announcements to all hosts
// (s14.1).
#pragma once

#include <cstddef>
#include <expected>
#include <functional>
#include <list>
#include <span>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/time.h"
#include "io/event_loop.h"
#include "io/system.h"
#include "io/udp.h"
#include "portolan/options.h"
#include "portolan/server_choice.h"

namespace portolan {

/// A datagram that was sent or received.
struct Traffic {
  enum class Kind : std::uint8_t { sent, received, announced };

  Kind kind = Kind::sent;
  TimePoint time{};
  /// Since 1970.
  Nanoseconds wall_time{};
  Endpoint source{};
  Endpoint destination{};
  std::vector<std::byte> payload{};
};
/// As the enumerator.
[[nodiscard]] auto to_string(Traffic::Kind kind) -> std::string_view;

/// What the network says of a packet that did not arrive, in words.
[[nodiscard]] auto trouble_text(const io::SystemError& error) -> std::string;

struct LineHandlers {
  /// What is sent comes by here too.
  std::function<void(const Traffic&)> passed;
  /// The network says that a server cannot be reached, each time it does.
  std::function<void(const Endpoint& server, const std::string& problem)> troubled;
};

/// Between a socket of this host and one server.
struct Line {
  ServerChoice choice;
  io::UdpSocket socket;
  io::Watch readable;
};

class Lines {
 public:
  /// Lines that are kept; when there are more the one made first goes.
  static constexpr std::size_t lines_max = 64;

  Lines(io::EventLoop& loop, LineHandlers handlers);
  Lines(const Lines&) = delete;
  auto operator=(const Lines&) -> Lines& = delete;

  /// The line to the server that `options` choose, from its address and `source_port` (0: the one the line
  /// has). Good until the next call. Errors  text, with a remedy
  [[nodiscard]] auto to(const ServerOptions& options, Port source_port) -> std::expected<Line*, Exit>;
  /// Errors  text: why `message` cannot be sent
  [[nodiscard]] auto send(Line& line, std::span<const std::byte> message) const
      -> std::expected<Traffic, std::string>;

  /// Hears announcements to all hosts from now on, of every interface. Errors  text: the port is somebody's
  [[nodiscard]] auto hear_announcements() -> std::expected<void, std::string>;

 private:
  void receive(Line& line) const;
  void receive_announcements();

  io::EventLoop& loop_;
  LineHandlers handlers_;
  std::list<Line> lines_;
  std::optional<io::UdpSocket> announcements_;
  io::Watch announced_;
};

}  // namespace portolan
