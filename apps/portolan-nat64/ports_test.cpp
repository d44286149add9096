// SPDX-License-Identifier: BSD-2-Clause
#include "portolan-nat64/ports.h"

#include <gmock/gmock.h>

namespace portolan::nat64 {
namespace {

using ::testing::HasSubstr;

auto plan(std::uint32_t dynamic_factor) -> nat::PortPlan {
  return *nat::PortPlan::make(
      {.inside = *Prefix::parse("2001:db8:112::/60"), .dynamic_factor = dynamic_factor},
      {*Ipv4Address::parse("192.0.2.14")}, 64);
}

auto text_of(std::string_view who, std::uint32_t dynamic_factor = 2) -> std::string {
  const auto answer = ports_of(plan(dynamic_factor), who);
  return answer ? answer->text : "error: " + answer.error();
}

TEST(Ports, of_a_host_are_told) {
  EXPECT_EQ(text_of("2001:db8:112:1::7"),
            "2001:db8:112:1::/64 192.0.2.14 ports 4608-8191, then dynamic ones of 58368-65535");
  EXPECT_EQ(text_of("2001:db8:112:1::/64", 0), "2001:db8:112:1::/64 192.0.2.14 ports 5056-9087");
  EXPECT_THAT(text_of("2001:db8:113::1"), HasSubstr("is not in 2001:db8:112::/60"));
  EXPECT_TRUE(ports_of(plan(2), "2001:db8:112::1")->is_subscribers);
  EXPECT_FALSE(ports_of(plan(2), "2001:db8:113::1")->is_subscribers);
}

TEST(Ports, lead_back_to_their_subscriber) {
  EXPECT_EQ(text_of("192.0.2.14:5000"), "192.0.2.14:5000 2001:db8:112:1::/64");
  EXPECT_THAT(text_of("192.0.2.14:60000"), HasSubstr("dynamic"));
  EXPECT_THAT(text_of("192.0.2.14:80"), HasSubstr("reserved"));
  EXPECT_THAT(text_of("192.0.2.15:5000"), HasSubstr("not an address of the pool"));
  EXPECT_EQ(
      ports_of(plan(2), "192.0.2.14:5000")->json,
      R"({"external-ip-address":"192.0.2.14","external-port":5000,"holder":"subscriber","subscriber":"2001:db8:112:1::/64"})");
}

TEST(Ports, of_what_is_neither_are_refused_with_a_remedy) {
  for (const char* const who : {"", "192.0.2.14", "192.0.2.14:", "192.0.2.14:65536", "host", "192.0.2.0/24"})
    EXPECT_THAT(text_of(who), HasSubstr("error: write an inside address")) << who;
  EXPECT_THAT(text_of("2001:db8:112::/63"), HasSubstr("error: is more than one subscriber"));
}

}  // namespace
}  // namespace portolan::nat64
