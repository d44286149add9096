// SPDX-License-Identifier: BSD-2-Clause
//
// Records of names, from a real resolver that makes IPv6 addresses for IPv4 ones.
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/netns/private_network.h"
#include "io/resolve.h"
#include "io/testing.h"

namespace portolan::io {
namespace {

using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class ResolveRecordsTest : public testing::PrivateNetwork {
 protected:
  void SetUp() override {
    PrivateNetwork::SetUp();
    if (HasFatalFailure()) return;
    // Of this process alone: who asks is told to ask 127.0.0.1.
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    write("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n");
    ASSERT_EQ(::mount(path("resolv.conf").c_str(), "/etc/resolv.conf", nullptr, MS_BIND, nullptr), 0);
  }
  void TearDown() override {
    if (has_resolver) run("kill $(cat " + path("unbound.pid") + ")");
    ::umount2("/etc/resolv.conf", MNT_DETACH);
  }

  [[nodiscard]] auto path(const std::string& name) const -> std::string { return folder.path() / name; }
  void write(const std::string& name, const std::string& text) const { std::ofstream(path(name)) << text; }
  static void run(const std::string& command) { ASSERT_EQ(std::system(command.c_str()), 0) << command; }

  void start_resolver(const std::string& modules) {
    write("ipv4only.arpa.zone",
          "$ORIGIN ipv4only.arpa.\n$TTL 300\n@ SOA ns.example. hostmaster.example. 1 3600 600 86400 300\n"
          "@ NS ns.example.\n@ A 192.0.0.170\n@ A 192.0.0.171\n");
    write("unbound.conf",
          "server:\n  interface: 127.0.0.1\n  username: \"\"\n  chroot: \"\"\n  directory: \"" +
              folder.path().string() +
              "\"\n  pidfile: \"unbound.pid\"\n  use-syslog: no\n  logfile: \"log\"\n" +
              "  module-config: \"" + modules +
              "\"\n  dns64-prefix: 2001:db8:64:ff9b::/96\n  trust-anchor-signaling: no\n"
              "  local-zone: \"ipv4only.arpa.\" nodefault\nremote-control:\n  control-enable: no\n"
              "auth-zone:\n  name: \"ipv4only.arpa.\"\n  zonefile: \"ipv4only.arpa.zone\"\n"
              "  for-upstream: yes\n  for-downstream: no\n");
    // It goes into the background once it answers.
    run("unbound -c " + path("unbound.conf"));
    has_resolver = true;
  }

  testing::TemporaryFolder folder;
  bool has_resolver = false;
};

TEST_F(ResolveRecordsTest, the_addresses_of_a_dns64_come_with_their_lifetime) {
  start_resolver("dns64 iterator");
  const auto records = resolve_ipv6_records("ipv4only.arpa");
  ASSERT_TRUE(records) << records.error();
  EXPECT_THAT(records->addresses, UnorderedElementsAre(testing::address("2001:db8:64:ff9b::c000:aa"),
                                                       testing::address("2001:db8:64:ff9b::c000:ab")));
  EXPECT_EQ(records->time_to_live, Seconds{300});
}

TEST_F(ResolveRecordsTest, a_resolver_without_dns64_knows_no_address) {
  start_resolver("iterator");
  const auto records = resolve_ipv6_records("ipv4only.arpa");
  ASSERT_TRUE(records) << records.error();
  EXPECT_THAT(records->addresses, IsEmpty());
}

TEST_F(ResolveRecordsTest, no_resolver_is_an_error_that_names_the_name) {
  const auto records = resolve_ipv6_records("ipv4only.arpa");
  ASSERT_FALSE(records);
  EXPECT_THAT(records.error(), ::testing::StartsWith("ipv4only.arpa: "));
}

}  // namespace
}  // namespace portolan::io
