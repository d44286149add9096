// SPDX-License-Identifier: BSD-2-Clause
#include "portolanctl/conversation.h"

#include <algorithm>
#include <csignal>
#include <utility>

#include <fmt/format.h>

#include "wire/escape.h"

namespace portolan::ctl {
namespace {

using Shape = management::Result::Shape;

/// Heartbeats come several times as often.
constexpr Seconds follow_silence_max{60};

auto is_success(const io::HttpHead& head) -> bool { return head.status >= 200 && head.status < 300; }

auto content_type_of(const Command& command) -> std::string_view {
  return command.result.shape == Shape::rows ? "application/x-ndjson" : "application/json";
}

auto failure_of(const io::HttpFailure& failure) -> Outcome {
  return {
      .status = exit_failure,
      .error = failure.is_unreachable
                   ? fmt::format("can't reach portoland at {}\nDoes it run, with a [management] table in its "
                                 "configuration, and may you connect?",
                                 failure.text)
                   : wire::printable(failure.text)};
}

auto refusal_of(const io::HttpHead& head, std::string_view body) -> Outcome {
  const std::string text = refusal_text(head.status, body);
  std::string shown;
  // Lines stay lines.
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    shown += (begin > 0 ? "\n" : "") + wire::printable(std::string_view(text).substr(begin, end - begin));
    begin = end + 1;
  }
  return {.status = exit_refused, .error = std::move(shown)};
}

auto wrong_type(const io::HttpHead& head, const Command& command) -> Outcome {
  return {.status = exit_failure,
          .error = fmt::format("the answer is '{}', not '{}': is that portoland's management interface?",
                               wire::printable(head.content_type), content_type_of(command))};
}

auto broken(std::string_view what) -> Outcome { return {.status = exit_failure, .error = std::string(what)}; }

}  // namespace

auto ask(io::EventLoop& loop, const io::HttpServer& server, const Command& command,
         const Arguments& arguments, Seconds timeout, const std::function<bool(Row)>& row) -> Outcome {
  Outcome outcome;
  io::HttpHead head;
  Lines lines;
  bool is_over = false;
  io::HttpExchange exchange;
  const auto end = [&](Outcome ended) {
    if (std::exchange(is_over, true)) return;
    outcome = std::move(ended);
    exchange.close();
    loop.stop();
  };
  io::HttpHandlers handlers;
  handlers.headed = [&](const io::HttpHead& came) {
    head = came;
    if (is_success(head) && head.content_type != content_type_of(command)) end(wrong_type(head, command));
  };
  handlers.received = [&](std::string_view octets) {
    lines.add(octets);
    if (lines.is_too_long()) return end(broken("a line of the server's answer has no end"));
    while (is_success(head) && !is_over) {
      const auto line = lines.next();
      if (!line) return;
      auto read = read_row(*line);
      if (!read) return end(broken(read.error()));
      if (!row(*std::move(read))) end({});
    }
  };
  handlers.ended = [&](const std::expected<void, io::HttpFailure>& result) {
    if (!result) return end(failure_of(result.error()));
    end(is_success(head) ? Outcome() : refusal_of(head, lines.rest()));
  };
  io::HttpRequest request = request_of(command, arguments);
  request.silence_max = timeout;
  const io::Watch interrupt =
      loop.on_signal({SIGINT}, [&](int) { end({.status = exit_interrupted, .error = "interrupted"}); });
  exchange = io::HttpExchange(loop, server, request, std::move(handlers));
  while (!is_over) loop.run();
  return outcome;
}

Conversation::Conversation(io::EventLoop& loop, const io::HttpServer& server, const Screen& screen,
                           bool is_json)
    : loop_(loop), server_(server), screen_(screen), is_json_(is_json), pager_(loop, screen, [this] {
        pump();
      }) {}

auto Conversation::run(const Command& command, const Arguments& arguments, Seconds timeout) -> Outcome {
  command_ = &command;
  // Events are to be seen when they happen, and nobody presses keys for them.
  if (command.follows) pager_.follow();
  table_ = Table(command.result.columns, command.follows ? 0 : Table::sampled_rows_max,
                 screen_.is_terminal ? io::screen_size(1).columns : 0);
  io::HttpRequest request = request_of(command, arguments);
  request.silence_max = command.follows ? std::max(timeout, follow_silence_max) : timeout;
  const io::Watch interrupted = loop_.on_signal({SIGINT}, [this](int) { interrupt(); });
  exchange_ = io::HttpExchange(loop_, server_, request,
                               {.headed = [this](const io::HttpHead& head) { take_head(head); },
                                .received = [this](std::string_view octets) { take(octets); },
                                .ended = [this](const auto& result) { end_of_answer(result); }});
  while (!is_over_) loop_.run();
  return std::move(outcome_);
}

void Conversation::take_head(const io::HttpHead& head) {
  head_ = head;
  if (is_success(head) && head.content_type != content_type_of(*command_))
    finish(wrong_type(head, *command_));
}

void Conversation::take(std::string_view octets) {
  lines_.add(octets);
  while (command_->result.shape == Shape::rows && is_success(head_) && !is_over_) {
    const auto line = lines_.next();
    if (!line) break;
    take_line(*line);
  }
  if (lines_.is_too_long()) return finish(broken("a line of the server's answer has no end"));
  if (!is_over_) pump();
}

void Conversation::take_line(const std::string& line) {
  ++rows_;
  if (is_json_) {
    auto plain = plain_json(line);
    if (!plain) return finish(broken(plain.error()));
    return show_when_wanted({{.text = *std::move(plain)}});
  }
  auto row = read_row(line);
  if (!row) return finish(broken(row.error()));
  // That nothing has happened is for programs.
  if (const std::string* const event = row->find("event"); event != nullptr && *event == "heartbeat") return;
  show_when_wanted(table_.add(*std::move(row)));
}

void Conversation::take_object() {
  const std::string body(lines_.rest());
  if (is_json_) {
    auto plain = plain_json(body);
    if (!plain) return finish(broken(plain.error()));
    return show_when_wanted({{.text = *std::move(plain)}});
  }
  const auto row = read_row(body);
  if (!row) return finish(broken(row.error()));
  show_when_wanted(object_lines(command_->result.columns, *row));
}

void Conversation::end_of_answer(const std::expected<void, io::HttpFailure>& result) {
  if (is_over_) return;
  is_answered_ = true;
  if (result && !is_success(head_)) return finish(refusal_of(head_, lines_.rest()));
  if (!result) {
    outcome_ = failure_of(result.error());
    if (head_.status != 0 && command_->result.shape == Shape::rows && !command_->follows)
      outcome_.error += fmt::format("\nThe listing is not complete: {} rows came.", rows_);
  } else if (command_->result.shape == Shape::object) {
    take_object();
  } else if (!lines_.rest().empty()) {
    outcome_ = broken("the last line of the server's answer has no end");
  }
  if (is_over_) return;
  if (!is_json_ && command_->result.shape == Shape::rows) {
    show_when_wanted(table_.finish());
    if (screen_.is_terminal && result && !command_->follows)
      show_when_wanted({{.text = fmt::format("({} {})", rows_, rows_ == 1 ? "row" : "rows")}});
  }
  pump();
}

void Conversation::show_when_wanted(std::vector<ShownLine> lines) {
  for (ShownLine& line : lines) {
    backlog_octets_ += line.text.size();
    backlog_.push_back(std::move(line));
  }
  if (backlog_octets_ > backlog_octets_max) pump();
}

void Conversation::pump() {
  while (!backlog_.empty() && pager_.wants_line()) {
    pager_.show(backlog_.front());
    backlog_octets_ -= backlog_.front().text.size();
    backlog_.pop_front();
  }
  pager_.flush();
  if (!pager_.trouble().empty()) return finish(broken(pager_.trouble()));
  if (pager_.is_over()) return finish(std::move(outcome_));
  if (is_answered_ && backlog_.empty()) return finish(std::move(outcome_));
  exchange_.set_reading(backlog_octets_ <= backlog_octets_max);
}

void Conversation::finish(Outcome outcome) {
  if (std::exchange(is_over_, true)) return;
  outcome_ = std::move(outcome);
  pager_.end();
  exchange_.close();
  loop_.stop();
}

void Conversation::interrupt() {
  pager_.end_line();
  // A stream without end has no other.
  if (command_->follows) return finish({});
  finish({.status = exit_interrupted, .error = "interrupted"});
}

}  // namespace portolan::ctl
