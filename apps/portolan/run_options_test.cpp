// SPDX-License-Identifier: BSD-2-Clause
//
// The command lines of `run` and of the agent.
#include "portolan/run_options.h"

#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/servers.h"
#include "portolan/options.h"

namespace portolan {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

auto parse(const std::vector<std::string>& arguments) -> std::expected<Command, Exit> {
  std::vector<const char*> words;
  words.reserve(arguments.size());
  for (const std::string& argument : arguments) words.push_back(argument.c_str());
  return parse_command_line(words);
}

TEST(RunCommandLine, what_follows_two_dashes_is_the_programs) {
  const auto command =
      parse({"run", "--hook", "./told", "--expose", "tcp:80", "--external", "ipv6", "--lifetime", "600",
             "--server", "2001:db8::1", "--", "nc", "-l", "--", "--server"});
  ASSERT_TRUE(command) << command.error().text;
  const auto& run = std::get<RunCommand>(*command);
  EXPECT_THAT(run.arguments, ElementsAre("nc", "-l", "--", "--server"));
  EXPECT_THAT(run.keeper.servers, ElementsAre("2001:db8::1"));
  EXPECT_EQ(run.hook, "./told");
  EXPECT_EQ(run.external, Family::ipv6);
  EXPECT_EQ(run.lifetime, Seconds{600});
  EXPECT_TRUE(run.state.ends_with("/portolan")) << run.state;
  ASSERT_THAT(run.exposed, SizeIs(2)) << "of either family";
  EXPECT_EQ(run.exposed[0].port, Port{80});
}

TEST(RunCommandLine, mistakes_name_argument_value_and_remedy) {
  const auto why = [](const std::vector<std::string>& arguments) {
    const auto command = parse(arguments);
    return command ? "it is accepted" : command.error().text;
  };
  EXPECT_THAT(why({"run"}), HasSubstr("COMMAND, the program to start, with -- before it, is required"));
  EXPECT_THAT(why({"run", "--hook", "./told", "sleep", "1"}),
              HasSubstr("put -- before the program: portolan run -- sleep 1"));
  EXPECT_THAT(why({"run", "--no-option"}), HasSubstr("not expected: --no-option"));
  EXPECT_THAT(why({"run", "sleep", "--", "1"}), HasSubstr("not expected: sleep"));
  for (const char* text : {"80", "tcp", "tcp:", "tcp:0", "tcp:65536", "sctp:80", ":80", "tcp:8o"})
    EXPECT_THAT(
        why({"run", "--expose", text, "--", "nc"}),
        HasSubstr(fmt::format("--expose: '{}' is no port of a protocol: give one such as tcp:8080", text)));
  EXPECT_THAT(why({"run", "--external", "ipv5", "--", "nc"}),
              HasSubstr("'ipv5' is no family: give ipv4 or ipv6"));
  EXPECT_THAT(why({"run", "--lifetime", "119", "--", "nc"}), HasSubstr("'119' is no lifetime"));
  EXPECT_THAT(why({"drop", "all", "0"}), HasSubstr("'all' is no protocol"));
  EXPECT_THAT(why({"drop", "tcp", "x"}), HasSubstr("'x' is no port"));
  EXPECT_THAT(why({"agent", "--server-port", "0"}), HasSubstr("'0' is no port"));
}

TEST(RunCommandLine, lists_have_limits) {
  const auto is_accepted = [](const std::string& option, const std::string& value, std::size_t count) {
    std::vector<std::string> arguments{"run"};
    for (std::size_t i = 0; i < count; ++i) arguments.insert(arguments.end(), {option, value});
    arguments.insert(arguments.end(), {"--", "nc"});
    return parse(arguments).has_value();
  };
  for (const std::size_t count : {exposed_max - 1, exposed_max, exposed_max + 1})
    EXPECT_EQ(is_accepted("--expose", "tcp:80", count), count <= exposed_max) << count;
  for (const std::size_t count : {client::servers_max - 1, client::servers_max, client::servers_max + 1})
    EXPECT_EQ(is_accepted("--server", "2001:db8::1", count), count <= client::servers_max) << count;
}

}  // namespace
}  // namespace portolan
