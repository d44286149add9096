// SPDX-License-Identifier: BSD-2-Clause
#include "portolanctl/completion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "portolanctl/help.h"

namespace portolan::ctl {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class CompletionTest : public ::testing::Test {
 protected:
  /// The line as TAB leaves it, and "|" with what is shown if it changes nothing.
  auto tab(const std::string& before) -> std::string {
    const Completion completion(catalogue, common_options(false),
                                [&](const Parameter& parameter, const Expected&, std::string_view partial) {
                                  asked = parameter.name + "=" + std::string(partial);
                                  return known;
                                });
    const io::LineCompletion done = completion.complete(before, 80);
    const std::string after = before.substr(0, before.size() - done.replaced) + done.text;
    return after == before ? after + "|" + done.choices : after;
  }
  auto question(const std::string& before) -> std::string {
    const Completion completion(catalogue, common_options(false),
                                [&](const auto&, const auto&, auto) { return known; });
    return completion.explain(before, 80).value_or("none");
  }

  Catalogue catalogue = management::built_in_catalogue();
  std::vector<std::string> known;
  std::string asked;
};

TEST_F(CompletionTest, words_of_commands) {
  EXPECT_EQ(tab("li"), "list ");
  EXPECT_EQ(tab("list m"), "list map ");
  EXPECT_EQ(tab("list  m"), "list  map ");
  EXPECT_EQ(tab("ad"), "add ");
  EXPECT_EQ(tab("nothing"), "nothing|");
  EXPECT_EQ(tab("list x"), "list x|");
}

TEST_F(CompletionTest, several_are_shown_with_what_they_mean) {
  EXPECT_THAT(tab("list "), HasSubstr("list |  map   A mapping"));
  EXPECT_THAT(tab("list "), HasSubstr("\n  user  A user"));
  EXPECT_THAT(tab(""), HasSubstr("delete"));
}

TEST_F(CompletionTest, options_and_their_values) {
  EXPECT_EQ(tab("list map --u"), "list map --user ");
  EXPECT_EQ(tab("list map --ex"), "list map --external-");
  EXPECT_EQ(tab("list map --origin by"), "list map --origin by-hand ");
  EXPECT_EQ(tab("list map --origin=by"), "list map --origin=by-hand ");
  EXPECT_EQ(tab("announce --new-epoch="), "announce --new-epoch=|");
  EXPECT_THAT(tab("list map --user 2001:db8::/64 --"), Not(HasSubstr("  --user")));
  EXPECT_EQ(tab("reload "), "reload --");
  EXPECT_THAT(tab("reload --"), HasSubstr("--json"));
}

TEST_F(CompletionTest, values_are_asked_from_the_server) {
  known = {"2001:db8:112::/64", "2001:db8:113::/64"};
  EXPECT_EQ(tab("list map --user 2"), "list map --user 2001:db8:11");
  EXPECT_EQ(asked, "internal-src-address=2");
  EXPECT_EQ(tab("show user 2001:db8:113"), "show user 2001:db8:113::/64 ");
  EXPECT_THAT(tab("list map --user 2001:db8:11"), HasSubstr("|  2001:db8:112::/64"));
}

TEST_F(CompletionTest, protocols_are_known_without_a_server) {
  EXPECT_EQ(tab("show map t"), "show map tcp ");
  known = {"132"};
  EXPECT_EQ(tab("show map 1"), "show map 132 ");
}

TEST_F(CompletionTest, whole_words_are_for_other_shells) {
  const Completion completion(catalogue, common_options(true), [](const auto&, const auto&, auto) {
    return std::vector<std::string>{"2001:db8::/64"};
  });
  EXPECT_THAT(completion.whole_words("li"), ::testing::ElementsAre("list"));
  EXPECT_THAT(completion.whole_words("list map --user=20"), ::testing::ElementsAre("--user=2001:db8::/64"));
  EXPECT_THAT(completion.whole_words("--s"), ::testing::ElementsAre("--server"));
  EXPECT_THAT(completion.whole_words("lsit "), ::testing::IsEmpty());
}

TEST_F(CompletionTest, help_completes_words_of_commands) {
  EXPECT_EQ(tab("help li"), "help list ");
  EXPECT_EQ(tab("help list m"), "help list map ");
  EXPECT_EQ(tab("help list map x"), "help list map x|");
}

TEST_F(CompletionTest, of_many_choices_the_first_are_shown) {
  known = {"19999"};
  for (std::size_t i = 0; i < Completion::choices_max; ++i) known.push_back(std::to_string(1000 + i));
  EXPECT_THAT(tab("list map --external-port 1"), HasSubstr("... and 1 more"));
  known.pop_back();
  EXPECT_THAT(tab("list map --external-port 1"),
              ::testing::AllOf(HasSubstr("19999"), Not(HasSubstr("more"))));
}

TEST_F(CompletionTest, a_line_with_a_mistake_completes_to_nothing) {
  EXPECT_EQ(tab("lsit m"), "lsit m|");
  EXPECT_EQ(tab("list map --user nonsense --li"), "list map --user nonsense --li|");
}

TEST_F(CompletionTest, a_question_mark_explains_what_may_come) {
  EXPECT_THAT(question(""), HasSubstr("list "));
  EXPECT_THAT(question("li"), HasSubstr("Lists users, mappings or pools"));
  EXPECT_THAT(question("list map "), HasSubstr("--external-port"));
  EXPECT_THAT(question("list map --user "), HasSubstr("a prefix such as"));
  EXPECT_THAT(question("list map --user "), Not(HasSubstr("--external-port")));
  EXPECT_THAT(question("lsit "), HasSubstr("^^^^\nthere is no command 'lsit'"));
  EXPECT_THAT(question("xyz"), HasSubstr("nothing that is known"));
  EXPECT_EQ(question("add map --description \"what"), "none");
}

TEST_F(CompletionTest, values_come_from_the_listing_of_just_that_kind) {
  EXPECT_EQ(listing_of(catalogue, "subscriber")->name(), "list user");
  EXPECT_EQ(listing_of(catalogue, "internal-src-address")->name(), "list map");
  EXPECT_EQ(listing_of(catalogue, "group")->name(), "stats");
  EXPECT_EQ(listing_of(catalogue, "nothing"), nullptr);
}

TEST(PartialAddress, is_within_a_prefix) {
  EXPECT_EQ(prefix_of_partial("2001:db8:1"), "2001:db8::/32");
  EXPECT_EQ(prefix_of_partial("2001:"), "2001::/16");
  EXPECT_EQ(prefix_of_partial("192.0.2"), "192.0.0.0/16");
  EXPECT_EQ(prefix_of_partial("2001"), "");
  EXPECT_EQ(prefix_of_partial(""), "");
  EXPECT_EQ(prefix_of_partial("2001:db8::1"), "");
  EXPECT_EQ(prefix_of_partial("zz:1"), "");
  EXPECT_EQ(prefix_of_partial("1.2.3."), "1.2.3.0/24");
  EXPECT_EQ(prefix_of_partial("1.2.3.4.5"), "");
  EXPECT_EQ(prefix_of_partial("1:2:3:4:5:6:7:"), "1:2:3:4:5:6:7:0/112");
  EXPECT_EQ(prefix_of_partial("1:2:3:4:5:6:7:8:9"), "");
}

class HelpTest : public ::testing::Test {
 protected:
  auto text(const std::vector<std::string>& words) -> std::string {
    const auto made = help(catalogue, words, 80);
    return made ? *made : std::to_string(made.error().word) + ": " + made.error().text;
  }
  Catalogue catalogue = management::built_in_catalogue();
};

TEST_F(HelpTest, every_command_and_every_first_word_has_some) {
  for (const Command& command : catalogue.commands) {
    const std::string all = text(command.words);
    for (const Parameter& parameter : command.parameters)
      EXPECT_THAT(all, HasSubstr("--" + parameter.option));
    for (const auto& column : command.result.columns) EXPECT_THAT(all, HasSubstr(column.name));
    EXPECT_THAT(text({command.words.front()}), HasSubstr(command.name()));
  }
}

TEST_F(HelpTest, lines_end_where_the_screen_does) {
  for (const Command& command : catalogue.commands) {
    std::istringstream lines(text(command.words));
    for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80U) << line;
  }
}

TEST_F(HelpTest, a_word_that_no_command_has_is_pointed_to) {
  EXPECT_THAT(text({"user"}), ::testing::AllOf(HasSubstr("A user: the prefix"), HasSubstr("delete user"),
                                               HasSubstr("--user PREFIX")));
  EXPECT_THAT(text({"lifetime"}), HasSubstr("Expires in"));
  EXPECT_EQ(text({"list", "mpa"}), "1: there is no help on 'list mpa': did you mean 'map'?");
  EXPECT_THAT(text({"frobnicate"}), HasSubstr("0: there is no help on 'frobnicate'"));
  EXPECT_THAT(text({"list", "map", "more"}), HasSubstr("2: there is no help on 'list map more'"));
}

TEST_F(HelpTest, as_json_names_what_the_api_does) {
  const std::vector<std::string> words{"list", "map"};
  EXPECT_THAT(*help_as_json(catalogue, words),
              HasSubstr(R"({"name":"internal-src-address","option":"--user","type":"prefix")"));
}

TEST_F(HelpTest, of_the_program_names_commands_and_options) {
  const std::string all = program_help(catalogue, 80);
  for (const Command& command : catalogue.commands) EXPECT_THAT(all, HasSubstr("  " + command.name() + " "));
  for (const Parameter& option : common_options(true)) EXPECT_THAT(all, HasSubstr("--" + option.option));
}

}  // namespace
}  // namespace portolan::ctl
