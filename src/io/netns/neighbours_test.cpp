// SPDX-License-Identifier: BSD-2-Clause
//
// What the kernel knows of a link on which nobody answers.
#include "io/neighbours.h"

#include <net/if.h>

#include <cstdlib>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/netns/private_network.h"

namespace portolan::io {
namespace {

using ::testing::UnorderedElementsAre;

class NeighboursTest : public testing::PrivateNetwork {
 protected:
  static void ip(const std::string& arguments) {
    ASSERT_EQ(std::system(("ip " + arguments).c_str()), 0) << "ip " << arguments;
  }
};

TEST_F(NeighboursTest, those_that_do_not_answer_are_told) {
  ip("link add eth0 type veth peer name wlan0");
  ip("link set eth0 up");
  const std::uint32_t eth0 = ::if_nametoindex("eth0");
  ip("neighbour add 192.0.2.1 dev eth0 nud failed");
  ip("neighbour add fe80::1 dev eth0 nud failed");
  ip("neighbour add fe80::2 dev eth0 lladdr 02:00:00:00:00:02 nud reachable");
  ip("neighbour add fe80::3 dev eth0 lladdr 02:00:00:00:00:03 nud stale");
  const auto silent = silent_neighbours();
  ASSERT_TRUE(silent);
  EXPECT_THAT(*silent, UnorderedElementsAre(Neighbour{IpAddress::parse("192.0.2.1").value(), eth0},
                                            Neighbour{IpAddress::parse("fe80::1").value(), eth0}));
}

}  // namespace
}  // namespace portolan::io
