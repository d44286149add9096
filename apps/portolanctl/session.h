// SPDX-License-Identifier: BSD-2-Clause
//
// Carries out what was understood: asks before much is destroyed, talks to the server, shows what comes.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "io/event_loop.h"
#include "io/http_client.h"
#include "portolanctl/command_line.h"
#include "portolanctl/completion.h"
#include "portolanctl/conversation.h"
#include "portolanctl/pager.h"

namespace portolan::ctl {

class Session {
 public:
  /// Mappings counted before it is asked whether they may go; there may be more.
  static constexpr std::size_t counted_max = 100'000;
  /// Of these, shown.
  static constexpr std::size_t shown_max = 10;
  /// Values that a completion asks the server for.
  static constexpr std::size_t values_max = 200;

  /// `may_ask`: somebody is there who can answer.
  Session(const Catalogue& catalogue, io::HttpServer server, Seconds timeout, const Screen& screen,
          bool may_ask);

  /// Errors  a word that only the command itself could know to be wrong
  [[nodiscard]] auto run(const Invocation& invocation) -> std::expected<Outcome, Mistake>;

  /// Values of a parameter that the server knows and that begin with `partial`; none if it does not answer
  /// soon.
  [[nodiscard]] auto values(const Parameter& parameter, const Expected& place, std::string_view partial)
      -> std::vector<std::string>;

 private:
  /// What a command would destroy.
  struct Doomed {
    std::size_t count = 0;
    std::vector<ShownLine> lines;
    Outcome outcome;
  };

  struct Filter;

  auto run_here(const Invocation& invocation, bool is_json) -> std::expected<Outcome, Mistake>;
  auto ask_before(const Invocation& invocation) -> Outcome;
  auto look_at_doomed(const Command& listing, const Filter& filter) -> Doomed;
  auto agrees(const std::string& question) -> Outcome;

  const Catalogue& catalogue_;
  io::HttpServer server_;
  Seconds timeout_;
  Screen screen_;
  bool may_ask_;
  io::EventLoop loop_;
};

}  // namespace portolan::ctl
