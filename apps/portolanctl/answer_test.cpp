// SPDX-License-Identifier: BSD-2-Clause
#include "portolanctl/answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace portolan::ctl {
namespace {

using ::testing::HasSubstr;

TEST(Lines, are_cut_wherever_the_octets_are) {
  Lines lines;
  std::vector<std::string> got;
  for (const char octet : std::string("one\n\ntwo\nthree")) {
    lines.add(std::string(1, octet));
    while (auto line = lines.next()) got.push_back(*line);
  }
  EXPECT_THAT(got, ::testing::ElementsAre("one", "", "two"));
  EXPECT_EQ(lines.rest(), "three");
}

TEST(Lines, have_a_limit) {
  Lines lines;
  lines.add(std::string(Lines::octets_max - 1, 'x'));
  EXPECT_FALSE(lines.is_too_long());
  lines.add("x");
  EXPECT_FALSE(lines.is_too_long());
  lines.add("x");
  EXPECT_TRUE(lines.is_too_long());
}

TEST(ReadRow, makes_texts_of_values) {
  const auto row = read_row(R"({"a":"x","b":3,"c":true,"d":["tcp",1],"e":null,"f":{"g":1}})");
  ASSERT_TRUE(row);
  EXPECT_EQ(*row->find("a"), "x");
  EXPECT_EQ(*row->find("b"), "3");
  EXPECT_EQ(*row->find("c"), "true");
  EXPECT_EQ(*row->find("d"), "tcp, 1");
  EXPECT_EQ(row->find("e"), nullptr);
  EXPECT_EQ(*row->find("f"), R"({"g":1})");
}

TEST(ReadRow, refuses_what_is_no_object) {
  for (const char* json : {"", "{", "[1]", "\"x\"", "{\"a\":\"\xff\"}", "{}x"})
    EXPECT_FALSE(read_row(json)) << json;
  const auto nested = [](std::size_t depth) {
    return "{\"a\":" + std::string(depth, '[') + std::string(depth, ']') + "}";
  };
  EXPECT_TRUE(plain_json(nested(510)));
  EXPECT_TRUE(plain_json(nested(511)));
  EXPECT_FALSE(plain_json(nested(512)));
  EXPECT_FALSE(read_row(nested(300'000)));
}

TEST(PlainJson, is_ascii_on_one_line) {
  EXPECT_EQ(plain_json("{\n \"a\": \"\\u001b\xc2\x9b\x7f\xc3\xa9\"\n}"),
            R"({"a":"\u001b\u009b\u007f\u00e9"})");
  EXPECT_FALSE(plain_json("no"));
}

TEST(RefusalText, is_what_the_server_says_and_a_remedy) {
  EXPECT_EQ(refusal_text(409, R"({"error":{"code":"exists","message":"it is there","remedy":"change it"}})"),
            "it is there: change it");
  EXPECT_THAT(refusal_text(401, R"({"error":{"code":"no-token","message":"no token"}})"),
              HasSubstr("no token\nThe token is in"));
  for (const char* body : {"<html>", "", "{}", R"({"error":3})", R"({"error":{}})"})
    EXPECT_THAT(refusal_text(500, body), HasSubstr("HTTP status 500")) << body;
}

}  // namespace
}  // namespace portolan::ctl
