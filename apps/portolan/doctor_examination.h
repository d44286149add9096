// SPDX-License-Identifier: BSD-2-Clause
//
// Asks one PCP server, from one address, what it is and what it can: an ANNOUNCE and a mapping at once, then
// a mapping with each option that a server may refuse. All mappings are short-lived, and deleted by end().
#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/engine.h"
#include "client/servers.h"
#include "io/event_loop.h"
#include "io/system.h"
#include "io/udp.h"
#include "portolan/doctor_findings.h"

namespace portolan::doctor {

class Examination {
 public:
  struct Settings {
    client::Path path;
    /// TCP port of this host that the mapping is for; those behind it are asked for in UDP.
    Port internal_port;
    Seconds timeout;
  };

  /// Begins; `settled` is called once, when nothing more is to be expected.
  /// Errors  text: there is no way to the server
  [[nodiscard]] static auto begin(io::EventLoop& loop, const Settings& settings,
                                  std::function<void()> settled)
      -> std::expected<std::unique_ptr<Examination>, std::string>;
  Examination(const Examination&) = delete;
  auto operator=(const Examination&) -> Examination& = delete;

  /// Fills in what it said.
  void tell(ServerSeen& seen) const;
  /// Deletes the mappings; `ended` is called once, when that is answered or has taken too long.
  void end(std::function<void()> ended);

 private:
  /// One question that is a mapping.
  struct Question {
    std::string_view option;  ///< empty: the mapping itself
    client::Handle handle{};
    bool is_answered = false;
    std::optional<bool> is_known = {};
  };
  enum class Phase : std::uint8_t { greeting, options, settled, ending, ended };

  Examination(io::EventLoop& loop, const Settings& settings, io::UdpSocket socket,
              std::function<void()> settled);

  void greet();
  void ask(std::string_view option, const client::Wish& wish);
  void ask_about_options();
  [[nodiscard]] auto wish_for(Protocol protocol, unsigned offset) const -> client::Wish;
  void receive();
  void carry_out();
  void take(const client::Event& event);
  void take_answer(client::Handle handle, std::optional<bool> is_known);
  void take_refusal(const client::Refused& refused);
  [[nodiscard]] auto is_answered() const -> bool;
  /// Goes on to what is next, if what was asked is answered or the time is up.
  void go_on(bool is_overdue);
  void settle();

  Settings settings_;
  io::UdpSocket socket_;
  io::SystemRandom random_;
  client::Engine engine_;
  io::Watch readable_;
  io::Timer due_;
  io::Timer overdue_;
  std::function<void()> settled_;
  std::function<void()> ended_;

  Phase phase_ = Phase::greeting;
  bool has_greeted_ = false;
  bool is_closed_ = false;
  bool speaks_nat_pmp_ = false;
  std::vector<Question> questions_;
  std::optional<client::Announced> announced_;
  std::optional<std::uint8_t> other_version_;
  std::optional<client::Mapping> mapping_;
  std::optional<client::Refused> refused_;
};

}  // namespace portolan::doctor
