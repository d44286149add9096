// SPDX-License-Identifier: BSD-2-Clause
#include "discovery/lease_text.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace portolan::discovery {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

auto address(std::string_view text) -> IpAddress { return IpAddress::parse(text).value(); }

TEST(DhclientLeases, the_last_lease_of_an_interface_and_family_counts) {
  // As dhclient 4.4.3 wrote it, having asked dnsmasq 2.90; the first lease is an older one.
  const LeaseFile file = parse_dhclient_leases(R"(lease {
  interface "c0";
  fixed-address 192.0.2.99;
  option unknown-158 4:c0:0:2:63;
}
lease {
  interface "c0";
  fixed-address 192.0.2.112;
  option unknown-158 4:c6:33:64:1:8:c0:0:2:1:c0:0:2:2;
  option subnet-mask 255.255.255.0;
  option dhcp-server-identifier 192.0.2.1;
  expire 4 2026/11/26 19:26:03;
}
default-duid "\000\001\000\0012\2336;\036-g\306\375D";
lease6 {
  interface "c0";
  ia-na 67:c6:fd:44 {
    starts 1795717564;
    iaaddr 2001:db8:1::13e {
      starts 1795717564;
      max-life 3600;
    }
  }
  option dhcp6.client-id 0:1:0:1:32:9b:36:3b:1e:2d:67:c6:fd:44;
  option dhcp6.unknown-86 20:1:d:b8:0:0:0:0:0:0:0:0:0:0:53:51;
}
)");
  EXPECT_THAT(file.problems, IsEmpty());
  const Lease four{.interface = "c0",
                   .addresses = {address("192.0.2.112")},
                   .servers = {{address("198.51.100.1")}, {address("192.0.2.1"), address("192.0.2.2")}}};
  const Lease six{
      .interface = "c0", .addresses = {address("2001:db8:1::13e")}, .servers = {{address("2001:db8::5351")}}};
  EXPECT_THAT(file.leases, ElementsAre(four, six));
}

TEST(DhclientLeases, a_named_option_may_be_a_string_with_escapes) {
  const LeaseFile file = parse_dhclient_leases(R"(lease { # of an old version
    interface "eth0"; option pcp-server "\004\300\000\002\""; })");
  EXPECT_THAT(file.problems, IsEmpty());
  ASSERT_THAT(file.leases, SizeIs(1));
  EXPECT_THAT(file.leases[0].servers, ElementsAre(ElementsAre(address("192.0.2.34"))));
}

TEST(DhclientLeases, what_is_wrong_is_told_with_its_line) {
  const LeaseFile file = parse_dhclient_leases(
      "lease {\n  interface \"eth0\";\n  option unknown-158 3:c0:0:2;\n  option pcp-server 192.0.2.1;\n}\n"
      "lease {\n  interface \"eth1\";\n");
  EXPECT_THAT(file.problems, ElementsAre(HasSubstr("line 3: option unknown-158: "),
                                         HasSubstr("line 4: option pcp-server: "), "the last lease is cut"));
  ASSERT_THAT(file.leases, SizeIs(1));
  EXPECT_THAT(file.leases[0].servers, IsEmpty());
}

TEST(DhclientLeases, leases_and_problems_beyond_the_limit_are_left_out) {
  for (const std::size_t count : {leases_max - 1, leases_max, leases_max + 1}) {
    std::string text;
    for (std::size_t i = 0; i < count; ++i)
      text += "lease { interface \"eth" + std::to_string(i) + "\"; option unknown-158 1; }\n";
    const LeaseFile file = parse_dhclient_leases(text);
    EXPECT_THAT(file.leases, SizeIs(std::min(count, leases_max)));
    EXPECT_THAT(file.problems, SizeIs(std::min(count, leases_max)));
  }
}

TEST(NetworkdLease, address_and_servers_are_found) {
  const LeaseFile file = parse_networkd_lease(
      "# This is private data. Do not parse.\nADDRESS=192.0.2.77\nROUTER=192.0.2.1\nOPTION_158=04c0000201\n");
  EXPECT_THAT(file.problems, IsEmpty());
  ASSERT_THAT(file.leases, SizeIs(1));
  EXPECT_THAT(file.leases[0].addresses, ElementsAre(address("192.0.2.77")));
  EXPECT_THAT(file.leases[0].servers, ElementsAre(ElementsAre(address("192.0.2.1"))));
}

TEST(NetworkdLease, what_is_wrong_is_told_with_its_line) {
  EXPECT_THAT(parse_networkd_lease("ADDRESS=192.0.2.77\nOPTION_158=04c00002").problems,
              ElementsAre(HasSubstr("line 2: OPTION_158: ")));
  EXPECT_THAT(parse_networkd_lease("OPTION_158=xy").problems, SizeIs(1));
  EXPECT_THAT(parse_networkd_lease("OPTION_158=").problems, SizeIs(1));
}

}  // namespace
}  // namespace portolan::discovery
