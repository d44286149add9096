// SPDX-License-Identifier: BSD-2-Clause
#include "control/management/target.h"

#include <gtest/gtest.h>

namespace portolan::management {
namespace {

using Query = std::vector<std::pair<std::string, std::string>>;

TEST(Target, is_a_path_and_a_query) {
  EXPECT_EQ(parse_target("/v1/users")->path, "/v1/users");
  EXPECT_TRUE(parse_target("/v1/users")->query.empty());
  EXPECT_TRUE(parse_target("/v1/users?")->query.empty());
  EXPECT_EQ(parse_target("/a?b=c&d=e")->query, (Query{{"b", "c"}, {"d", "e"}}));
  EXPECT_EQ(parse_target("/a?&b&=c&")->query, (Query{{"b", ""}, {"", "c"}}));
  EXPECT_EQ(parse_target("/a?b=2001%3adb8%3A%3A%2F32+x=y?z")->query, (Query{{"b", "2001:db8::/32 x=y?z"}}));
  EXPECT_EQ(parse_target("/a?%62=%00")->query, (Query{{"b", std::string(1, '\0')}}));
}

TEST(Target, other_forms_are_refused) {
  for (const char* text :
       {"", "*", "http://a/b", "a", "/a%2f", "/a#b", "/a?b=%", "/a?b=%4", "/a?b=%4g", "/a?%zz"})
    EXPECT_FALSE(parse_target(text).has_value()) << text;
}

TEST(Target, a_query_has_a_limit) {
  std::string text = "/a?x";
  for (std::size_t i = 1; i < query_members_max; ++i) text += "&x";
  EXPECT_EQ(parse_target(text)->query.size(), query_members_max);
  EXPECT_FALSE(parse_target(text + "&x").has_value());
}

}  // namespace
}  // namespace portolan::management
