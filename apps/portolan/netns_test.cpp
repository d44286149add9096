// SPDX-License-Identifier: BSD-2-Clause
//
// The built program on a host of its own: an interface, a default router known by its link-local address
// only, as router advertisements tell it. Needs root.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "portolan/options.h"
#include "portolan/test_router.h"

namespace portolan {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

TEST_F(DefaultRouterTest, a_link_local_router_is_asked_from_the_global_address) {
  const auto server = router();
  configure_ipv6();
  const Ended ended = run_program({"map", "tcp", "8080", "--external-port", "8080"});
  EXPECT_EQ(ended.status, exit_success) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("tcp port 8080 of 2001:db8:112::2 is reachable at 192.0.2.14:8080"));
  EXPECT_THAT(ended.out, HasSubstr("PCP server fe80::1%eth0"));
  const auto got = server->got();
  ASSERT_THAT(got, SizeIs(1));
  EXPECT_EQ(to_string(got[0].from.address), "2001:db8:112::2");
}

TEST_F(DefaultRouterTest, no_mapping_is_asked_for_beyond_the_life_of_the_address) {
  const auto server = router();
  ip("address add 2001:db8:112::2/64 dev eth0 nodad valid_lft 600 preferred_lft 600");
  ip("-6 route add default via fe80::1 dev eth0");
  const Ended ended = run_program({"map", "tcp", "8080"});
  EXPECT_EQ(ended.status, exit_success) << ended.err;
  EXPECT_THAT(ended.err, HasSubstr("this host has the address 2001:db8:112::2 for "));
  const auto got = server->got();
  ASSERT_THAT(got, SizeIs(1));
  EXPECT_LE(got[0].lifetime_s, 600U);
  EXPECT_GT(got[0].lifetime_s, 500U);
}

TEST_F(DefaultRouterTest, keep_tells_when_the_address_is_lost) {
  const auto server = router();
  ip("address add 2001:db8:112::2/64 dev eth0 nodad");
  ip("-6 route add default via fe80::1 dev eth0");
  Program program({"map", "tcp", "8080", "--keep"});
  ASSERT_TRUE(program.wait_for("renewing it until Ctrl-C"));
  ip("address change 2001:db8:112::2/64 dev eth0 valid_lft 3000 preferred_lft 3000");
  ip("address del 2001:db8:112::2/64 dev eth0");
  ASSERT_TRUE(program.wait_for("this host has lost the address 2001:db8:112::2"));
  program.signal(SIGINT);
  ASSERT_TRUE(program.wait_for("Ctrl-C again"));
  program.signal(SIGINT);
  EXPECT_EQ(program.end().status, 128 + SIGINT);
}

TEST_F(DefaultRouterTest, a_zone_on_the_command_line_does_the_same) {
  const auto server = router();
  ip("address add 2001:db8:112::2/64 dev eth0 nodad");
  const Ended without_route = run_program({"announce", "--server", "fe80::1%eth0"});
  EXPECT_EQ(without_route.status, exit_no_answer) << "no address leads to the world";
  ip("-6 route add default via fe80::1 dev eth0");
  const Ended ended = run_program({"announce", "--server", "fe80::1%eth0"});
  EXPECT_EQ(ended.status, exit_success) << ended.err;
}

TEST_F(DefaultRouterTest, a_host_without_global_address_is_told_so) {
  ip("-6 route add default via fe80::1 dev eth0");
  const Ended ended = run_program({"map", "tcp", "8080"});
  EXPECT_EQ(ended.status, exit_no_answer);
  EXPECT_THAT(ended.err, HasSubstr("interface eth0 has no global IPv6 address yet"));
}

TEST_F(DefaultRouterTest, an_ipv4_router_is_asked_where_there_is_no_other) {
  const auto server = router();
  ip("address add 192.0.2.2/24 dev eth0");
  ip("route add default via 192.0.2.1");
  const Ended ended = run_program({"map", "tcp", "8080"});
  EXPECT_EQ(ended.status, exit_success) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("tcp port 8080 of 192.0.2.2 is reachable"));
}

TEST_F(DefaultRouterTest, a_restart_announced_to_all_hosts_makes_keep_ask_again) {
  const auto server = router();
  configure_ipv6();
  Program program({"map", "tcp", "8080", "--keep"});
  ASSERT_TRUE(program.wait_for("is reachable at"));
  wire::Response announcement;  // epoch 0
  announcement.body = wire::Announce{};
  server->send({*IpAddress::parse("ff02::1"), Port{wire::client_port}}, wire::encode_response(announcement));
  ASSERT_TRUE(program.wait_for("the PCP server fe80::1%eth0 restarted"));
  ASSERT_TRUE(program.wait_for("renewed: "));
  program.signal(SIGINT);
  EXPECT_EQ(program.end().status, exit_success);
}

TEST_F(DefaultRouterTest, no_router_is_told_with_a_remedy) {
  const Ended ended = run_program({"map", "tcp", "8080"});
  EXPECT_EQ(ended.status, exit_no_answer);
  EXPECT_THAT(ended.err, HasSubstr("no default router"));
  EXPECT_THAT(ended.err, HasSubstr("--server"));
}

}  // namespace
}  // namespace portolan
