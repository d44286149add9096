// SPDX-License-Identifier: BSD-2-Clause
#include "gateway/advertisement_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gateway/advertisement.h"

namespace portolan::gateway {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Read {
  AdvertisementSettings settings;
  std::vector<std::string> errors;
};

auto read(const std::string& text) -> Read {
  const auto root = parse_toml("[router_advertisement]\n" + text, "test.toml");
  if (!root) return {.settings = {}, .errors = root.error()};
  Reader reader("test.toml");
  Read result;
  result.settings = read_advertisement(reader, *root).value();
  result.errors = reader.take_errors();
  return result;
}

auto alone(const std::string& text) -> Read {
  return read("mode = \"alone\"\ninterfaces = [\"lan0\"]\n" + text);
}
auto whole(const std::string& text) -> Read {
  return read("mode = \"whole\"\ninterfaces = [\"lan0\"]\n" + text);
}

TEST(AdvertisementReader, no_section_is_no_advertisement) {
  Reader reader("test.toml");
  EXPECT_FALSE(read_advertisement(reader, toml::table{}));
  EXPECT_THAT(reader.take_errors(), IsEmpty());
}

TEST(AdvertisementReader, mode_and_interfaces_are_enough) {
  const Read least = alone("");
  EXPECT_THAT(least.errors, IsEmpty());
  EXPECT_EQ(least.settings.mode, AdvertisementMode::alone);
  EXPECT_THAT(least.settings.interfaces, ElementsAre("lan0"));
  EXPECT_EQ(least.settings.intervals.most, Seconds{600});
  EXPECT_EQ(least.settings.intervals.least, Seconds{200});
  EXPECT_EQ(least.settings.lifetime, Seconds{1800});
  EXPECT_FALSE(least.settings.source);
}

TEST(AdvertisementReader, everything_can_be_said) {
  const Read all = whole(R"(max_interval = 60
min_interval = 45
lifetime = 65528
managed = true
other_config = true
router_lifetime = 9000
hop_limit = 32
mtu = 1400
prefixes = ["2001:db8:1::/64"]
valid_lifetime = 7200
preferred_lifetime = 3600
dns = ["2001:db8:1::1"]
)");
  EXPECT_THAT(all.errors, IsEmpty());
  EXPECT_EQ(all.settings.intervals, (AdvertisementSchedule::Intervals{Seconds{45}, Seconds{60}}));
  EXPECT_EQ(all.settings.lifetime, pref64_lifetime_max);
  EXPECT_TRUE(all.settings.is_managed);
  EXPECT_TRUE(all.settings.has_other_config);
  EXPECT_EQ(all.settings.router_lifetime, Seconds{9000});
  EXPECT_EQ(all.settings.hop_limit, 32);
  EXPECT_EQ(all.settings.mtu, 1400U);
  EXPECT_THAT(all.settings.prefixes, ElementsAre(Prefix::parse("2001:db8:1::/64").value()));
  EXPECT_EQ(all.settings.valid_lifetime, Seconds{7200});
  EXPECT_EQ(all.settings.preferred_lifetime, Seconds{3600});
  EXPECT_THAT(all.settings.dns_servers, ElementsAre(IpAddress::parse("2001:db8:1::1").value()));
}

TEST(AdvertisementReader, short_intervals_have_short_lifetimes) {
  const Read quick = whole("max_interval = 4");
  EXPECT_THAT(quick.errors, IsEmpty());
  EXPECT_EQ(quick.settings.intervals.least, Seconds{3});
  EXPECT_EQ(quick.settings.lifetime, Seconds{12});
  EXPECT_EQ(quick.settings.router_lifetime, Seconds{12});
}

TEST(AdvertisementReader, a_router_lifetime_of_0_is_refused_with_the_reason) {
  EXPECT_THAT(
      whole("router_lifetime = 0").errors,
      ElementsAre(AllOf(HasSubstr("test.toml:4: router_advertisement.router_lifetime = 0: must be a number "
                                  "from 600 to 9000"),
                        HasSubstr("would take the default route from all hosts"))));
}

TEST(AdvertisementReader, what_the_mode_never_sends_is_refused) {
  for (const char* line :
       {"router_lifetime = 1800", "hop_limit = 64", "mtu = 1500", "dns = [\"2001:db8::1\"]",
        "prefixes = [\"2001:db8:1::/64\"]", "valid_lifetime = 1", "preferred_lifetime = 1"})
    EXPECT_THAT(alone(line).errors, ElementsAre(HasSubstr("is for mode = \"whole\""))) << line;
  EXPECT_THAT(whole("source = \"fe80::1\"").errors, ElementsAre(HasSubstr("is for mode = \"alone\"")));
}

TEST(AdvertisementReader, numbers_out_of_their_range_are_refused) {
  for (const char* line :
       {"max_interval = 3", "max_interval = 1801", "min_interval = 2", "min_interval = 451", "lifetime = 599",
        "lifetime = 65529", "router_lifetime = 599", "router_lifetime = 9001", "hop_limit = 0",
        "hop_limit = 256", "mtu = 1279", "mtu = 65536", "valid_lifetime = 0", "valid_lifetime = 4294967296",
        "preferred_lifetime = 2592001", "preferred_lifetime = -1"})
    EXPECT_THAT(whole(line).errors, ElementsAre(HasSubstr("must be a number from"))) << line;
  for (const char* line :
       {"max_interval = 4", "max_interval = 1800", "min_interval = 3", "min_interval = 450", "lifetime = 600",
        "valid_lifetime = 4294967295", "preferred_lifetime = 2592000"})
    EXPECT_THAT(whole(line).errors, IsEmpty()) << line;
}

TEST(AdvertisementReader, other_mistakes_are_named) {
  EXPECT_THAT(read("interfaces = [\"lan0\"]").errors,
              ElementsAre(HasSubstr("router_advertisement.mode is missing")));
  EXPECT_THAT(read("mode = \"all\"\ninterfaces = [\"lan0\"]").errors,
              ElementsAre(HasSubstr("must be \"alone\" or")));
  EXPECT_THAT(read("mode = \"alone\"").errors,
              ElementsAre(HasSubstr("router_advertisement.interfaces is missing")));
  EXPECT_THAT(read("mode = \"alone\"\ninterfaces = [\"a b\", \"lan0\", \"lan0\"]").errors,
              ElementsAre(HasSubstr("is no interface name"), HasSubstr("is named twice")));
  EXPECT_THAT(alone("source = \"2001:db8::1\"").errors,
              ElementsAre(HasSubstr("must be a link-local address")));
  EXPECT_THAT(alone("source = \"nonsense\"").errors, ElementsAre(HasSubstr("must be a link-local address")));
  EXPECT_THAT(alone("interval = 3").errors,
              ElementsAre(HasSubstr("unknown key router_advertisement.interval")));
  for (const char* wrong : {"2001:db8:1::/48", "192.0.2.0/24", "fe80::/64", "lan0"})
    EXPECT_THAT(whole(fmt::format("prefixes = [\"{}\"]", wrong)).errors,
                ElementsAre(HasSubstr("must be an IPv6 prefix of 64 bits")));
  EXPECT_THAT(whole("dns = [\"192.0.2.1\"]").errors, ElementsAre(HasSubstr("is no IPv6 address")));
}

TEST(AdvertisementReader, lists_have_their_limits) {
  const auto with = [](std::string_view key, std::string_view each, std::size_t count) {
    std::string text;
    for (std::size_t i = 0; i < count; ++i) text += fmt::format(fmt::runtime(each), i + 1);
    return whole(fmt::format("{} = [{}]", key, text)).errors;
  };
  constexpr std::string_view prefix = "\"2001:db8:{:x}::/64\", ";
  EXPECT_THAT(with("prefixes", prefix, advertised_prefixes_max), IsEmpty());
  EXPECT_THAT(with("prefixes", prefix, advertised_prefixes_max + 1),
              ElementsAre(HasSubstr("has more than 16")));
  constexpr std::string_view server = "\"2001:db8::{:x}\", ";
  EXPECT_THAT(with("dns", server, advertised_servers_max), IsEmpty());
  EXPECT_THAT(with("dns", server, advertised_servers_max + 1), ElementsAre(HasSubstr("has more than 8")));
}

}  // namespace
}  // namespace portolan::gateway
