// SPDX-License-Identifier: BSD-2-Clause
//
// Several devices in one configuration, and what the two that work by nftables may say.
#include <gmock/gmock.h>

#include "portoland/config.h"

namespace portolan::portoland {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::string_view router = R"(device = ["nat44", "firewall6", "nat64"]
[[inside]]
interface = "lan0"
subscriber_prefix_length = 128
[nat44]
outside = "wan0"
inside = ["198.51.100.0/24"]
[firewall6]
outside = "wan0"
inside = ["2001:db8:112::/48"]
[nat64]
prefix = "2001:db8:64:ff9b::/96"
pool = ["192.0.2.14"]
)";

auto errors_of(std::string_view text, const Settings* running = nullptr) -> std::vector<std::string> {
  const auto settings = parse_settings(text, "test.toml", running);
  return settings ? std::vector<std::string>{} : settings.error();
}

auto with(std::string_view from, std::string_view to) -> std::string {
  std::string text(router);
  text.replace(text.find(from), from.size(), to);
  return text;
}

/// A line more in table nat44.
auto with_nat44(std::string_view line) -> std::string {
  return with("outside = \"wan0\"\ninside = [\"198",
              std::string(line) + "\noutside = \"wan0\"\ninside = [\"198");
}
auto with_firewall6(std::string_view line) -> std::string {
  return with("[nat64]", std::string(line) + "\n[nat64]");
}

TEST(DeviceSettings, a_home_router_has_three_devices) {
  const auto settings = parse_settings(router, "test.toml");
  ASSERT_TRUE(settings) << settings.error().front();
  EXPECT_THAT(settings->devices, ElementsAre(DeviceKind::nat44, DeviceKind::firewall6, DeviceKind::nat64));
  EXPECT_EQ(settings->nat44.outside, "wan0");
  EXPECT_THAT(settings->nat44.inside, ElementsAre(*Prefix::parse("198.51.100.0/24")));
  EXPECT_THAT(settings->nat44.pool, IsEmpty());
  EXPECT_EQ(settings->nat44.explicit_ports, (PortRange{.first = Port{1024}, .last = Port{32767}}));
  EXPECT_EQ(settings->nat44.implicit_ports, (PortRange{.first = Port{32768}, .last = Port{65535}}));
  EXPECT_TRUE(settings->nat44.drops_unasked);
  EXPECT_FALSE(settings->nat44.stays_at_exit);
  EXPECT_EQ(settings->firewall6.outside, "wan0");
  EXPECT_THAT(settings->firewall6.inside, ElementsAre(*Prefix::parse("2001:db8:112::/48")));
  EXPECT_THAT(settings->server.prefix64, SizeIs(1)) << "told as without the others";
}

TEST(DeviceSettings, the_examples_have_no_mistakes) {
  const auto router_example = load_settings(PORTOLAN_EXAMPLES "/home-router.toml");
  ASSERT_TRUE(router_example) << router_example.error().front();
  EXPECT_THAT(router_example->devices,
              ElementsAre(DeviceKind::nat44, DeviceKind::firewall6, DeviceKind::nat64));
  const auto gateway_example = load_settings(PORTOLAN_EXAMPLES "/portoland.toml");
  ASSERT_TRUE(gateway_example) << gateway_example.error().front();
}

TEST(DeviceSettings, devices_that_cannot_be_together_are_refused) {
  const auto with_devices = [](std::string_view devices) {
    return errors_of(with("[\"nat44\", \"firewall6\", \"nat64\"]", devices));
  };
  EXPECT_THAT(with_devices("[\"nat44\", \"nat44\"]"),
              ElementsAre("test.toml:1: device = \"nat44\": is named twice: remove one"));
  EXPECT_THAT(with_devices("[\"nat64\", \"nat64-remote\"]"),
              Contains(AllOf(HasSubstr("test.toml:1: device = "), HasSubstr("has two NAT64"))));
  EXPECT_THAT(with_devices("[\"simulated\", \"nat44\"]"), Contains(HasSubstr("stands alone")));
  EXPECT_THAT(with_devices("[\"nat46\"]"), Contains(HasSubstr("device = \"nat46\": must be \"nat64\"")));
  EXPECT_THAT(with_devices("[]"), Contains(HasSubstr("or a list of them")));
  EXPECT_THAT(with_devices("[1]"), Contains(HasSubstr("or a list of them")));
  EXPECT_THAT(with_devices("\"firewall6\""), IsEmpty())
      << "one of them, and tables that wait for another day";
}

TEST(DeviceSettings, a_device_needs_its_table) {
  constexpr std::string_view bare = "device = [\"nat44\", \"firewall6\"]\n[[inside]]\ninterface = \"lan0\"\n";
  EXPECT_THAT(errors_of(bare), ElementsAre(HasSubstr("[nat44] is missing: write"),
                                           HasSubstr("[firewall6] is missing: write")));
  EXPECT_THAT(errors_of(std::string(bare) + "[nat44]\n[firewall6]\n"),
              ElementsAre(HasSubstr("test.toml:4: nat44.outside is missing"),
                          HasSubstr("test.toml:4: nat44.inside is missing"),
                          HasSubstr("test.toml:5: firewall6.outside is missing"),
                          HasSubstr("test.toml:5: firewall6.inside is missing")));
}

TEST(DeviceSettings, every_key_of_nat44_is_read) {
  const auto settings = parse_settings(with_nat44(R"(pool = ["192.0.2.16/31", "192.0.2.20"]
explicit_ports = [2000, 2999]
implicit_ports = [3000, 3999]
hold_down = 60
udp_idle = 200
mappings_max = 1000
filters_max = 2000
maps_all_ports = true
drops_unasked = false
at_exit = "keep")"),
                                       "test.toml");
  ASSERT_TRUE(settings) << settings.error().front();
  const device::Nat44Settings& nat44 = settings->nat44;
  EXPECT_THAT(nat44.pool,
              ElementsAre(Ipv4Address{0xc0000210}, Ipv4Address{0xc0000211}, Ipv4Address{0xc0000214}));
  EXPECT_EQ(nat44.explicit_ports, (PortRange{.first = Port{2000}, .last = Port{2999}}));
  EXPECT_EQ(nat44.implicit_ports, (PortRange{.first = Port{3000}, .last = Port{3999}}));
  EXPECT_EQ(nat44.hold_down, Seconds{60});
  EXPECT_EQ(nat44.udp_idle, Seconds{200});
  EXPECT_EQ(nat44.mappings_max, 1000U);
  EXPECT_EQ(nat44.filters_max, 2000U);
  EXPECT_TRUE(nat44.maps_all_ports);
  EXPECT_FALSE(nat44.drops_unasked);
  EXPECT_TRUE(nat44.stays_at_exit);
}

TEST(DeviceSettings, every_key_of_firewall6_is_read) {
  const auto settings = parse_settings(
      with_firewall6(
          "pinholes_max = 1000\nfilters_max = 2000\nmaps_all_ports = false\ndrops_unasked = false\n"
          "mark = 4294967295\nat_exit = \"keep\""),
      "test.toml");
  ASSERT_TRUE(settings) << settings.error().front();
  const device::Firewall6Settings& firewall6 = settings->firewall6;
  EXPECT_EQ(firewall6.pinholes_max, 1000U);
  EXPECT_EQ(firewall6.filters_max, 2000U);
  EXPECT_FALSE(firewall6.maps_all_ports);
  EXPECT_FALSE(firewall6.drops_unasked);
  EXPECT_EQ(firewall6.mark, 0xffffffffU);
  EXPECT_TRUE(firewall6.stays_at_exit);
}

TEST(DeviceSettings, wrong_values_of_nat44_are_named_with_their_line) {
  const std::vector<std::pair<std::string_view, std::string_view>> wrong = {
      {"poll = []", "test.toml:6: unknown key nat44.poll"},
      {"explicit_ports = [0, 1000]", "test.toml:6: nat44.explicit_ports = [ 0, 1000 ]: begins with 0"},
      {"explicit_ports = [2000, 1000]", "must be the first and the last port"},
      {"explicit_ports = \"1024-2000\"", "must be the first and the last port, such as [1024, 65535]"},
      {"explicit_ports = [1024, 40000]",
       "nat44.explicit_ports = [ 1024, 40000 ]: overlaps nat44.implicit_ports = "
       "[32768, 65535]"},
      {"implicit_ports = [20000, 30000]",
       "nat44.implicit_ports = [ 20000, 30000 ]: overlaps nat44.explicit_ports"},
      {"implicit_ports = [1000, 1020]", "begins below 1024"},
      {"hold_down = -1", "must be a number from 0"},
      {"udp_idle = 119", "nat44.udp_idle = 119: must be a number from 120"},
      {"mappings_max = 0", "must be a number from 1"},
      {"filters_max = 16777217", "must be a number from 1 to 16777216"},
      {"maps_all_ports = 1", "must be true or false"},
      {"at_exit = \"leave\"", "nat44.at_exit = \"leave\": must be \"remove\", or \"keep\""},
      {"pool = []", "must be a list of 1 to 256"},
      {"pool = [\"2001:db8::1\"]", "is no IPv4 address or range"},
      {"pool = [\"192.0.2.16\", \"192.0.2.16\"]", "nat44.pool = \"192.0.2.16\": is listed twice"},
      {"pool = [\"203.0.113.0/24\", \"192.0.2.16\"]", "has more than 256 addresses"},
      {"pool = [\"0.0.0.0-255.255.255.255\"]", "has more than 256 addresses"},
      {"pool = [\"198.51.100.7\"]", "has 198.51.100.7, which is in nat44.inside"},
      {"pool = [\"192.0.2.13-192.0.2.14\"]", "has 192.0.2.14, which is in nat64.pool"},
  };
  for (const auto& [line, error] : wrong) {
    const auto errors = errors_of(with_nat44(line));
    EXPECT_THAT(errors, Contains(HasSubstr(error))) << line;
    EXPECT_THAT(errors, Not(Contains(Not(HasSubstr("test.toml:"))))) << line;
  }
  EXPECT_THAT(errors_of(with_nat44("pool = [\"203.0.113.0/24\"]")), IsEmpty()) << "256 are not too many";
  EXPECT_THAT(errors_of(with_nat44("mappings_max = 16777216")), IsEmpty());
}

TEST(DeviceSettings, wrong_values_of_firewall6_are_named_with_their_line) {
  const std::vector<std::pair<std::string_view, std::string_view>> wrong = {
      {"pool = []", "test.toml:11: unknown key firewall6.pool"},
      {"pinholes_max = 0", "test.toml:11: firewall6.pinholes_max = 0: must be a number from 1"},
      {"mark = 4294967296", "must be a number from 0 to 4294967295; 0 sets none"},
      {"mark = -1", "must be a number from 0"},
      {"drops_unasked = false", "leaves it to another firewall"},
      {"at_exit = true", "must be a string"},
  };
  for (const auto& [line, error] : wrong)
    EXPECT_THAT(errors_of(with_firewall6(line)), ElementsAre(HasSubstr(error))) << line;
}

TEST(DeviceSettings, inside_prefixes_are_of_hosts_and_of_the_devices_family) {
  const auto nat44 = [](std::string_view inside) { return errors_of(with("[\"198.51.100.0/24\"]", inside)); };
  EXPECT_THAT(nat44("[\"2001:db8::/32\"]"),
              ElementsAre(AllOf(HasSubstr("test.toml:7: nat44.inside = \"2001:db8::/32\": is no IPv4 prefix"),
                                HasSubstr("\"192.0.2.0/24\""))));
  EXPECT_THAT(nat44("[\"198.51.100.1/24\"]"), ElementsAre(HasSubstr("without bits behind the length")));
  EXPECT_THAT(nat44("[\"0.0.0.0/0\"]"), ElementsAre(HasSubstr("no hosts'")));
  EXPECT_THAT(nat44("[\"169.254.0.0/16\"]"), ElementsAre(HasSubstr("of use beyond a link")));
  EXPECT_THAT(nat44("[\"198.51.100.0/24\", \"198.51.100.64/26\"]"),
              ElementsAre(HasSubstr("overlaps 198.51.100.0/24")));
  EXPECT_THAT(nat44("[\"198.51.100.0/25\", \"198.51.100.128/25\"]"), IsEmpty());
  const auto firewall6 = [](std::string_view inside) {
    return errors_of(with("[\"2001:db8:112::/48\"]", inside));
  };
  EXPECT_THAT(firewall6("[\"198.51.100.0/24\"]"), ElementsAre(HasSubstr("is no IPv6 prefix")));
  EXPECT_THAT(firewall6("[\"::/0\"]"), ElementsAre(HasSubstr("no hosts'")));
  EXPECT_THAT(firewall6("[\"fe80::/10\"]"), ElementsAre(HasSubstr("of use beyond a link")));
  EXPECT_THAT(firewall6("[\"2001:db8::/32\"]"),
              ElementsAre(AllOf(HasSubstr("firewall6.inside"), HasSubstr("overlaps nat64.prefix"))));
  EXPECT_THAT(firewall6("[\"fd00:112::/48\"]"), IsEmpty()) << "unique local addresses reach other sites";
}

TEST(DeviceSettings, an_outside_interface_is_one_and_not_inside) {
  const auto errors = [](std::string_view name) {
    return errors_of(with("outside = \"wan0\"\ninside = [\"198",
                          "outside = \"" + std::string(name) + "\"\ninside = [\"198"));
  };
  EXPECT_THAT(errors("lan0"),
              ElementsAre(HasSubstr("nat44.outside = \"lan0\": is an [[inside]] interface too")));
  EXPECT_THAT(errors("a23456789012345"), IsEmpty());
  EXPECT_THAT(errors("a234567890123456"), ElementsAre(HasSubstr("is no interface name")));
}

TEST(DeviceSettings, one_address_for_nat44_and_nat64_has_ports_for_each) {
  constexpr std::string_view pool = "pool = [\"192.0.2.14\"]";
  constexpr std::string_view own = "[nat64.own_address]\ninterface = \"wan0\"\nports = [40960, 65535]";
  EXPECT_THAT(
      errors_of(with(pool, own)),
      ElementsAre(AllOf(HasSubstr("test.toml:5: nat44.implicit_ports = [32768, 65535] as it is left out"),
                        HasSubstr("overlaps nat64.own_address.ports = [40960, 65535]"))));
  std::string apart = with_nat44("implicit_ports = [32768, 40959]");
  apart.replace(apart.find(pool), pool.size(), own);
  EXPECT_THAT(errors_of(apart), IsEmpty());
}

TEST(DeviceSettings, the_operators_mappings_go_to_the_device_that_can_have_them) {
  const auto mapping = [](std::string_view internal, std::string_view external, int port = 8080) {
    return errors_of(std::string(router) + "[[mapping]]\nprotocol = \"tcp\"\ninternal_address = \"" +
                     std::string(internal) + "\"\ninternal_port = 8080\nexternal_address = \"" +
                     std::string(external) + "\"\nexternal_port = " + std::to_string(port) + "\n");
  };
  EXPECT_THAT(mapping("2001:db8:112::1", "192.0.2.14", 80), IsEmpty()) << "nat64";
  EXPECT_THAT(mapping("2001:db8:112::1", "192.0.2.15"),
              ElementsAre(HasSubstr("is not in the device's pool")));
  EXPECT_THAT(mapping("198.51.100.1", "203.0.113.9"), IsEmpty()) << "nat44, whose address comes and goes";
  EXPECT_THAT(mapping("198.51.100.1", "203.0.113.9", 40000),
              ElementsAre(HasSubstr("is not among nat44.explicit_ports, 1024 to 32767")));
  EXPECT_THAT(mapping("203.0.113.1", "203.0.113.9"),
              ElementsAre(HasSubstr("is in none of the prefixes of nat44.inside")));
  EXPECT_THAT(mapping("2001:db8:112::1", "2001:db8:112::1"), IsEmpty()) << "firewall6";
  EXPECT_THAT(mapping("2001:db8:112::1", "2001:db8:112::2"),
              ElementsAre(HasSubstr("mapping.external_address = \"2001:db8:112::2\": must be "
                                    "mapping.internal_address")));
  EXPECT_THAT(mapping("2001:db8:112::1", "2001:db8:112::1", 80),
              ElementsAre(HasSubstr("must be mapping.internal_port")));
  EXPECT_THAT(mapping("2001:db8:113::1", "2001:db8:113::1"),
              ElementsAre(HasSubstr("is in none of the prefixes of firewall6.inside")));
  EXPECT_THAT(mapping("198.51.100.1", "2001:db8:112::1"),
              ElementsAre(HasSubstr("no device maps the one to")));
}

TEST(DeviceSettings, a_host_may_have_a_mapping_and_a_pinhole_of_one_port) {
  const auto settings = parse_settings(std::string(router) + R"([[mapping]]
protocol = "tcp"
internal_address = "2001:db8:112::1"
internal_port = 8080
external_address = "192.0.2.14"
external_port = 8080
[[mapping]]
protocol = "tcp"
internal_address = "2001:db8:112::1"
internal_port = 8080
external_address = "2001:db8:112::1"
external_port = 8080
)",
                                       "test.toml");
  ASSERT_TRUE(settings) << settings.error().front();
  EXPECT_THAT(settings->server.static_mappings, SizeIs(2));
}

TEST(DeviceSettings, while_it_runs_only_pools_change) {
  const std::string text = with_nat44("pool = [\"192.0.2.16\"]");
  const auto running = parse_settings(text, "test.toml");
  ASSERT_TRUE(running);
  const auto changed = [&](std::string_view from, std::string_view to) {
    std::string wanted = text;
    wanted.replace(wanted.find(from), from.size(), to);
    return errors_of(wanted, &*running);
  };
  EXPECT_THAT(changed("192.0.2.16", "192.0.2.17"), IsEmpty());
  EXPECT_THAT(changed("192.0.2.14", "192.0.2.15"), IsEmpty());
  EXPECT_THAT(changed("pool = [\"192.0.2.16\"]\n", ""), ElementsAre(HasSubstr("nat44.pool")));
  EXPECT_THAT(changed("[\"nat44\", \"firewall6\", \"nat64\"]", "[\"nat44\", \"firewall6\"]"),
              ElementsAre(HasSubstr("test.toml:1: device = [ \"nat44\", \"firewall6\" ]: can't change")));
  EXPECT_THAT(
      changed("198.51.100.0/24", "198.51.100.0/25"),
      ElementsAre(HasSubstr("test.toml:8: nat44.inside = [ \"198.51.100.0/25\" ]: can't change while")));
  EXPECT_THAT(changed("2001:db8:112::/48", "2001:db8:113::/48"), ElementsAre(HasSubstr("firewall6.inside")));
  EXPECT_THAT(changed("[nat64]", "mark = 1\n[nat64]"), ElementsAre(HasSubstr("firewall6.mark = 1")));
  for (const std::string_view line :
       {"explicit_ports = [1024, 2000]", "implicit_ports = [40000, 50000]", "hold_down = 1", "udp_idle = 121",
        "mappings_max = 1", "filters_max = 1", "maps_all_ports = true", "drops_unasked = false",
        "at_exit = \"keep\""})
    EXPECT_THAT(changed("[firewall6]", std::string(line) + "\n[firewall6]"),
                ElementsAre(HasSubstr("can't change while the daemon runs")))
        << line;
}

}  // namespace
}  // namespace portolan::portoland
