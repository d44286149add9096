// SPDX-License-Identifier: BSD-2-Clause
#include "portolan-phone/interactive.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "io/line_input.h"
#include "io/signals.h"
#include "io/system.h"
#include "portolan-phone/report.h"
#include "portolan-phone/script.h"

namespace portolan::phone {
namespace {

constexpr Milliseconds pause_max = std::chrono::seconds{60};
constexpr Milliseconds close_time = std::chrono::seconds{4};

constexpr std::string_view help =
    "call URI|NAME      call somebody; a name is one at our domain\n"
    "answer [CALL]      take a call that rings\n"
    "refuse [CALL]      don't\n"
    "hangup [CALL]      end a call\n"
    "hold [CALL]        let the other side wait\n"
    "resume [CALL]      go on\n"
    "dtmf DIGITS [CALL] send digits: 0-9, *, #, A-D\n"
    "status             where we are reachable, and the calls; so does an empty line\n"
    "help               this\n"
    "quit               end calls, registration and mappings\n"
    "CALL is a call's number; without, the latest call.\n";

class Session {
 public:
  Session(const Options& options, sip::Phone& phone, Sound sound)
      : options_(options), phone_(phone), sound_(std::move(sound)) {}

  auto run(io::Signals& signals) -> int {
    io::LineInput input(io::standard_input);
    const auto typed = phone_.on_readable(io::standard_input, [&] {
      for (const std::string& line : input.read()) take_line(line);
      if (input.is_ended()) is_over_ = true;
      prompt();
    });
    const auto interrupted = phone_.on_readable(signals.descriptor(), [&] {
      static_cast<void>(signals.take());
      is_over_ = true;
    });
    tell_all();
    prompt();
    while (!is_over_) {
      phone_.step(pause_max);
      tell_all();
    }
    fmt::print("\n");
    phone_.close(close_time);
    tell_all();
    return exit_success;
  }

 private:
  void tell_all() {
    const auto events = phone_.take_events();
    for (const sip::PhoneEvent& event : events) {
      fmt::print("\r{}\n", event_text(event));
      if (event.kind == sip::PhoneEvent::Kind::registered) is_registered_ = true;
      if (event.kind == sip::PhoneEvent::Kind::registration_failed) is_registered_ = false;
      if (event.kind == sip::PhoneEvent::Kind::incoming) sound_.prepare(phone_, event.call);
      if (event.kind == sip::PhoneEvent::Kind::ended) {
        if (const auto saved = save_recording(options_, event); !saved) fmt::print("{}\n", saved.error());
      }
    }
    if (const auto followed = sound_.follow(phone_); !followed) fmt::print("\r{}\n", followed.error());
    if (!events.empty()) prompt();
  }

  /// The status line: "[192.0.2.14:35011, registered; 1 call, PCMU, loss 0.0 %] ".
  void prompt() const {
    const auto place = phone_.place();
    const auto calls = phone_.calls();
    fmt::print("[{}{}", place ? to_string(*place) : "no mapping", is_registered_ ? ", registered" : "");
    if (!calls.empty()) fmt::print("; {}", call_text(calls.back()));
    fmt::print("] ");
    static_cast<void>(std::fflush(stdout));
  }

  void take_line(std::string_view line) {
    const auto word = [&line]() -> std::string {
      line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
      const std::size_t end = std::min(line.find_first_of(" \t"), line.size());
      std::string taken(line.substr(0, end));
      line.remove_prefix(end);
      return taken;
    };
    const std::string command = word();
    if (command.empty() || command == "status") return show_status();
    if (command == "help") return fmt::print("{}", help);
    if (command == "quit") {
      is_over_ = true;
      return;
    }
    if (command == "call") return call(word());
    using Deed = void (Session::*)(unsigned, const std::string&);
    static const std::map<std::string_view, Deed, std::less<>> deeds = {
        {"answer", &Session::answer}, {"refuse", &Session::refuse}, {"hangup", &Session::hang_up},
        {"hold", &Session::hold},     {"resume", &Session::resume}, {"dtmf", &Session::send_digits},
    };
    const auto deed = deeds.find(command);
    if (deed == deeds.end()) return fmt::print("'{}' is no command; help lists them\n", command);
    const std::string digits = command == "dtmf" ? word() : std::string();
    if (const auto number = number_of(word())) (this->*deed->second)(*number, digits);
  }

  void answer(unsigned number, const std::string&) { phone_.answer(number); }
  void refuse(unsigned number, const std::string&) { phone_.refuse(number); }
  void hang_up(unsigned number, const std::string&) { phone_.hang_up(number); }
  void hold(unsigned number, const std::string&) { phone_.hold(number, true); }
  void resume(unsigned number, const std::string&) { phone_.hold(number, false); }
  void send_digits(unsigned number, const std::string& digits) {
    if (!phone_.send_digits(number, digits))
      fmt::print("'{}' can't be sent: give 0-9, *, #, A-D, in an active call that takes them\n", digits);
  }

  void call(const std::string& whom) {
    if (whom.empty())
      return fmt::print("call whom? Give a name or a URI like sip:13@{}\n", options_.phone.domain);
    const auto number = phone_.call(uri_of(whom));
    if (!number) return fmt::print("{}\n", number.error());
    sound_.prepare(phone_, *number);
  }

  /// A name is one at our domain; what has a scheme must be right as it is.
  [[nodiscard]] auto uri_of(const std::string& whom) const -> std::string {
    const std::size_t at = whom.find('@');
    if (whom.find(':') < at) return whom;
    return at != std::string::npos ? "sip:" + whom : fmt::format("sip:{}@{}", whom, options_.phone.domain);
  }

  /// The call meant; tells what is wrong if there is none.
  auto number_of(const std::string& text) const -> std::optional<unsigned> {
    const auto calls = phone_.calls();
    if (calls.empty()) {
      fmt::print("there is no call\n");
      return {};
    }
    if (text.empty()) return calls.back().number;
    unsigned number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc{} && end == text.data() + text.size())
      for (const sip::CallView& each : calls)
        if (each.number == number) return number;
    fmt::print("'{}' is no call; status lists them\n", text);
    return {};
  }

  void show_status() const {
    const auto place = phone_.place();
    fmt::print("{}@{}: {}\n", options_.phone.user, options_.phone.domain,
               place ? fmt::format("reachable at {}", to_string(*place)) : "without a mapping");
    for (const sip::CallView& each : phone_.calls()) fmt::print("{}\n", call_text(each));
  }

  const Options& options_;
  sip::Phone& phone_;
  Sound sound_;
  bool is_registered_ = false;
  bool is_over_ = false;
};

}  // namespace

auto run_interactive(const Options& options, sip::Phone& phone, Sound sound, io::Signals& signals) -> int {
  return Session(options, phone, std::move(sound)).run(signals);
}

}  // namespace portolan::phone
