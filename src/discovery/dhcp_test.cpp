// SPDX-License-Identifier: BSD-2-Clause
#include "discovery/dhcp.h"

#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace portolan::discovery {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

/// Octets of hexadecimal digits; spaces are for the reader.
auto octets(std::string_view digits) -> std::vector<std::byte> {
  std::vector<std::byte> result;
  std::string pair;
  for (const char digit : digits) {
    if (digit == ' ') continue;
    pair.push_back(digit);
    if (pair.size() < 2) continue;
    result.push_back(static_cast<std::byte>(std::stoul(pair, nullptr, 16)));
    pair.clear();
  }
  return result;
}

auto address(std::string_view text) -> IpAddress { return IpAddress::parse(text).value(); }

TEST(Dhcp4Servers, each_list_is_a_server) {
  const auto servers = parse_dhcp4_servers(octets("04 c6336401  08 c0000201 c0000202"));
  ASSERT_TRUE(servers);
  EXPECT_THAT(*servers, ElementsAre(ElementsAre(address("198.51.100.1")),
                                    ElementsAre(address("192.0.2.1"), address("192.0.2.2"))));
}

TEST(Dhcp4Servers, multicast_and_loopback_are_left_out_without_a_word) {
  const auto servers = parse_dhcp4_servers(octets("10 e0000001 7f000001 c0000201 00000000  04 ffffffff"));
  ASSERT_TRUE(servers);
  EXPECT_THAT(*servers, ElementsAre(ElementsAre(address("192.0.2.1"))));
}

TEST(Dhcp4Servers, lists_that_do_not_fit_are_refused) {
  for (const char* bad :
       {"", "00", "03 c00002", "04 c00002", "05 c000020101", "04 c0000201 04", "04 c0000201 00"}) {
    const auto servers = parse_dhcp4_servers(octets(bad));
    ASSERT_FALSE(servers) << bad;
    EXPECT_EQ(servers.error(), DhcpError::bad_length) << bad;
  }
  EXPECT_EQ(parse_dhcp4_servers(octets("04 7f000001")).error(), DhcpError::no_address);
}

TEST(Dhcp4Servers, servers_and_addresses_beyond_the_limits_are_left_out) {
  for (const std::size_t count : {servers_max - 1, servers_max, servers_max + 1}) {
    std::vector<std::byte> value;
    for (std::size_t i = 0; i < count; ++i) {
      const auto list = octets("04 c0000201");
      value.insert(value.end(), list.begin(), list.end());
    }
    EXPECT_THAT(parse_dhcp4_servers(value).value(), SizeIs(std::min(count, servers_max)));
  }
  for (const std::size_t count : {server_addresses_max - 1, server_addresses_max, server_addresses_max + 1}) {
    std::vector<std::byte> value{static_cast<std::byte>(4 * count)};
    for (std::size_t i = 0; i < count; ++i) {
      const auto one = octets("c0000201");
      value.insert(value.end(), one.begin(), one.end());
    }
    EXPECT_THAT(parse_dhcp4_servers(value).value(),
                ElementsAre(SizeIs(std::min(count, server_addresses_max))));
  }
}

TEST(Dhcp6Server, mapped_addresses_are_ipv4_servers) {
  const auto server = parse_dhcp6_server(octets(
      "20010db8000000000000000000005351 00000000000000000000ffffc0000201 ff020000000000000000000000000001"
      "00000000000000000000000000000001 00000000000000000000ffff7f000001"));
  ASSERT_TRUE(server);
  EXPECT_THAT(*server, ElementsAre(address("2001:db8::5351"), address("192.0.2.1")));
}

TEST(Dhcp6Server, lengths_that_do_not_fit_are_refused) {
  EXPECT_EQ(parse_dhcp6_server({}).error(), DhcpError::bad_length);
  EXPECT_EQ(parse_dhcp6_server(octets("20010db80000000000000000000053")).error(), DhcpError::bad_length);
  EXPECT_EQ(parse_dhcp6_server(octets("20010db800000000000000000000535100")).error(), DhcpError::bad_length);
  EXPECT_EQ(parse_dhcp6_server(octets("ff020000000000000000000000000001")).error(), DhcpError::no_address);
}

/// A DHCPACK to 192.0.2.100 with these options; sname and file as given.
auto dhcp4_message(std::string_view options, std::string_view sname = "", std::string_view file = "") {
  std::vector<std::byte> message(236);
  message[0] = std::byte{2};
  const auto put = [&message](std::size_t at, const std::vector<std::byte>& what) {
    std::ranges::copy(what, message.begin() + static_cast<std::ptrdiff_t>(at));
  };
  put(16, octets("c0000264"));
  put(44, octets(sname));
  put(108, octets(file));
  for (const auto& part : {octets("63825363"), octets(options)})
    message.insert(message.end(), part.begin(), part.end());
  return message;
}

TEST(Dhcp4Message, address_and_servers_are_found) {
  const auto lease = parse_dhcp4_message(dhcp4_message("350105 00 9e05 04c6336401 ff"));
  ASSERT_TRUE(lease);
  EXPECT_THAT(lease->addresses, ElementsAre(address("192.0.2.100")));
  EXPECT_THAT(lease->servers, ElementsAre(ElementsAre(address("198.51.100.1"))));
}

TEST(Dhcp4Message, parts_of_the_option_are_joined_wherever_they_are) {
  // RFC 3396 s5: the options field, then file, then sname.
  const auto lease =
      parse_dhcp4_message(dhcp4_message("340103 9e02 08c0 ff", "9e03 000202 ff", "9e04 000201c0 ff"));
  ASSERT_TRUE(lease) << to_string(lease.error());
  EXPECT_THAT(lease->servers, ElementsAre(ElementsAre(address("192.0.2.1"), address("192.0.2.2"))));
}

TEST(Dhcp4Message, what_is_none_is_refused) {
  auto request = dhcp4_message("ff");
  request[0] = std::byte{1};
  EXPECT_EQ(parse_dhcp4_message(request).error(), DhcpError::not_dhcp);
  EXPECT_EQ(parse_dhcp4_message({}).error(), DhcpError::not_dhcp);
  auto other = dhcp4_message("ff");
  other[236] = std::byte{0};
  EXPECT_EQ(parse_dhcp4_message(other).error(), DhcpError::not_dhcp);
  EXPECT_EQ(parse_dhcp4_message(dhcp4_message("9e05 04c63364")).error(), DhcpError::cut);
  EXPECT_EQ(parse_dhcp4_message(dhcp4_message("9e04 04c63364")).error(), DhcpError::bad_length);
  EXPECT_THAT(parse_dhcp4_message(dhcp4_message("350105"))->servers, IsEmpty());
}

/// As dhcpcd 9.4.1 wrote it, having asked dnsmasq 2.90.
constexpr std::string_view dhcpcd_reply =
    "07 483622 0001000e 00010001329b364c9e090db06a27 0002000e 00010001329b364ac6ccc0918c80"
    "0003 0028 0db06a27 00000708 00000c4e 0005 0018 20010db8000100000000000000000157 00000e10 00000e10"
    "000d 0009 0000 73756363657373 0056 0010 20010db8000000000000000000005351";

TEST(Dhcp6Message, address_and_server_are_found) {
  const auto lease = parse_dhcp6_message(octets(dhcpcd_reply));
  ASSERT_TRUE(lease) << to_string(lease.error());
  EXPECT_THAT(lease->addresses, ElementsAre(address("2001:db8:1::157")));
  EXPECT_THAT(lease->servers, ElementsAre(ElementsAre(address("2001:db8::5351"))));
}

TEST(Dhcp6Message, each_option_is_a_server) {
  const auto lease =
      parse_dhcp6_message(octets("07 000001 0056 0010 20010db8000000000000000000000001"
                                 "0056 0010 20010db8000000000000000000000002"));
  ASSERT_TRUE(lease);
  EXPECT_THAT(lease->servers,
              ElementsAre(ElementsAre(address("2001:db8::1")), ElementsAre(address("2001:db8::2"))));
}

TEST(Dhcp6Message, what_is_none_is_refused) {
  EXPECT_EQ(parse_dhcp6_message({}).error(), DhcpError::not_dhcp);
  EXPECT_EQ(parse_dhcp6_message(octets("01 000001")).error(), DhcpError::not_dhcp);
  EXPECT_EQ(parse_dhcp6_message(octets("07 000001 0056 0010 2001")).error(), DhcpError::cut);
  EXPECT_EQ(parse_dhcp6_message(octets("07 000001 00")).error(), DhcpError::cut);
}

}  // namespace
}  // namespace portolan::discovery
