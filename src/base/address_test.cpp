// SPDX-License-Identifier: BSD-2-Clause
#include "base/address.h"

#include <gtest/gtest.h>

namespace portolan {
namespace {

TEST(IpAddress, an_ipv4_address_is_its_mapped_ipv6_address) {
  const IpAddress address{*Ipv4Address::parse("192.0.2.1")};
  EXPECT_TRUE(address.is_ipv4());
  EXPECT_EQ(address, *IpAddress::parse("::ffff:192.0.2.1"));
  EXPECT_EQ(address.ipv4(), Ipv4Address{0xc0000201});
  EXPECT_EQ(to_string(address), "192.0.2.1");
}

TEST(IpAddress, all_first_96_bits_decide_whether_it_is_ipv4) {
  EXPECT_FALSE(IpAddress::parse("1::ffff:192.0.2.1")->is_ipv4());
  EXPECT_FALSE(IpAddress::parse("::fffe:192.0.2.1")->is_ipv4());
  EXPECT_FALSE(IpAddress::parse("::192.0.2.1")->is_ipv4());
}

TEST(IpAddress, unspecified_has_a_family) {
  EXPECT_EQ(IpAddress::unspecified(Family::ipv4), *IpAddress::parse("::ffff:0.0.0.0"));
  EXPECT_EQ(IpAddress::unspecified(Family::ipv6), IpAddress{});
  EXPECT_TRUE(IpAddress::unspecified(Family::ipv4).is_unspecified());
  EXPECT_TRUE(IpAddress{}.is_unspecified());
  EXPECT_FALSE(IpAddress::parse("0.0.0.1")->is_unspecified());
}

TEST(IpAddress, text_that_is_no_address_is_refused) {
  for (const char* text : {"", "192.0.2", "192.0.2.256", "2001:db8::g", "192.0.2.1/24", "192.0.2.1 "})
    EXPECT_FALSE(IpAddress::parse(text)) << text;
  EXPECT_FALSE(IpAddress::parse(std::string_view("192.0.2.1\0x", 11)));
}

TEST(Prefix, counts_bits_of_the_128_bit_form) {
  const auto v4 = Prefix::parse("192.0.2.0/24");
  ASSERT_TRUE(v4);
  EXPECT_EQ(v4->length(), 120U);
  EXPECT_EQ(to_string(*v4), "192.0.2.0/24");
  EXPECT_TRUE(v4->contains(*IpAddress::parse("192.0.2.255")));
  EXPECT_FALSE(v4->contains(*IpAddress::parse("192.0.3.0")));

  const auto v6 = Prefix::parse("2001:db8:112::/47");
  ASSERT_TRUE(v6);
  EXPECT_EQ(to_string(*v6), "2001:db8:112::/47");
  EXPECT_TRUE(v6->contains(*IpAddress::parse("2001:db8:113:ffff::1")));
  EXPECT_FALSE(v6->contains(*IpAddress::parse("2001:db8:114::")));
}

TEST(Masked, keeps_as_many_bits_as_it_is_told) {
  Ipv6Address all_set;
  all_set.octets.fill(0xff);
  for (unsigned length = 0; length <= 128; ++length) {
    const Ipv6Address prefix = masked(all_set, length);
    for (unsigned bit = 0; bit < 128; ++bit)
      EXPECT_EQ((prefix.octets[bit / 8] >> (7 - bit % 8) & 1U) == 1, bit < length) << length << ": " << bit;
  }
}

TEST(Prefix, set_bits_behind_the_length_are_an_error) {
  EXPECT_FALSE(Prefix::parse("192.0.2.1/24"));
  EXPECT_FALSE(Prefix::parse("2001:db8::1/64"));
  EXPECT_FALSE(Prefix::parse("192.0.2.0/33"));
  EXPECT_FALSE(Prefix::parse("2001:db8::/129"));
  EXPECT_FALSE(Prefix::parse("2001:db8::"));
  EXPECT_TRUE(Prefix::parse("::/0"));
}

TEST(Endpoint, ipv6_is_bracketed) {
  EXPECT_EQ(to_string(Endpoint{*IpAddress::parse("2001:db8::1"), Port{80}}), "[2001:db8::1]:80");
  EXPECT_EQ(to_string(Endpoint{*IpAddress::parse("192.0.2.1"), Port{80}}), "192.0.2.1:80");
}

TEST(Protocol, has_a_name_or_a_number) {
  EXPECT_EQ(to_string(Protocol::tcp), "tcp");
  EXPECT_EQ(to_string(static_cast<Protocol>(47)), "47");
  EXPECT_EQ(parse_protocol("udp"), Protocol::udp);
  EXPECT_EQ(parse_protocol("132"), Protocol::sctp);
  EXPECT_FALSE(parse_protocol("256"));
  EXPECT_FALSE(parse_protocol("quic"));
}

}  // namespace
}  // namespace portolan
