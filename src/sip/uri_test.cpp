// SPDX-License-Identifier: BSD-2-Clause
#include "sip/uri.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace portolan::sip {
namespace {

using ::testing::HasSubstr;

TEST(HostPort, is_a_name_or_an_address_with_or_without_a_port) {
  EXPECT_EQ(*parse_host_port("mysip.example"), (HostPort{.host = "mysip.example"}));
  EXPECT_EQ(*parse_host_port("sip-1:65535"), (HostPort{.host = "sip-1", .port = Port{65535}}));
  EXPECT_EQ(*parse_host_port("192.0.2.13:5070"), (HostPort{.host = "192.0.2.13", .port = Port{5070}}));
  EXPECT_EQ(*parse_host_port("[2001:db8::13]"), (HostPort{.host = "2001:db8::13"}));
  EXPECT_EQ(*parse_host_port("[2001:db8::13]:1"), (HostPort{.host = "2001:db8::13", .port = Port{1}}));
}

TEST(HostPort, what_is_none_is_named_with_a_remedy) {
  for (const std::string text : {"", ":5060", "a_b", "192.0.2.300", "192.0.2", "[192.0.2.1]", "[2001:db8::13",
                                 "-", "a b", "user@host"})
    EXPECT_THAT(parse_host_port(text).error(), HasSubstr("'" + text + "' is neither name nor address"))
        << text;
  for (const std::string text : {"mysip.example:", "mysip.example:0", "mysip.example:65536",
                                 "mysip.example:x", "mysip.example:99999", "[2001:db8::13]5060"})
    EXPECT_THAT(parse_host_port(text).error(), HasSubstr("give a number from 1 to 65535")) << text;
  for (const std::string text : {"2001:db8::13", "2001:db8::13:5060"})
    EXPECT_THAT(parse_host_port(text).error(), HasSubstr("brackets")) << text;
}

TEST(Uri, leads_to_its_host_whatever_stands_around_it) {
  EXPECT_EQ(*parse_uri("sip:13@192.0.2.11:6060;x=y"), (HostPort{.host = "192.0.2.11", .port = Port{6060}}));
  EXPECT_EQ(*parse_uri("sip:mysip.example?Subject=x"), (HostPort{.host = "mysip.example"}));
  EXPECT_EQ(*parse_uri("sip:13@[2001:db8::13]"), (HostPort{.host = "2001:db8::13"}));
}

TEST(Uri, other_schemes_and_other_texts_are_named_with_a_remedy) {
  EXPECT_THAT(parse_uri("sips:bob@mysip.example").error(),
              HasSubstr("'sips:bob@mysip.example' asks for TLS"));
  for (const std::string text : {"", "sip:", "sip:bob@", "tel:123", "bob", "sip:b ob@mysip.example",
                                 "sip:<bob>@mysip.example", "sip:bob@mysip.example:0"})
    EXPECT_THAT(parse_uri(text).error(), HasSubstr("'" + text + "' is no SIP URI")) << text;
}

TEST(Uri, of_an_endpoint_has_brackets_where_the_address_is_ipv6) {
  EXPECT_EQ(uri_of({.address = *IpAddress::parse("2001:db8::13"), .port = Port{5070}}),
            "sip:[2001:db8::13]:5070");
  EXPECT_EQ(uri_of({.address = *IpAddress::parse("192.0.2.13"), .port = Port{5060}}), "sip:192.0.2.13:5060");
}

}  // namespace
}  // namespace portolan::sip
