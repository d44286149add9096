// SPDX-License-Identifier: BSD-2-Clause
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "gateway/nat64_settings.h"
#include "portoland/config.h"

namespace portolan::portoland {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// A configuration with `own` as its last table; it begins in line 9.
auto with(std::string_view own, std::string_view more = "") -> std::string {
  return fmt::format(R"(device = "nat64"
store = "memory"
[[inside]]
interface = "phone0"
[nat64]
prefix = "2001:db8:64:ff9b::/96"
tun = "nat64"
{}
[nat64.own_address]
{}
)",
                     more, own);
}
auto errors_of(const std::string& text, const Settings* running = nullptr) -> std::vector<std::string> {
  const auto settings = parse_settings(text, "test.toml", running);
  return settings ? std::vector<std::string>{} : settings.error();
}
constexpr std::string_view good = "interface = \"wan0\"\nports = [40960, 65535]\n";

TEST(OwnAddressSettings, are_an_interface_and_ports_of_its_address) {
  const auto settings = parse_settings(with(std::string(good) + "weight = 3\n"), "test.toml");
  ASSERT_TRUE(settings) << settings.error().front();
  const gateway::OwnAddressSettings wanted{
      .interface = "wan0", .ports = {.first = Port{40960}, .last = Port{65535}}, .weight = 3};
  EXPECT_EQ(settings->nat64.own_address, wanted);
  EXPECT_THAT(settings->nat64.pool, IsEmpty());
}

TEST(OwnAddressSettings, name_what_is_wrong_with_its_remedy) {
  for (const auto& [own, problem] : std::vector<std::pair<const char*, const char*>>{
           {"ports = [40960, 65535]", "test.toml:9: nat64.own_address.interface is missing: write interface"},
           {"interface = \"wan0\"", "test.toml:9: nat64.own_address.ports is missing: write ports = "},
           {"interface = \"a/b\"\nports = [40960, 65535]", "is no interface name"},
           {"interface = \"nat64\"\nports = [40960, 65535]",
            "test.toml:10: nat64.own_address.interface = \"nat64\": is the NAT64's own"},
           {"interface = \"wan0\"\nports = 40960", "must be the first and the last port"},
           {"interface = \"wan0\"\nports = [40961, 40960]", "must be the first and the last port"},
           {"interface = \"wan0\"\nports = [40960, 65536]", "must be the first and the last port"},
           {"interface = \"wan0\"\nports = [1023, 65535]",
            "test.toml:11: nat64.own_address.ports = [ 1023, 65535 ]: begins below 1024"},
           {"interface = \"wan0\"\nports = [40960, 65535]\nweight = 0", "1 to 1000"},
           {"interface = \"wan0\"\nports = [40960, 65535]\nweight = 1001", "1 to 1000"},
           {"interface = \"wan0\"\nports = [40960, 65535]\nport = 1", "unknown key nat64.own_address.port"}})
    EXPECT_THAT(errors_of(with(own)), ElementsAre(HasSubstr(problem))) << own;
  EXPECT_THAT(errors_of(with("interface = \"wan0\"\nports = [1024, 1024]")), IsEmpty());
  EXPECT_THAT(errors_of(R"(device = "nat64"
store = "memory"
[[inside]]
interface = "phone0"
[nat64]
prefix = "2001:db8:64:ff9b::/96"
own_address = "wan0"
)"),
              ElementsAre(HasSubstr("test.toml:7: nat64.own_address = \"wan0\": must be a table")));
}

TEST(OwnAddressSettings, or_a_pool_there_must_be) {
  EXPECT_THAT(errors_of(R"(device = "nat64"
store = "memory"
[[inside]]
interface = "phone0"
[nat64]
prefix = "2001:db8:64:ff9b::/96"
)"),
              ElementsAre(AllOf(HasSubstr("test.toml:5: nat64.pool is missing: write pool = "),
                                HasSubstr("or [nat64.own_address]"))));
}

TEST(OwnAddressSettings, count_as_an_address_of_the_pool) {
  EXPECT_THAT(errors_of(with(good, "pool = [\"10.0.0.0/17\"]")),
              ElementsAre(AllOf(HasSubstr("makes a pool of 32769 addresses"), HasSubstr("take one from"))));
  EXPECT_THAT(errors_of(with(good, "pool = [\"10.0.0.0-10.0.127.254\"]")), IsEmpty());
}

TEST(OwnAddressSettings, change_by_a_restart_only) {
  const auto running = parse_settings(with(good), "test.toml");
  ASSERT_TRUE(running);
  EXPECT_THAT(errors_of(with(good, "pool = [\"192.0.2.14\"]"), &*running), IsEmpty());
  for (const char* other :
       {"interface = \"wan1\"\nports = [40960, 65535]", "interface = \"wan0\"\nports = [40961, 65535]",
        "interface = \"wan0\"\nports = [40960, 65535]\nweight = 2"})
    EXPECT_THAT(errors_of(with(other), &*running), ElementsAre(HasSubstr("restart"))) << other;
}

TEST(OwnAddressSettings, put_the_address_into_the_pool_once) {
  const auto settings = parse_settings(with(good, "pool = [\"192.0.2.14\"]"), "test.toml");
  ASSERT_TRUE(settings);
  const nat::PoolRange given{Ipv4Address{0xc000020e}};
  nat::PoolRange own{Ipv4Address{0xc0000201}};
  own.ports = {.first = Port{40960}, .last = Port{65535}};
  own.is_shared = true;
  EXPECT_THAT(gateway::pool_with(settings->nat64, std::nullopt), ElementsAre(given));
  EXPECT_THAT(gateway::pool_with(settings->nat64, Ipv4Address{0xc0000201}), ElementsAre(given, own));
  EXPECT_THAT(gateway::pool_with(settings->nat64, Ipv4Address{0xc000020e}), ElementsAre(given));
}

}  // namespace
}  // namespace portolan::portoland
