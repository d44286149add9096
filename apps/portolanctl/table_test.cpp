// SPDX-License-Identifier: BSD-2-Clause
#include "portolanctl/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/terminal/terminal.h"

namespace portolan::ctl {
namespace {

using management::Column;
using management::Type;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

auto column(const char* name, Type type, const char* title, bool is_listed = true) -> Column {
  Column made;
  made.name = name;
  made.type = type;
  made.title = title;
  made.is_listed = is_listed;
  return made;
}

auto columns() -> const std::vector<Column>& {
  static const std::vector<Column> made{
      column("host", Type::address, "Host"), column("port", Type::port, "Internal port"),
      column("hidden", Type::text, "Hidden", false), column("description", Type::text, "Description")};
  return made;
}

auto row(std::string_view json) -> Row { return read_row(json).value(); }

auto texts(const std::vector<ShownLine>& lines) -> std::vector<std::string> {
  std::vector<std::string> made;
  made.reserve(lines.size());
  for (const ShownLine& line : lines) made.push_back(line.text);
  return made;
}

TEST(Table, columns_are_as_wide_as_titles_and_the_first_rows) {
  Table table(columns(), 100, 0);
  EXPECT_TRUE(table.add(row(R"({"host":"192.0.2.1","port":80,"description":"web","hidden":"x"})")).empty());
  EXPECT_TRUE(table.add(row(R"({"host":"192.0.2.100","port":8080})")).empty());
  const auto lines = table.finish();
  EXPECT_THAT(texts(lines), ElementsAre("             Internal", "Host             port  Description",
                                        "192.0.2.1          80  web", "192.0.2.100      8080  -"));
  EXPECT_EQ(lines[1].style, Style::heading);
  EXPECT_EQ(lines[2].style, Style::plain);
}

TEST(Table, rows_are_held_back_up_to_the_limit_only) {
  Table table(columns(), 3, 0);
  const Row one = row(R"({"host":"192.0.2.1","port":1})");
  EXPECT_TRUE(table.add(one).empty());
  EXPECT_TRUE(table.add(one).empty());
  EXPECT_EQ(table.add(one).size(), 5U);
  EXPECT_EQ(table.add(one).size(), 1U);
  EXPECT_TRUE(table.finish().empty());
}

TEST(Table, a_longer_value_widens_its_column_from_there_on) {
  Table table(columns(), 1, 0);
  static_cast<void>(table.add(row(R"({"host":"192.0.2.1","port":1})")));
  const std::string wide = table.add(row(R"({"host":"2001:db8:112::7","port":1})")).front().text;
  const std::string after = table.add(row(R"({"host":"192.0.2.1","port":1})")).front().text;
  EXPECT_EQ(wide.find(" 1"), after.find(" 1"));
  EXPECT_THAT(after, HasSubstr("192.0.2.1               1  -"));
}

TEST(Table, events_are_shown_at_once) {
  Table table({column("event", Type::choice, "Event")}, 0, 0);
  EXPECT_EQ(table.add(row(R"({"event":"mapping-created"})")).size(), 2U);
  EXPECT_EQ(table.add(row(R"({"event":"mapping-deleted"})")).front().style, Style::removed);
}

TEST(Table, no_rows_are_no_heading) { EXPECT_TRUE(Table(columns(), 100, 0).finish().empty()); }

TEST(Table, hostile_octets_are_escaped_and_wide_ones_aligned) {
  io::use_utf8();
  Table table({column("description", Type::text, "Description"), column("port", Type::port, "Port")}, 100, 0);
  static_cast<void>(table.add(row(R"({"description":"\u001b[2J\u009b","port":1})")));
  static_cast<void>(table.add(row(R"({"description":"摄像","port":2})")));
  EXPECT_THAT(texts(table.finish()),
              ElementsAre("Description      Port", "\\x1b[2J\\xc2\\x9b     1", "摄像                2"));
}

TEST(Table, columns_that_a_narrow_screen_has_no_room_for_go_on_below) {
  const Row one = row(R"({"host":"192.0.2.1","port":80,"description":"web"})");
  Table enough(columns(), 100, 32);
  static_cast<void>(enough.add(one));
  EXPECT_THAT(texts(enough.finish()), ElementsAre("           Internal", "Host           port  Description",
                                                  "192.0.2.1        80  web"));
  Table narrow(columns(), 100, 31);
  static_cast<void>(narrow.add(one));
  EXPECT_THAT(texts(narrow.finish()), ElementsAre("           Internal", "Host           port",
                                                  "    Description", "192.0.2.1        80", "    web"));
  EXPECT_THAT(texts(narrow.add(one)), ElementsAre("192.0.2.1        80", "    web"));
  EXPECT_THAT(texts(narrow.add(row(R"({"host":"192.0.2.1","port":80})"))),
              ElementsAre("192.0.2.1        80"));
  Table tiny(columns(), 100, 1);
  static_cast<void>(tiny.add(one));
  EXPECT_THAT(texts(tiny.finish()), ElementsAre("Host", "    Internal", "        port", "    Description",
                                                "192.0.2.1", "          80", "    web"));
}

TEST(Table, a_screen_shows_the_beginning_of_long_texts) {
  io::use_utf8();
  const auto shown = [](const std::string& text, std::size_t screen_columns) {
    Table table({column("description", Type::text, "Description")}, 100, screen_columns);
    static_cast<void>(table.add({.members = {{"description", text}}}));
    return texts(table.finish()).back();
  };
  const std::string longest(Table::text_columns_max, 'x');
  EXPECT_EQ(shown(longest, 80), longest);
  EXPECT_EQ(shown(longest + "y", 80), std::string(Table::text_columns_max - 3, 'x') + "...");
  EXPECT_EQ(shown(longest + "y", 0), longest + "y");
  std::string wide;
  for (std::size_t i = 0; i < Table::text_columns_max / 2; ++i) wide += "摄";
  EXPECT_EQ(shown(wide, 80), wide);
  EXPECT_EQ(shown(wide + "x", 80), wide.substr(0, wide.size() - std::string("摄摄").size()) + "...");
}

TEST(ShownValue, is_for_people) {
  EXPECT_EQ(shown_value(Type::seconds, "0"), "0s");
  EXPECT_EQ(shown_value(Type::seconds, "2474"), "41m14s");
  EXPECT_EQ(shown_value(Type::seconds, "86400"), "1d");
  EXPECT_EQ(shown_value(Type::seconds, "90061"), "1d1h1m1s");
  EXPECT_EQ(shown_value(Type::seconds, "-1"), "-1");
  EXPECT_EQ(shown_value(Type::flag, "true"), "yes");
  EXPECT_EQ(shown_value(Type::flag, "false"), "no");
  EXPECT_EQ(shown_value(Type::text, "a\nb"), "a\\x0ab");
}

TEST(ObjectLines, name_what_is_there_known_or_not) {
  EXPECT_THAT(
      texts(object_lines(columns(), row(R"({"new\u001b":"x","port":80,"hidden":"y","description":null})"))),
      ElementsAre("Internal port  80", "Hidden         y", "new\\x1b        x"));
  EXPECT_THAT(texts(object_lines(columns(), row(R"({"description":[]})"))), ElementsAre("Description  -"));
}

}  // namespace
}  // namespace portolan::ctl
