// SPDX-License-Identifier: BSD-2-Clause
//
// portolanctl: what an operator does with a running portoland.
#include <cstdlib>
#include <exception>
#include <iostream>
#include <span>

#include <fmt/format.h>

#include "io/append_file.h"
#include "io/terminal/terminal.h"
#include "portolanctl/help.h"
#include "portolanctl/settings.h"
#include "portolanctl/shell.h"

namespace portolan::ctl {
namespace {

auto environment(const char* name) -> std::optional<std::string> {
  const char* const value = std::getenv(name);
  return value == nullptr || *value == '\0' ? std::nullopt : std::optional<std::string>(value);
}

auto wants_colours(int descriptor) -> bool {
  return io::is_terminal(descriptor) && !environment("NO_COLOR") &&
         environment("TERM").value_or("dumb") != "dumb";
}

/// Words that may stand at the end of a line of bash's, one a line; none where something is wrong.
auto complete(const Catalogue& catalogue, const std::string& before) -> int {
  const auto settings = read_settings({}, environment);
  if (!settings) return exit_usage;
  auto server = server_of(*settings);
  if (!server) return exit_usage;
  Session session(catalogue, *std::move(server), settings->timeout, {}, false);
  const Completion completion(
      catalogue, common_options(true),
      [&](const Parameter& parameter, const Expected& place, std::string_view partial) {
        return session.values(parameter, place, partial);
      });
  for (const std::string& word : completion.whole_words(before)) fmt::print("{}\n", word);
  return exit_done;
}

auto run(const std::vector<std::string>& texts) -> int {
  const bool has_utf8 = io::use_utf8();
  io::ignore_broken_pipes();
  const Reporter reporter(wants_colours(2), "portolanctl: ");
  const Catalogue catalogue = management::built_in_catalogue();
  if (texts.size() == 2 && texts.front() == "--complete") return complete(catalogue, texts.back());
  const auto common = common_options(true);
  std::string line;
  const std::vector<Word> words = joined(texts, line);
  const auto invocation = parse(catalogue, common, words);
  if (!invocation) return conclude(std::unexpected(invocation.error()), line, words, false, reporter);
  if (invocation->common.find("version") != nullptr) {
    fmt::print("portolanctl {}\n", PORTOLAN_VERSION);
    return exit_done;
  }
  if (invocation->is_question && invocation->words.empty()) {
    fmt::print("{}", program_help(catalogue, io::screen_size(1).columns));
    return exit_done;
  }
  const auto failed = [&](const std::string& text) {
    reporter.tell(text);
    return exit_usage;
  };
  const bool is_local =
      invocation->is_question || (invocation->command != nullptr && !invocation->command->is_remote());
  io::HttpServer server;
  Settings settings;
  if (!is_local) {
    auto read = read_settings(invocation->common, environment);
    if (!read) return failed(read.error());
    settings = *std::move(read);
    auto found = server_of(settings);
    if (!found) return failed(found.error());
    server = *std::move(found);
  }
  const bool is_typed = io::is_terminal(0);
  const Screen screen{.is_terminal = io::is_terminal(1),
                      .is_paged = is_typed && io::is_terminal(1),
                      .has_colours = wants_colours(1),
                      .has_utf8 = has_utf8};
  Session session(catalogue, std::move(server), settings.timeout, screen, is_typed && io::is_terminal(2));
  if (invocation->command != nullptr || invocation->is_question) {
    const bool is_json = invocation->common.find("json") != nullptr;
    return conclude(session.run(*invocation), line, words, is_json, reporter);
  }
  if (!is_typed) return run_script(catalogue, session, std::cin, wants_colours(2));
  return run_shell(catalogue, session, settings.server, history_file(environment),
                   Reporter(wants_colours(2), ""));
}

}  // namespace
}  // namespace portolan::ctl

auto main(int argc, char** argv) -> int try {
  const auto arguments = std::span(argv, static_cast<std::size_t>(argc)).subspan(1);
  return portolan::ctl::run({arguments.begin(), arguments.end()});
} catch (const std::exception& error) {
  fmt::print(stderr, "portolanctl: {}\n", error.what());
  return portolan::ctl::exit_failure;
}
