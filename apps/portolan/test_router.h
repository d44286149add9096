// SPDX-License-Identifier: BSD-2-Clause
//
// For tests: this host with an interface eth0, and a router behind it with a PCP server. Needs root.
#pragma once

#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "io/netns/private_network.h"
#include "portolan/test_program.h"
#include "wire/protocol.h"

namespace portolan {

inline void ip(const std::string& arguments) {
  ASSERT_EQ(std::system(("ip " + arguments).c_str()), 0) << "ip " << arguments;
}

class DefaultRouterTest : public io::testing::PrivateNetwork {
 protected:
  void SetUp() override {
    PrivateNetwork::SetUp();
    if (HasFatalFailure()) return;
    ip("link add eth0 type veth peer name lan0");
    ip("link set eth0 addrgenmode none up");
    ip("address add fe80::2/64 dev eth0 nodad");
  }

  /// A server on a host of its own behind lan0, with fe80::1 and 192.0.2.1.
  static auto router(TestServer::Policy policy = TestServer::grant) -> std::unique_ptr<TestServer> {
    return std::make_unique<TestServer>(std::move(policy), IpAddress{}, Port{wire::server_port}, [] {
      ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
      // Threads have network namespaces of their own; lan0 is still in the other one.
      ASSERT_EQ(std::system(("nsenter --net=/proc/" + std::to_string(::getpid()) +
                             "/ns/net ip link set lan0 netns " + std::to_string(::gettid()))
                                .c_str()),
                0);
      ip("link set lan0 addrgenmode none up");
      ip("address add fe80::1/64 dev lan0 nodad");
      ip("address add 192.0.2.1/24 dev lan0");
      ip("-6 route add 2001:db8:112::/64 dev lan0");
    });
  }

  /// As router advertisements would.
  static void configure_ipv6(const std::string& address = "2001:db8:112::2") {
    ip("address add " + address + "/64 dev eth0 nodad");
    ip("-6 route add default via fe80::1 dev eth0");
  }
};

}  // namespace portolan
