// SPDX-License-Identifier: BSD-2-Clause
//
// One command carried out at the server, and its answer shown.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <optional>
#include <string>

#include "io/event_loop.h"
#include "io/http_client.h"
#include "portolanctl/answer.h"
#include "portolanctl/command_line.h"
#include "portolanctl/pager.h"
#include "portolanctl/table.h"

namespace portolan::ctl {

/// What a script learns of a command.
inline constexpr int exit_done = 0;
inline constexpr int exit_refused = 1;
inline constexpr int exit_usage = 2;
inline constexpr int exit_failure = 3;
inline constexpr int exit_interrupted = 130;

struct Outcome {
  int status = exit_done;
  std::string error{};  ///< for the user; of success empty
};

/// Asks for rows, without showing them.
/// In      row: false: no more is wanted
[[nodiscard]] auto ask(io::EventLoop& loop, const io::HttpServer& server, const Command& command,
                       const Arguments& arguments, Seconds timeout, const std::function<bool(Row)>& row)
    -> Outcome;

class Conversation {
 public:
  /// What waits while somebody reads a page; beyond that the server has to wait.
  static constexpr std::size_t backlog_octets_max = std::size_t{32} << 20U;

  Conversation(io::EventLoop& loop, const io::HttpServer& server, const Screen& screen, bool is_json);

  /// Until the answer has been shown, was cut short, or Ctrl-C comes.
  [[nodiscard]] auto run(const Command& command, const Arguments& arguments, Seconds timeout) -> Outcome;

 private:
  void take_head(const io::HttpHead& head);
  void take(std::string_view octets);
  void take_line(const std::string& line);
  void take_object();
  void end_of_answer(const std::expected<void, io::HttpFailure>& result);
  void show_when_wanted(std::vector<ShownLine> lines);
  void pump();
  void finish(Outcome outcome);
  void interrupt();

  io::EventLoop& loop_;
  const io::HttpServer& server_;
  Screen screen_;
  bool is_json_;
  Pager pager_;
  io::HttpExchange exchange_;
  const Command* command_ = nullptr;
  Table table_{{}, 0, 0};
  Lines lines_;
  io::HttpHead head_;
  std::deque<ShownLine> backlog_;
  std::size_t backlog_octets_ = 0;
  std::size_t rows_ = 0;
  bool is_answered_ = false;  // nothing comes any more; the backlog may be left
  bool is_over_ = false;
  Outcome outcome_;
};

}  // namespace portolan::ctl
