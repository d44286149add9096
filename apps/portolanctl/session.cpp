// SPDX-License-Identifier: BSD-2-Clause
#include "portolanctl/session.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <utility>

#include <fmt/format.h>

#include "portolanctl/help.h"
#include "wire/escape.h"

namespace portolan::ctl {
namespace {

using management::Type;

constexpr int standard_input = 0;
constexpr Seconds completion_timeout{2};
constexpr std::string_view mappings_path = "/v1/mappings";

auto is_given(const Arguments& arguments, std::string_view flag) -> bool {
  const Argument* const argument = arguments.find(flag);
  return argument != nullptr && argument->values.front() == "true";
}

/// Whether two texts mean the same, as addresses have several.
auto is_same(const std::string& left, const std::string& right) -> bool {
  if (left == right) return true;
  const auto here = IpAddress::parse(left);
  return here && here == IpAddress::parse(right);
}

}  // namespace

/// Arguments that `listing` takes, and those that only its rows can be compared with.
struct Session::Filter {
  Arguments asked;
  std::vector<const Argument*> compared;

  Filter(const Command& listing, const Arguments& arguments) {
    for (const Argument& argument : arguments.list) {
      if (const Parameter* const same = listing.parameter(argument.parameter->name))
        asked.list.push_back({.parameter = same, .values = argument.values});
      else if (std::ranges::find(listing.result.columns, argument.parameter->name,
                                 &management::Column::name) != listing.result.columns.end())
        compared.push_back(&argument);
    }
  }
  /// Unless it is asked for already.
  void ask_for(const Command& listing, std::string_view name, const std::string& value) {
    const Parameter* const parameter = listing.parameter(name);
    if (parameter != nullptr && asked.find(name) == nullptr && !value.empty())
      asked.list.push_back({.parameter = parameter, .values = {value}});
  }
  [[nodiscard]] auto lets_pass(const Row& row) const -> bool {
    return std::ranges::all_of(compared, [&](const Argument* argument) {
      const std::string* const text = row.find(argument->parameter->name);
      return text != nullptr && is_same(*text, argument->values.front());
    });
  }
};

Session::Session(const Catalogue& catalogue, io::HttpServer server, Seconds timeout, const Screen& screen,
                 bool may_ask)
    : catalogue_(catalogue),
      server_(std::move(server)),
      timeout_(timeout),
      screen_(screen),
      may_ask_(may_ask) {}

auto Session::run(const Invocation& invocation) -> std::expected<Outcome, Mistake> {
  const bool is_json = is_given(invocation.common, "json");
  if (invocation.is_question || invocation.command == nullptr || !invocation.command->is_remote())
    return run_here(invocation, is_json);
  if (invocation.command->confirms && !is_given(invocation.common, "yes"))
    if (Outcome asked = ask_before(invocation); asked.status != exit_done) return asked;
  // Lines of an export are more than their columns say.
  const bool is_export = invocation.command->name() == "export";
  return Conversation(loop_, server_, screen_, is_json || is_export)
      .run(*invocation.command, invocation.arguments, timeout_);
}

auto Session::run_here(const Invocation& invocation, bool is_json) -> std::expected<Outcome, Mistake> {
  std::vector<std::string> words = invocation.words;
  std::size_t before = 0;  // words that are not the question's
  if (!invocation.is_question && invocation.command != nullptr && invocation.command->name() == "help") {
    const Argument* const asked = invocation.arguments.find("command");
    before = words.size();
    words = asked == nullptr ? std::vector<std::string>() : asked->values;
  } else if (!invocation.is_question) {
    return Outcome();
  }
  const std::size_t columns = io::screen_size(1).columns;
  auto text = is_json ? help_as_json(catalogue_, words) : help(catalogue_, words, columns);
  if (!text) return std::unexpected(Mistake{.word = text.error().word + before, .text = text.error().text});
  fmt::print("{}", *text);
  std::fflush(stdout);
  return Outcome();
}

auto Session::ask_before(const Invocation& invocation) -> Outcome {
  const Command& command = *invocation.command;
  if (command.method != "DELETE") return agrees(command.summary + " Do it?");
  const Command* const listing = catalogue_.find("GET", mappings_path);
  // The server refuses to delete nothing in particular.
  if (listing == nullptr || invocation.arguments.list.empty()) return {};
  Filter filter(*listing, invocation.arguments);
  if (const Argument* const user = invocation.arguments.find("subscriber")) {
    filter.compared.clear();
    filter.ask_for(*listing, "internal-src-address", user->values.front());
  }
  Doomed doomed = look_at_doomed(*listing, filter);
  if (doomed.outcome.status != exit_done) return std::move(doomed.outcome);
  if (doomed.count <= 1) return {};
  for (const ShownLine& line : doomed.lines) fmt::print(stderr, "{}\n", line.text);
  const bool is_more = doomed.count > counted_max;
  if (doomed.count > shown_max)
    fmt::print(stderr, "... and {}{} more\n", is_more ? "at least " : "", doomed.count - shown_max);
  return agrees(fmt::format("Delete {}{} mappings?", is_more ? "more than " : "these ",
                            is_more ? counted_max : doomed.count));
}

auto Session::look_at_doomed(const Command& listing, const Filter& filter) -> Doomed {
  Doomed doomed;
  Table table(listing.result.columns, shown_max, may_ask_ ? io::screen_size(2).columns : 0);
  const auto keep = [&doomed](std::vector<ShownLine> lines) {
    for (ShownLine& line : lines) doomed.lines.push_back(std::move(line));
  };
  doomed.outcome = ask(loop_, server_, listing, filter.asked, timeout_, [&](const Row& row) {
    const std::string* const origin = row.find("origin");
    // What the configuration has stays.
    if (!filter.lets_pass(row) || (origin != nullptr && *origin == "configured")) return true;
    if (++doomed.count <= shown_max) keep(table.add(row));
    return doomed.count <= counted_max;
  });
  keep(table.finish());
  return doomed;
}

auto Session::agrees(const std::string& question) -> Outcome {
  if (!may_ask_)
    return {.status = exit_usage,
            .error = fmt::format("{} Nobody can be asked here: add --yes if so.", question)};
  fmt::print(stderr, "{} [y/N] ", question);
  std::optional<std::string> answer;
  bool is_interrupted = false;
  {
    const io::KeptBlocking kept(standard_input);
    const io::Watch signal = loop_.on_signal({SIGINT}, [&](int) {
      is_interrupted = true;
      loop_.stop();
    });
    const io::Watch typed = loop_.on_readable(standard_input, [&] {
      answer = io::read_typed_line(standard_input);
      loop_.stop();
    });
    loop_.run();
  }
  if (is_interrupted) fmt::print(stderr, "\n");
  if (answer == "y" || answer == "yes" || answer == "Y") return {};
  return {.status = is_interrupted ? exit_interrupted : exit_refused, .error = "nothing has been changed"};
}

auto Session::values(const Parameter& parameter, const Expected& place, std::string_view partial)
    -> std::vector<std::string> {
  constexpr std::array types{Type::prefix, Type::address, Type::port, Type::protocol, Type::text};
  const bool is_asked_for = !parameter.is_list && std::ranges::find(types, parameter.type) != types.end();
  // A prefix is that of a user, whatever it is for.
  const std::string_view name =
      parameter.type == Type::prefix ? "subscriber" : std::string_view(parameter.name);
  const Command* const listing = is_asked_for ? listing_of(catalogue_, name) : nullptr;
  if (listing == nullptr) return {};
  Filter filter(*listing, place.arguments);
  for (const std::string_view within : {"subscriber", "internal-src-address"})
    if (name == within) filter.ask_for(*listing, within, prefix_of_partial(partial));
  std::vector<std::string> found;
  std::size_t looked_at = 0;
  const Outcome ignored =
      ask(loop_, server_, *listing, filter.asked, completion_timeout, [&](const Row& row) {
        const std::string* const value = row.find(name);
        // What is typed goes to the terminal as it is.
        const bool is_wanted = value != nullptr && value->starts_with(partial) && filter.lets_pass(row) &&
                               wire::printable(*value) == *value &&
                               std::ranges::find(found, *value) == found.end();
        if (is_wanted) found.push_back(*value);
        return found.size() < values_max && ++looked_at < 100 * values_max;
      });
  return found;
}

}  // namespace portolan::ctl
