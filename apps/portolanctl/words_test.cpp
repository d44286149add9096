// SPDX-License-Identifier: BSD-2-Clause
#include "portolanctl/words.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/terminal/terminal.h"

namespace portolan::ctl {
namespace {

using ::testing::ElementsAre;

auto texts(std::string_view line) -> std::vector<std::string> {
  std::vector<std::string> made;
  for (const Word& word : split(line).words) made.push_back(word.text);
  return made;
}

TEST(Words, are_separated_by_spaces) {
  EXPECT_THAT(texts("  list\tmap  --user x "), ElementsAre("list", "map", "--user", "x"));
  EXPECT_THAT(texts(""), ElementsAre());
  EXPECT_THAT(texts("list # and more"), ElementsAre("list"));
  EXPECT_THAT(texts("a#b"), ElementsAre("a#b"));
}

TEST(Words, quotes_and_backslashes_keep_spaces) {
  EXPECT_THAT(texts(R"(--description "web server" 'it is' a\ b)"),
              ElementsAre("--description", "web server", "it is", "a b"));
  EXPECT_THAT(texts(R"("a \"quote\"" 'no \escape' "")"), ElementsAre("a \"quote\"", "no \\escape", ""));
  EXPECT_THAT(texts(R"(--a="b c"d)"), ElementsAre("--a=b cd"));
}

TEST(Words, an_open_end_is_told) {
  for (const char* line : {"a \"b", "a 'b c", "a \\"}) EXPECT_TRUE(split(line).is_open) << line;
  for (const char* line : {"a \"b\"", "a 'b' c", "a \\\\", ""}) EXPECT_FALSE(split(line).is_open) << line;
}

TEST(Words, know_where_they_are) {
  const Words words = split(" list \"my map\"");
  ASSERT_EQ(words.words.size(), 2U);
  EXPECT_EQ(words.words[1].begin, 6U);
  EXPECT_EQ(words.words[1].end, 14U);
}

TEST(Words, what_is_quoted_is_read_back) {
  for (const std::string text :
       {"plain", "", "two words", "a\"b", "back\\slash", "it's", "#1", "\xc3\xa9 \xff", "a\tb"})
    EXPECT_THAT(texts(as_word(text)), ElementsAre(text)) << as_word(text);
  EXPECT_EQ(as_word("2001:db8::/64"), "2001:db8::/64");
}

TEST(Words, a_mistake_points_at_its_word) {
  const std::string_view line = "list mpa";
  const Words words = split(line);
  EXPECT_EQ(pointed_out(line, words.words, {.word = 1, .text = "no"}), "  list mpa\n       ^^^\n");
  EXPECT_EQ(pointed_out(line, words.words, {.word = 2, .text = "more"}), "  list mpa\n           ^\n");
}

TEST(Words, a_mistake_points_behind_wide_and_hostile_characters) {
  io::use_utf8();
  const std::string_view wide = "\xe6\xbc\xa2 x";
  EXPECT_EQ(pointed_out(wide, split(wide).words, {.word = 1, .text = "no"}), "  \xe6\xbc\xa2 x\n     ^\n");
  const std::string_view hostile = "\x1b[2J x";
  EXPECT_EQ(pointed_out(hostile, split(hostile).words, {.word = 1, .text = "no"}),
            "  \\x1b[2J x\n          ^\n");
}

TEST(Words, of_a_command_line_point_into_it) {
  std::string line;
  const std::vector<std::string> given{"add", "map", "web server", "x"};
  const auto words = joined(given, line);
  EXPECT_EQ(line, "add map \"web server\" x");
  EXPECT_EQ(words[3].begin, 21U);
  EXPECT_EQ(words[2].text, "web server");
}

}  // namespace
}  // namespace portolan::ctl
