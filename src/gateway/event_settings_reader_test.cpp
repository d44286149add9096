// SPDX-License-Identifier: BSD-2-Clause
#include "gateway/event_settings_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace portolan::gateway {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

struct Read {
  EventSettings settings;
  std::vector<std::string> errors;
};

auto read(const std::string& nat64) -> Read {
  const auto root = parse_toml("[nat64]\n" + nat64, "test.toml");
  if (!root) return {.settings = {}, .errors = root.error()};
  Read result;
  Reader reader("test.toml");
  read_events(reader, *root->get_as<toml::table>("nat64"), result.settings);
  result.errors = reader.take_errors();
  return result;
}

auto with_rules(std::size_t count) -> std::string {
  std::string text;
  for (std::size_t i = 0; i < count; ++i)
    text += fmt::format("[[nat64.events_of]]\nprefix = \"2001:db8:{:x}::/48\"\nevents = \"blocks\"\n", i);
  return text;
}

TEST(EventSettings, nothing_is_logged_unless_asked_for) {
  const Read none = read("");
  EXPECT_THAT(none.errors, SizeIs(0));
  EXPECT_FALSE(none.settings.is_on());
  EXPECT_FALSE(none.settings.rules.tells_destinations);
}

TEST(EventSettings, are_read_for_all_and_for_some) {
  const Read some = read(R"(events = "blocks"
event_log = "/var/log/portolan/nat64-events"
event_destinations = true
[[nat64.events_of]]
prefix = "2001:db8:112::/64"
events = "sessions"
[[nat64.events_of]]
prefix = "2001:db8:113::/64"
events = "none"
)");
  EXPECT_THAT(some.errors, SizeIs(0));
  EXPECT_TRUE(some.settings.is_on());
  EXPECT_EQ(some.settings.path, "/var/log/portolan/nat64-events");
  EXPECT_TRUE(some.settings.rules.tells_destinations);
  EXPECT_EQ(some.settings.rules.everybody, nat::EventLevel::blocks);
  EXPECT_THAT(some.settings.rules.of,
              ElementsAre(nat::EventRule{*Prefix::parse("2001:db8:112::/64"), nat::EventLevel::sessions},
                          nat::EventRule{*Prefix::parse("2001:db8:113::/64"), nat::EventLevel::none}));
  EXPECT_TRUE(read("event_log = \"stdout\"").settings.path.empty());
}

TEST(EventSettings, mistakes_are_named_with_a_remedy) {
  EXPECT_THAT(
      read("events = \"all\"").errors,
      ElementsAre(AllOf(HasSubstr("test.toml:2: nat64.events = \"all\""), HasSubstr("\"bindings\""))));
  EXPECT_THAT(read("event_log = \"events\"").errors, ElementsAre(HasSubstr("the absolute path of a file")));
  EXPECT_THAT(read("event_log = \"/var/log/\"").errors,
              ElementsAre(HasSubstr("the absolute path of a file")));
  EXPECT_THAT(read("[[nat64.events_of]]").errors,
              ElementsAre(HasSubstr("nat64.events_of.events is missing"),
                          HasSubstr("nat64.events_of.prefix is missing")));
  EXPECT_THAT(read("[[nat64.events_of]]\nprefix = \"192.0.2.0/24\"\nevents = \"none\"").errors,
              ElementsAre(HasSubstr("is no IPv6 prefix")));
  EXPECT_THAT(read(with_rules(1) + with_rules(1)).errors, ElementsAre(HasSubstr("is there twice")));
}

TEST(EventSettings, there_are_as_many_rules_as_their_limit_says) {
  constexpr std::size_t limit = nat::EventRules::rules_max;
  EXPECT_THAT(read(with_rules(limit - 1)).errors, SizeIs(0));
  EXPECT_THAT(read(with_rules(limit)).errors, SizeIs(0));
  EXPECT_THAT(read(with_rules(limit + 1)).errors, ElementsAre(HasSubstr("must be 1 to 1024 tables")));
}

}  // namespace
}  // namespace portolan::gateway
