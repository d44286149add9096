// SPDX-License-Identifier: BSD-2-Clause
//
// `portolan map` and `portolan peer`: makes, keeps or deletes one mapping.
#include <chrono>
#include <csignal>
#include <cstdio>
#include <utility>

#include <fmt/format.h>

#include "portolan/commands.h"
#include "portolan/report.h"
#include "portolan/session.h"

namespace portolan {
namespace {

class MapRun {
 public:
  MapRun(Session& session, Asked asked) : session_(session), asked_(std::move(asked)) {}

  auto run() -> int {
    session_.loop().post([this] { start(); });
    return session_.run(
        [this](const client::Event& event) {
          std::visit([this](const auto& happened) { on(happened); }, event);
        },
        [this] { time_out(); });
  }

 private:
  void start() {
    const TimePoint now = io::monotonic_now();
    const MapCommand& command = asked_.command;
    const auto& valid_until = session_.choice().address_valid_until;
    if (valid_until && *valid_until < now + command.wish.lifetime && !command.is_deletion)
      note(fmt::format("this host has the address {} for {} s, and the mapping is asked for no longer",
                       asked_.client_address, std::chrono::floor<Seconds>(*valid_until - now).count()));
    handle_ = command.is_deletion ? session_.engine().remove(now, command.wish)
                                  : session_.engine().map(now, command.wish);
    asked_.nonce = session_.engine().nonce(handle_).value();
    // Interrupted while it asks, --keep must not leave a mapping behind either: the answer may be under way.
    if (command.is_kept) {
      interrupted_ = session_.loop().on_signal({SIGINT, SIGTERM}, [this](int) { end(); });
      session_.stay();
    }
    session_.expect_answer();
    session_.carry_out();
  }

  /// On the first Ctrl-C; the second one kills, the handler being gone.
  void end() {
    interrupted_.cancel();
    is_ending_ = true;
    if (!asked_.command.wish.is_peer()) note("deleting the mapping; Ctrl-C again leaves it to end by itself");
    session_.engine().remove(io::monotonic_now(), handle_);
    session_.expect_answer();
    session_.carry_out();
  }

  void on(const client::Granted& event) {
    session_.expect_nothing();
    asked_.nat64_prefixes = session_.engine().nat64_prefixes();
    if (!asked_.command.is_kept) {
      tell(granted_text(asked_, event.mapping), granted_json(asked_, event.mapping));
      tell(remedy_text(asked_, event.mapping), {});
      session_.finish(exit_success);
      return;
    }
    is_granted_ = true;
    tell(granted_text(asked_, event.mapping), event_json(asked_, "granted", event.mapping));
    note("renewing it until Ctrl-C");
  }
  void on(const client::Renewed& event) {
    tell(fmt::format("renewed: {}", granted_text(asked_, event.mapping)),
         event_json(asked_, "renewed", event.mapping));
  }
  void on(const client::Changed& event) {
    tell(fmt::format("moved from {}: {}", event.previous_external, granted_text(asked_, event.mapping)),
         event_json(asked_, "changed", event.mapping));
  }
  void on(const client::Lost& event) {
    tell(fmt::format("lost: {} has {} no more; asking again", subject_text(asked_), event.mapping.external),
         event_json(asked_, "lost", event.mapping));
  }
  void on(const client::Refused& event) {
    if (!is_granted_ || is_ending_) {
      fail(refused_text(asked_, event), refused_json(asked_, event), exit_refused);
      return;
    }
    tell({}, refused_json(asked_, event));
    warn(refused_text(asked_, event));
  }
  void on(const client::Deleted& event) {
    tell(deleted_text(asked_, event), deleted_json(asked_, event));
    session_.finish(exit_success);
  }
  void on(const client::Retransmitted& event) {
    note(fmt::format("no answer from {} yet; asked {} times", asked_.server, event.transmissions));
  }
  void on(const client::ServerRestarted& event) {
    note(fmt::format("the PCP server {} restarted (epoch {} s); asking again for the mapping", asked_.server,
                     event.epoch_time_s));
  }
  void on(const client::VersionRefused& event) {
    const std::string text = version_text(asked_.server, event);
    if (is_granted_ && !is_ending_)
      warn(text);
    else
      fail(text, failed_json(asked_, text), exit_refused);
  }
  void on(const client::FellBackToNatPmp&) {
    note(fmt::format("{} speaks NAT-PMP only, so that is spoken", asked_.server));
  }
  void on(const client::Announced&) {}
  void on(const client::Unresponsive&) {}
  void on(const client::Nat64PrefixesLearned&) {}
  void on(const client::NoAnswer&) {}

  void time_out() {
    const std::string text =
        is_ending_
            ? fmt::format("{}: the mapping ends by itself", session_.no_answer_text())
            : fmt::format("{}: is portoland running there? try portolan announce", session_.no_answer_text());
    fail(text, failed_json(asked_, text), exit_no_answer);
  }

  /// News on stdout: `text`, or with --json `json`; what is empty is left out.
  void tell(const std::string& text, const std::string& json) const {
    const std::string& line = asked_.command.common.is_json ? json : text;
    if (line.empty()) return;
    fmt::print("{}\n", line);
    static_cast<void>(std::fflush(stdout));
  }
  /// Progress on stderr, of no use to a program.
  void note(const std::string& text) const {
    if (!asked_.command.common.is_json) fmt::print(stderr, "{}\n", text);
  }
  static void warn(const std::string& text) { fmt::print(stderr, "portolan: {}\n", text); }
  void fail(const std::string& text, const std::string& json, int status) {
    tell({}, json);
    warn(text);
    session_.finish(status);
  }

  Session& session_;
  Asked asked_;
  client::Handle handle_{};
  io::Watch interrupted_;
  bool is_granted_ = false;
  bool is_ending_ = false;
};

}  // namespace

namespace {

/// The agent finds servers and addresses by itself, and keeps to one nonce.
auto is_agents(const MapCommand& command) -> bool {
  return command.is_kept && command.speech == client::Speech::automatic && command.common.server.empty() &&
         !command.common.internal_address && command.common.server_port.value == wire::server_port &&
         is_for_agent(command.wish);
}

}  // namespace

auto run_map(const MapCommand& command) -> int {
  if (is_agents(command))
    if (const auto status = hand_to_agent(command)) return *status;
  Asked asked;
  asked.command = command;
  asked.internal.port = command.wish.internal_port;
  asked.server = command.common.server;
  const auto fail = [&asked](const Exit& exit) {
    if (asked.command.common.is_json) fmt::print("{}\n", failed_json(asked, exit.text));
    fmt::print(stderr, "portolan: {}\n", exit.text);
    return exit.status;
  };
  const auto session = Session::open(command.common, command.speech);
  if (!session) return fail(session.error());
  asked.client_address = (*session)->choice().client_address;
  asked.internal.address = command.wish.third_party.value_or(asked.client_address);
  asked.server = (*session)->choice().address_text();
  if (const auto objection = objection_text(asked)) return fail({.status = exit_usage, .text = *objection});
  return MapRun(**session, std::move(asked)).run();
}

}  // namespace portolan
