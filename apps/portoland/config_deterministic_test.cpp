// SPDX-License-Identifier: BSD-2-Clause
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "portoland/config.h"

namespace portolan::portoland {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// A configuration with `plan` as its last table; it begins in line 9.
auto with(std::string_view plan, std::string_view more = "pool = [\"192.0.2.14\"]") -> std::string {
  return fmt::format(R"(device = "nat64"
store = "memory"
[[inside]]
interface = "phone0"
[nat64]
prefix = "2001:db8:64:ff9b::/96"
tun = "nat64"
{}
[nat64.deterministic]
{}
)",
                     more, plan);
}
auto errors_of(const std::string& text, const Settings* running = nullptr) -> std::vector<std::string> {
  const auto settings = parse_settings(text, "test.toml", running);
  return settings ? std::vector<std::string>{} : settings.error();
}
constexpr std::string_view good = "inside = \"2001:db8:112::/60\"\ndynamic_factor = 2\nfirst_port = 2048";

TEST(DeterministicSettings, are_read_and_mean_a_plan) {
  const auto settings = parse_settings(with(good), "test.toml");
  ASSERT_TRUE(settings) << settings.error().front();
  EXPECT_EQ(settings->nat64.deterministic, (nat::Deterministic{.inside = *Prefix::parse("2001:db8:112::/60"),
                                                               .dynamic_factor = 2,
                                                               .first_port = Port{2048}}));
  EXPECT_EQ(gateway::nat64_config(settings->nat64).deterministic, settings->nat64.deterministic);
}

TEST(DeterministicSettings, mistakes_name_what_would_be_right) {
  EXPECT_THAT(errors_of(with("")), ElementsAre(HasSubstr("nat64.deterministic.inside is missing")));
  EXPECT_THAT(
      errors_of(with("inside = \"192.0.2.0/24\"")),
      ElementsAre(AllOf(HasSubstr("test.toml:10: nat64.deterministic.inside"), HasSubstr("IPv6 prefix"))));
  const auto errors_with = [](std::string_view line) {
    return errors_of(with(fmt::format("inside = \"2001:db8:112::/60\"\n{}", line)));
  };
  EXPECT_THAT(errors_with("dynamic_factor = 1001"), ElementsAre(HasSubstr("from 0 to 1000")));
  EXPECT_THAT(errors_with("dynamic_factor = 991"), IsEmpty()) << "64 ports for each";
  EXPECT_THAT(errors_with("dynamic_factor = 993"), ElementsAre(HasSubstr("less than 64")));
  EXPECT_THAT(errors_with("first_port = 1023"), ElementsAre(HasSubstr("from 1024 to 65535")));
  EXPECT_THAT(errors_with("first_port = 65535"), ElementsAre(HasSubstr("less than 64")));
  EXPECT_THAT(errors_with("algorithm = 1"),
              ElementsAre(HasSubstr("unknown key nat64.deterministic.algorithm")));
  EXPECT_THAT(errors_of(with("inside = \"2001:db8:112::/66\"")), ElementsAre(HasSubstr("at most 64 bits")));
  EXPECT_THAT(errors_of(with(good, "pool = [{addresses = \"192.0.2.14\", weight = 2}]")),
              ElementsAre(HasSubstr("must not have a weight")));
  EXPECT_THAT(errors_of(with(good,
                             "pool = [\"192.0.2.14\"]\n"
                             "own_address = {interface = \"wan0\", ports = [40960, 65535]}")),
              ElementsAre(HasSubstr("exclude each other")));
}

TEST(DeterministicSettings, only_a_restart_changes_the_plan_or_its_pool) {
  const Settings running = *parse_settings(with(good), "test.toml");
  EXPECT_THAT(errors_of(with(good), &running), IsEmpty());
  EXPECT_THAT(errors_of(with("inside = \"2001:db8:112::/60\""), &running),
              ElementsAre(AllOf(HasSubstr("nat64.deterministic"), HasSubstr("restart"))));
  EXPECT_THAT(errors_of(with(good, "pool = [\"192.0.2.14\", \"192.0.2.15\"]"), &running),
              ElementsAre(AllOf(HasSubstr("nat64.pool"), HasSubstr("restart"))));
}

}  // namespace
}  // namespace portolan::portoland
