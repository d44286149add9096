// SPDX-License-Identifier: BSD-2-Clause
#include "portolanctl/shell.h"

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "io/terminal/line_editor.h"
#include "io/terminal/terminal.h"
#include "wire/escape.h"

namespace portolan::ctl {

void Reporter::tell(std::string_view text, std::string_view above) const {
  std::fflush(stdout);
  fmt::print(stderr, "{}", above);
  if (has_colours_)
    fmt::print(stderr, "\x1b[31m{}{}\x1b[0m\n", prefix_, text);
  else
    fmt::print(stderr, "{}{}\n", prefix_, text);
}

void Reporter::tell_as_json(std::string_view text) const {
  std::fflush(stdout);
  const nlohmann::ordered_json json{{"error", text}};
  fmt::print(stderr, "{}\n", json.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace));
}

auto conclude(const std::expected<Outcome, Mistake>& result, std::string_view line,
              std::span<const Word> words, bool is_json, const Reporter& reporter) -> int {
  if (result && result->error.empty()) return result->status;
  const std::string text = result ? result->error : wire::printable(result.error().text);
  if (is_json)
    reporter.tell_as_json(text);
  else
    reporter.tell(text, result ? "" : pointed_out(line, words, result.error()));
  return result ? result->status : exit_usage;
}

auto run_line(const Catalogue& catalogue, Session& session, std::string_view line, const Reporter& reporter)
    -> LineResult {
  if (line.size() > line_octets_max) {
    reporter.tell(fmt::format("a line is longer than {} octets", line_octets_max));
    return {.status = exit_usage};
  }
  const Words cut = split(line);
  const auto failed = [&](const Mistake& mistake) {
    return LineResult{.status = conclude(std::unexpected(mistake), line, cut.words, false, reporter)};
  };
  if (cut.is_open)
    return failed({.word = cut.words.size() - 1, .text = "this word has no end: close its quotes"});
  const auto common = common_options(false);
  const auto invocation = parse(catalogue, common, cut.words);
  if (!invocation) return failed(invocation.error());
  if (invocation->command == nullptr && !invocation->is_question) return {};
  if (invocation->command != nullptr && !invocation->is_question && invocation->command->name() == "exit")
    return {.is_exit = true};
  const bool is_json = invocation->common.find("json") != nullptr;
  return {.status = conclude(session.run(*invocation), line, cut.words, is_json, reporter)};
}

auto run_shell(const Catalogue& catalogue, Session& session, const std::string& server,
               const std::filesystem::path& history, const Reporter& reporter) -> int {
  fmt::print("portolanctl {} for {}\n'help' lists commands, TAB completes, '?' explains, Ctrl-D leaves.\n",
             PORTOLAN_VERSION, server);
  std::fflush(stdout);
  const Completion completion(
      catalogue, common_options(false),
      [&](const Parameter& parameter, const Expected& place, std::string_view partial) {
        return session.values(parameter, place, partial);
      });
  const auto columns = [] { return io::screen_size(1).columns; };
  io::LineEditor editor(
      "portolanctl", history,
      {.complete = [&](std::string_view before) { return completion.complete(before, columns()); },
       .explain = [&](std::string_view before) { return completion.explain(before, columns()); }});
  bool is_warned = false;
  while (true) {
    const io::LineEditor::Line line = editor.read("portolan> ");
    if (line.kind == io::LineEditor::Line::Kind::interrupted) continue;
    if (line.kind == io::LineEditor::Line::Kind::end) {
      fmt::print("\n");
      return exit_done;
    }
    if (line.text.find_first_not_of(" \t") == std::string::npos) continue;
    if (!editor.remember(line.text) && !std::exchange(is_warned, true))
      reporter.tell(
          fmt::format("{}: the history can't be written: it is kept until you leave", history.string()));
    if (run_line(catalogue, session, line.text, reporter).is_exit) return exit_done;
  }
}

auto run_script(const Catalogue& catalogue, Session& session, std::istream& script, bool has_colours) -> int {
  std::vector<char> buffer(line_octets_max + 2);
  for (std::size_t number = 1; !script.eof(); ++number) {
    script.getline(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    if (script.bad()) break;
    auto octets = static_cast<std::size_t>(script.gcount());
    if (!script.eof() && !script.fail()) --octets;  // the end of the line
    const std::string_view line(buffer.data(), octets);
    const LineResult result =
        run_line(catalogue, session, line, Reporter(has_colours, fmt::format("line {}: ", number)));
    if (result.is_exit || result.status != exit_done) return result.status;
  }
  return exit_done;
}

}  // namespace portolan::ctl
