// SPDX-License-Identifier: BSD-2-Clause
#include "portolan-nat64/config.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

namespace portolan::nat64 {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr std::string_view good = R"([nat64]
prefix = "2001:db8:64:ff9b::/96"
pool = ["192.0.2.14"]
[control]
listen = ["unix:/run/portolan/nat64.sock", "tcp:127.0.0.1:5352"]
)";

auto errors_of(std::string_view text) -> std::vector<std::string> {
  const auto settings = parse_settings(text, "test.toml");
  return settings ? std::vector<std::string>{} : settings.error();
}
auto with(std::string_view line) -> std::string { return fmt::format("{}{}\n", good, line); }

TEST(GatewaySettings, are_read_with_their_defaults) {
  const auto settings = parse_settings(good, "test.toml");
  ASSERT_TRUE(settings) << fmt::format("{}", settings.error().front());
  EXPECT_THAT(settings->listen, SizeIs(2));
  EXPECT_EQ(settings->reconcile_grace, Seconds{10});
  EXPECT_EQ(settings->runtime_directory, "/run/portolan");
  EXPECT_THAT(settings->nat64.pool, ElementsAre(nat::PoolRange(Ipv4Address{0xc000020e})));
}

TEST(GatewaySettings, both_sections_are_needed) {
  EXPECT_THAT(errors_of(""),
              ElementsAre(HasSubstr("[nat64] is missing: portolan-nat64 needs its prefix and pool"),
                          HasSubstr("[control] is missing")));
}

TEST(GatewaySettings, plain_tcp_off_this_host_is_refused_with_a_remedy) {
  EXPECT_THAT(errors_of("[nat64]\nprefix = \"2001:db8:64:ff9b::/96\"\npool = [\"192.0.2.14\"]\n"
                        "[control]\nlisten = [\"tcp:192.0.2.1:5352\"]\n"),
              ElementsAre(AllOf(HasSubstr("test.toml:5: control.listen = \"tcp:192.0.2.1:5352\""),
                                HasSubstr("use \"tls:\" with certificates"))));
}

TEST(GatewaySettings, a_pool_may_be_as_large_as_a_nat64_takes) {
  const auto errors_of_pool = [](std::string_view pool) {
    return errors_of(
        fmt::format("[nat64]\nprefix = \"2001:db8:64:ff9b::/96\"\npool = [{}]\n"
                    "[control]\nlisten = [\"tcp:127.0.0.1:5352\"]\n",
                    pool));
  };
  EXPECT_THAT(errors_of_pool("\"10.0.0.0/20\", \"192.0.2.1\""), SizeIs(0)) << "4097 addresses";
  EXPECT_THAT(errors_of_pool("\"10.0.0.0/17\""), SizeIs(0));
  EXPECT_THAT(errors_of_pool("\"10.0.0.0/17\", \"192.0.2.1\""), ElementsAre(HasSubstr("32768")));
}

TEST(GatewaySettings, tls_needs_its_files) {
  const std::string text =
      "[nat64]\nprefix = \"2001:db8:64:ff9b::/96\"\npool = [\"192.0.2.14\"]\n"
      "[control]\nlisten = [\"tls:192.0.2.1:5352\"]\n";
  EXPECT_THAT(errors_of(text),
              ElementsAre(HasSubstr("control.certificate is missing"), HasSubstr("control.key is missing"),
                          HasSubstr("control.authorities is missing")));
  EXPECT_THAT(errors_of(text + "certificate = \"/c\"\nkey = \"/k\"\nauthorities = \"/a\"\n"), SizeIs(0));
  EXPECT_THAT(errors_of(text + "certificate = \"c\"\nkey = \"/k\"\nauthorities = \"/a\"\n"),
              ElementsAre(AllOf(HasSubstr("test.toml:6: control.certificate"), HasSubstr("absolute path"))));
}

TEST(GatewaySettings, metrics_may_be_asked_for_at_addresses_of_their_own) {
  const auto settings = parse_settings(with("[metrics]\nlisten = [\"tcp:127.0.0.1:9464\"]"), "test.toml");
  ASSERT_TRUE(settings) << settings.error().front();
  EXPECT_THAT(settings->metrics_listen, SizeIs(1));
  EXPECT_THAT(settings->listen, SizeIs(2));
  EXPECT_THAT(errors_of(with("[metrics]\nlisten = [\"tcp:192.0.2.1:9464\"]")),
              ElementsAre(HasSubstr("test.toml:7: metrics.listen = \"tcp:192.0.2.1:9464\"")));
  EXPECT_THAT(errors_of(with("[metrics]")), ElementsAre(HasSubstr("metrics.listen is missing")));
  EXPECT_THAT(errors_of(with("[metrics]\nlisten = [\"tls:[2001:db8::1]:9464\"]")),
              ElementsAre(HasSubstr("control.certificate is missing"), HasSubstr("control.key is missing"),
                          HasSubstr("control.authorities is missing")));
  const auto elsewhere =
      parse_settings(with("[metrics]\nlisten = [\"tcp:127.0.0.1:9465\"]"), "test.toml", &*settings);
  ASSERT_FALSE(elsewhere);
  EXPECT_THAT(elsewhere.error(), ElementsAre(HasSubstr("can't change while the daemon runs")));
}

TEST(GatewaySettings, the_grace_time_has_bounds) {
  EXPECT_THAT(errors_of(with("reconcile_grace = 0")), SizeIs(0));
  EXPECT_THAT(errors_of(with("reconcile_grace = 3600")), SizeIs(0));
  EXPECT_THAT(errors_of(with("reconcile_grace = 3601")), ElementsAre(HasSubstr("from 0 to 3600 seconds")));
  EXPECT_THAT(errors_of(with("reconcile_grace = -1")), ElementsAre(HasSubstr("from 0 to 3600 seconds")));
  EXPECT_THAT(errors_of(with("grace = 1")), ElementsAre(HasSubstr("unknown key control.grace")));
}

TEST(GatewaySettings, only_a_restart_changes_where_it_listens) {
  const Settings running = *parse_settings(good, "test.toml");
  EXPECT_TRUE(parse_settings(good, "test.toml", &running));
  const auto changed = parse_settings(with("reconcile_grace = 11"), "test.toml", &running);
  ASSERT_FALSE(changed);
  EXPECT_THAT(changed.error(),
              ElementsAre(AllOf(HasSubstr("test.toml:6: control.reconcile_grace"), HasSubstr("restart"))));
}

}  // namespace
}  // namespace portolan::nat64
