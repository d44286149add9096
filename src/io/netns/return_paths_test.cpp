// SPDX-License-Identifier: BSD-2-Clause
//
// The way back to a host, against the real kernel's routing tables.
#include "io/return_paths.h"

#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <gtest/gtest.h>

#include "base/random.h"
#include "io/netns/private_network.h"
#include "io/system.h"

namespace portolan::io {
namespace {

class ReturnPathsTest : public testing::PrivateNetwork {
 protected:
  void SetUp() override {
    PrivateNetwork::SetUp();
    if (HasFatalFailure()) return;
    ip("link add eth0 type veth peer name wlan0");
    ip("link set eth0 up");
    ip("link set wlan0 up");
    ip("address add 192.0.2.2/24 dev eth0");
    ip("address add 198.51.100.2/24 dev wlan0");
    auto opened = ReturnPaths::open(random);
    ASSERT_TRUE(opened) << opened.error();
    paths.emplace(std::move(*opened));
    eth0 = netlink().interface("eth0").value().index;
    wlan0 = netlink().interface("wlan0").value().index;
  }
  static void ip(const std::string& arguments) {
    ASSERT_EQ(std::system(("ip " + arguments).c_str()), 0) << "ip " << arguments;
  }
  /// Each time as if so much time had passed that nothing is remembered.
  auto leads_back(std::string_view source, unsigned interface_index) -> bool {
    now += ReturnPaths::remembered;
    return paths->leads_back(now, *IpAddress::parse(source), interface_index);
  }

  SystemRandom random;
  std::optional<ReturnPaths> paths;
  unsigned eth0 = 0;
  unsigned wlan0 = 0;
  TimePoint now = monotonic_now();
};

TEST_F(ReturnPathsTest, lead_to_the_link_that_the_address_is_on) {
  ip("address add 2001:db8:112::1/64 dev eth0 nodad");
  EXPECT_TRUE(leads_back("192.0.2.77", eth0));
  EXPECT_FALSE(leads_back("192.0.2.77", wlan0));
  EXPECT_TRUE(leads_back("2001:db8:112::77", eth0));
  EXPECT_FALSE(leads_back("2001:db8:112::77", wlan0));
  EXPECT_TRUE(leads_back("192.0.2.2", 1)) << "the host's own address";
}

TEST_F(ReturnPathsTest, lead_nowhere_without_a_route) {
  EXPECT_FALSE(leads_back("203.0.113.1", eth0));
  EXPECT_FALSE(leads_back("2001:db8:ffff::1", eth0));
  ip("-6 route add unreachable 2001:db8:ffff::/48");
  EXPECT_FALSE(leads_back("2001:db8:ffff::1", eth0));
}

TEST_F(ReturnPathsTest, may_be_one_of_several) {
  ip("route add 203.0.113.0/24 nexthop via 192.0.2.1 nexthop via 198.51.100.1");
  EXPECT_TRUE(leads_back("203.0.113.1", eth0));
  EXPECT_TRUE(leads_back("203.0.113.1", wlan0));
  ip("-6 route add 2001:db8:ffff::/48 nexthop via fe80::1 dev eth0 nexthop via fe80::1 dev wlan0");
  EXPECT_TRUE(leads_back("2001:db8:ffff::1", eth0));
  EXPECT_TRUE(leads_back("2001:db8:ffff::1", wlan0));
}

TEST_F(ReturnPathsTest, the_longest_prefix_and_then_the_lowest_metric_lead) {
  ip("route add 203.0.113.0/24 via 192.0.2.1");
  ip("route add 203.0.113.128/25 via 198.51.100.1 metric 10");
  ip("route add 203.0.113.128/25 via 192.0.2.1 metric 20");
  EXPECT_TRUE(leads_back("203.0.113.1", eth0));
  EXPECT_TRUE(leads_back("203.0.113.129", wlan0));
  EXPECT_FALSE(leads_back("203.0.113.129", eth0));
  ip("route add unreachable 203.0.113.192/26");
  EXPECT_FALSE(leads_back("203.0.113.193", wlan0));
}

TEST_F(ReturnPathsTest, rules_may_lead_where_the_main_table_does_not) {
  ip("route add 203.0.113.0/24 via 192.0.2.1 table 77");
  EXPECT_FALSE(leads_back("203.0.113.1", eth0));
  ip("rule add to 203.0.113.0/24 lookup 77");
  EXPECT_TRUE(leads_back("203.0.113.1", eth0));
  EXPECT_FALSE(leads_back("203.0.113.1", wlan0));
}

TEST_F(ReturnPathsTest, a_link_local_address_is_where_it_is_seen) {
  EXPECT_TRUE(leads_back("fe80::77", eth0));
  EXPECT_TRUE(leads_back("fe80::77", wlan0));
}

TEST_F(ReturnPathsTest, are_remembered_for_a_while) {
  EXPECT_FALSE(leads_back("203.0.113.1", eth0));
  ip("route add 203.0.113.0/24 via 192.0.2.1");
  const IpAddress source = *IpAddress::parse("203.0.113.1");
  EXPECT_FALSE(paths->leads_back(now + ReturnPaths::remembered - Nanoseconds{1}, source, eth0));
  EXPECT_TRUE(paths->leads_back(now + ReturnPaths::remembered, source, eth0));
}

}  // namespace
}  // namespace portolan::io
