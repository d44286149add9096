// SPDX-License-Identifier: BSD-2-Clause
//
// Default routers against the real kernel's routing tables.
#include "io/routes.h"

#include <cstdlib>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/netns/private_network.h"

namespace portolan::io {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class RoutesTest : public testing::PrivateNetwork {
 protected:
  void SetUp() override {
    PrivateNetwork::SetUp();
    if (HasFatalFailure()) return;
    ip("link add eth0 type veth peer name wlan0");
    ip("link set eth0 up");
    ip("link set wlan0 up");
    ip("address add 192.0.2.2/24 dev eth0");
    ip("address add 198.51.100.2/24 dev wlan0");
  }

  static void ip(const std::string& arguments) {
    ASSERT_EQ(std::system(("ip " + arguments).c_str()), 0) << "ip " << arguments;
  }

  /// "address%interface" of each.
  static auto found() -> std::vector<std::string> {
    const auto routers = default_routers();
    EXPECT_TRUE(routers) << routers.error();
    std::vector<std::string> texts;
    for (const Router& router : routers.value_or(std::vector<Router>{})) {
      texts.push_back(to_string(router.address) + "%" + router.interface);
      EXPECT_NE(router.interface_index, 0U);
    }
    return texts;
  }
};

TEST_F(RoutesTest, a_host_without_default_route_has_no_router) { EXPECT_THAT(found(), IsEmpty()); }

TEST_F(RoutesTest, ipv6_comes_before_ipv4) {
  ip("route add default via 192.0.2.1");
  ip("-6 route add default via fe80::1 dev eth0");
  EXPECT_THAT(found(), ElementsAre("fe80::1%eth0", "192.0.2.1%eth0"));
}

TEST_F(RoutesTest, the_lower_metric_comes_first) {
  ip("-6 route add default via fe80::1 dev eth0 metric 200");
  ip("-6 route add default via fe80::2 dev eth0 metric 100");
  ip("-6 route append default via fe80::3 dev wlan0 metric 100");
  ip("route add default via 198.51.100.1 metric 50");
  ip("route add default via 192.0.2.1 metric 10");
  EXPECT_THAT(found(), ElementsAre("fe80::2%eth0", "fe80::3%wlan0", "fe80::1%eth0", "192.0.2.1%eth0",
                                   "198.51.100.1%wlan0"));
}

TEST_F(RoutesTest, every_hop_of_a_multipath_route_counts_once) {
  ip("route add default nexthop via 192.0.2.1 dev eth0 nexthop via 198.51.100.1 dev wlan0");
  ip("route add default via 192.0.2.1 metric 10");
  EXPECT_THAT(found(), ElementsAre("192.0.2.1%eth0", "198.51.100.1%wlan0"));
}

TEST_F(RoutesTest, an_ipv4_route_may_lead_to_an_ipv6_router) {
  ip("route add default via inet6 fe80::1 dev eth0");
  EXPECT_THAT(found(), ElementsAre("fe80::1%eth0"));
}

TEST_F(RoutesTest, other_tables_other_prefixes_and_blackholes_have_no_router) {
  ip("route add default via 192.0.2.1 table 100");
  ip("route add 203.0.113.0/24 via 192.0.2.1");
  ip("-6 route add unreachable default metric 4000");
  ip("-4 route add blackhole default metric 4000");
  EXPECT_THAT(found(), IsEmpty());
}

TEST_F(RoutesTest, a_route_without_gateway_has_no_router) {
  ip("route add default dev eth0");
  EXPECT_THAT(found(), IsEmpty());
}

}  // namespace
}  // namespace portolan::io
