// SPDX-License-Identifier: BSD-2-Clause
#include "portolanctl/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "portolanctl/answer.h"

namespace portolan::ctl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class CommandLine : public ::testing::Test {
 protected:
  auto parsed(std::string_view line) -> std::expected<Invocation, Mistake> {
    words = split(line).words;
    return parse(catalogue, common, words);
  }
  /// "WORD: TEXT" of the mistake.
  auto mistake(std::string_view line) -> std::string {
    const auto invocation = parsed(line);
    return invocation ? "no mistake"
                      : std::to_string(invocation.error().word) + ": " + invocation.error().text;
  }
  auto value(std::string_view line, std::string_view name) -> std::string {
    const auto invocation = parsed(line);
    if (!invocation) return "mistake: " + invocation.error().text;
    const Argument* argument = invocation->arguments.find(name);
    if (argument == nullptr) argument = invocation->common.find(name);
    return argument == nullptr ? "none" : argument->values.front();
  }
  auto target(std::string_view line) -> std::string {
    const auto invocation = parsed(line);
    if (!invocation) return "mistake: " + invocation.error().text;
    const io::HttpRequest request = request_of(*invocation->command, invocation->arguments);
    return request.method + " " + request.target + (request.body.empty() ? "" : " " + request.body);
  }

  Catalogue catalogue = management::built_in_catalogue();
  std::vector<Parameter> common = common_options(false);
  std::vector<Word> words;
};

TEST_F(CommandLine, every_example_of_the_schemas_is_understood) {
  for (const Command& command : catalogue.commands)
    for (const std::string& example : command.examples) {
      const auto invocation = parsed(example);
      ASSERT_TRUE(invocation) << example << ": " << invocation.error().text;
      EXPECT_EQ(invocation->command, &command) << example;
    }
}

TEST_F(CommandLine, every_parameter_of_the_schemas_can_be_given_by_name) {
  for (const Command& command : catalogue.commands)
    for (const Parameter& parameter : command.parameters) {
      std::string line = command.name();
      for (const Parameter& other : command.parameters)
        if (other.is_required && &other != &parameter)
          line += " --" + other.option + " " + as_word(other.example);
      line += " --" + parameter.option + " " + as_word(parameter.example);
      const auto invocation = parsed(line);
      ASSERT_TRUE(invocation) << line << ": " << invocation.error().text;
      EXPECT_NE(invocation->arguments.find(parameter.name), nullptr) << line;
    }
}

TEST_F(CommandLine, words_options_and_their_values_come_in_any_order) {
  EXPECT_EQ(value("list map 2001:db8:112::/64", "internal-src-address"), "2001:db8:112::/64");
  EXPECT_EQ(value("list map --user 2001:db8:112::/64", "internal-src-address"), "2001:db8:112::/64");
  EXPECT_EQ(value("list map --user=2001:db8:112::/64 --limit 3", "limit"), "3");
  EXPECT_EQ(value("--json list map", "json"), "true");
  EXPECT_EQ(value("list map --json", "json"), "true");
  EXPECT_EQ(value("add map --external-port 1 tcp 2001:db8::7 8080 192.0.2.1", "external-src-address"),
            "192.0.2.1");
}

TEST_F(CommandLine, a_flag_needs_no_value) {
  EXPECT_EQ(value("delete map --all", "all"), "true");
  EXPECT_EQ(value("delete map --all --json", "all"), "true");
  EXPECT_EQ(value("announce 2001:db8:112::/64 --new-epoch false", "new-epoch"), "false");
  EXPECT_EQ(value("announce --new-epoch 2001:db8:112::/64", "subscriber"), "2001:db8:112::/64");
  EXPECT_EQ(mistake("list user --json=maybe"), "2: --json: 'maybe' must be true or false");
}

TEST_F(CommandLine, a_wrong_word_is_pointed_to) {
  EXPECT_THAT(mistake("lsit map"), HasSubstr("0: there is no command 'lsit': did you mean 'list'?"));
  EXPECT_THAT(mistake("list mpa"),
              HasSubstr("1: 'list' has no 'mpa': did you mean 'map'? What may follow: map, pool, user"));
  EXPECT_THAT(mistake("show tables"), HasSubstr("1: 'show' has no 'tables'"));
  EXPECT_THAT(mistake("reload now"), HasSubstr("1: 'reload' takes no more words"));
  EXPECT_THAT(mistake("list map --usr x"),
              HasSubstr("2: 'list map' has no option --usr: did you mean '--user'?"));
  EXPECT_THAT(mistake("list --user x"), HasSubstr("1: there is no option --user here"));
  EXPECT_THAT(mistake("list map --user 2001:db8::/200"),
              HasSubstr("3: --user: '2001:db8::/200' must be a prefix"));
  EXPECT_THAT(mistake("list map --user=x"), HasSubstr("2: --user: 'x' must be a prefix"));
  EXPECT_THAT(mistake("list map --protocol tpc"), HasSubstr("3: --protocol: 'tpc' must be a protocol"));
  EXPECT_THAT(mistake("list map --limit 1 --limit 2"), HasSubstr("4: --limit is given twice"));
  EXPECT_THAT(mistake("list map --server unix:/x"), HasSubstr("2: --server is for the start of portolanctl"));
}

TEST_F(CommandLine, what_is_missing_is_pointed_to_behind_the_line) {
  EXPECT_THAT(mistake("list"), HasSubstr("1: 'list' needs another word: map, pool, user"));
  EXPECT_THAT(mistake("list map --user"), HasSubstr("3: --user needs a value: a prefix"));
  EXPECT_THAT(mistake("add map tcp 2001:db8::7"),
              HasSubstr("4: 'add map' needs another word, or --internal-port"));
}

TEST_F(CommandLine, lists_have_commas_and_a_limit) {
  const auto invocation = parsed("add user 2001:db8::/64 --protocols tcp,udp,132");
  ASSERT_TRUE(invocation);
  EXPECT_THAT(invocation->arguments.find("protocols")->values, ElementsAre("tcp", "udp", "132"));
  EXPECT_THAT(mistake("add user 2001:db8::/64 --protocols tcp,,udp"), HasSubstr("4: --protocols: ''"));
  const auto many = [&](std::size_t count) {
    std::string line = "add user 2001:db8::/64 --protocols tcp";
    for (std::size_t i = 1; i < count; ++i) line += ",tcp";
    return mistake(line);
  };
  EXPECT_EQ(many(63), "no mistake");
  EXPECT_EQ(many(64), "no mistake");
  EXPECT_THAT(many(65), HasSubstr("more than 64 values"));
}

TEST_F(CommandLine, a_question_needs_nothing_else) {
  for (const char* line : {"add map ?", "add map --help", "add ?", "?", "--help"}) {
    const auto invocation = parsed(line);
    ASSERT_TRUE(invocation) << line;
    EXPECT_TRUE(invocation->is_question) << line;
  }
  EXPECT_THAT(parsed("add map tcp ?")->words, ElementsAre("add", "map"));
}

TEST_F(CommandLine, no_words_are_no_command) {
  const auto invocation = parsed("");
  ASSERT_TRUE(invocation);
  EXPECT_EQ(invocation->command, nullptr);
}

TEST_F(CommandLine, the_program_alone_knows_where_the_server_is) {
  common = common_options(true);
  EXPECT_EQ(value("--server unix:/x list map", "server"), "unix:/x");
  EXPECT_EQ(value("list map --server unix:/x --timeout 5", "timeout"), "5");
  EXPECT_THAT(mistake("--timeout 0 list map"), HasSubstr("1: --timeout: '0' must be a number of seconds"));
}

TEST_F(CommandLine, arguments_go_into_the_query_or_the_body) {
  EXPECT_EQ(target("list map --user 2001:db8:112::/64 --internal-port 80"),
            "GET /v1/mappings?internal-src-address=2001%3Adb8%3A112%3A%3A%2F64&internal-src-port=80");
  EXPECT_EQ(target("list user"), "GET /v1/users");
  EXPECT_EQ(target("delete map --all"), "DELETE /v1/mappings?all=true");
  EXPECT_EQ(target("add user 2001:db8::/64 --map false --protocols tcp,udp --filters-max 8"),
            "POST /v1/users {\"subscriber\":\"2001:db8::/64\",\"map\":false,\"protocols\":[\"tcp\",\"udp\"],"
            "\"filters-max\":8}");
  EXPECT_EQ(target("reload"), "POST /v1/reload {}");
}

TEST(Nearest, is_what_was_meant_or_nothing) {
  const std::vector<std::string> words{"list", "delete", "show", "user"};
  EXPECT_EQ(nearest("lst", words), "list");
  EXPECT_EQ(nearest("lsit", words), "list");
  EXPECT_EQ(nearest("deelte", words), "delete");
  EXPECT_EQ(nearest("frobnicate", words), "");
  EXPECT_EQ(nearest("x", words), "");
  EXPECT_EQ(nearest(std::string(100'000, 'x'), words), "");
}

}  // namespace
}  // namespace portolan::ctl
