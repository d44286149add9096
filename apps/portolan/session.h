// SPDX-License-Identifier: BSD-2-Clause
//
// Drives a client engine over a UDP socket: what `map`, `peer` and `announce` share.
#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "client/engine.h"
#include "io/event_loop.h"
#include "io/network_watch.h"
#include "io/system.h"
#include "io/udp.h"
#include "portolan/options.h"
#include "portolan/server_choice.h"

namespace portolan {

/// Hints and progress go to stderr; what the events mean is for the command to tell.
class Session {
 public:
  /// Chooses the server and binds the socket.
  [[nodiscard]] static auto open(const ServerOptions& options,
                                 client::Speech speech = client::Speech::automatic)
      -> std::expected<std::unique_ptr<Session>, Exit>;

  Session(const Session&) = delete;
  auto operator=(const Session&) -> Session& = delete;

  [[nodiscard]] auto engine() -> client::Engine& { return engine_; }
  [[nodiscard]] auto loop() -> io::EventLoop& { return loop_; }
  [[nodiscard]] auto choice() const -> const ServerChoice& { return choice_; }

  /// Calls `on_event` for each event and `on_timeout` unless an answer comes within the timeout, until
  /// finish(); returns its status. To be called once.
  auto run(std::function<void(const client::Event&)> on_event, std::function<void()> on_timeout) -> int;

  /// Carries out what the engine wants; to be called after each call of its own.
  void carry_out();

  /// (Re)starts and stops the wait for an answer.
  void expect_answer();
  void expect_nothing() { timeout_.disarm(); }

  /// Ends run(); what comes after is ignored.
  void finish(int status);

  /// For whoever stays: from the next answer on, hears restart announcements on its link (RFC 6887 s14.1.3),
  /// and follows the life of this host's address.
  void stay();

  /// "no PCP server answered at ... within 10 s".
  [[nodiscard]] auto no_answer_text() const -> std::string;

 private:
  Session(const ServerOptions& options, client::Speech speech, ServerChoice choice, io::UdpSocket socket);

  void receive();
  void take(const io::ReceivedDatagram& datagram);
  void listen_to_announcements(unsigned interface_index);
  void follow_address();
  void hint(const io::SystemError& error);

  ServerOptions options_;
  ServerChoice choice_;
  io::UdpSocket socket_;
  /// Once it is known on which link the server is.
  std::optional<io::UdpSocket> announcements_;
  io::SystemRandom random_;
  client::Engine engine_;
  io::EventLoop loop_;
  io::Watch readable_;
  io::Watch announced_;
  std::optional<io::NetworkWatch> network_;
  io::Watch network_changed_;
  io::Timer due_;
  io::Timer timeout_;
  std::function<void(const client::Event&)> on_event_;
  std::function<void()> on_timeout_;
  int hinted_ = 0;
  bool stays_ = false;
  bool has_address_ = true;
  std::optional<int> status_;
};

}  // namespace portolan
