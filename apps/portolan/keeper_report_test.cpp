// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/keeper_report.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace portolan {
namespace {

using testing::HasSubstr;
using wire::ResultCode;

auto refused(ResultCode result) -> client::ClientEvent {
  return {
      .wish = client::WishId{1},
      .server = "fe80::1%eth0",
      .path = {},
      .event = client::Refused{.handle = {}, .result = result, .lifetime = Seconds{1800}, .epoch_time_s = 0}};
}

TEST(KeeperReport, a_refusal_says_what_to_do_and_when_it_is_asked_again) {
  const std::string other = event_line("tcp 8080 ipv4", refused(ResultCode::not_authorized), false);
  EXPECT_THAT(other,
              HasSubstr("tcp 8080 ipv4: the PCP server fe80::1%eth0 says NOT_AUTHORIZED: another client"));
  EXPECT_THAT(other, HasSubstr("portolan list shows what the agent keeps"));
  EXPECT_THAT(other, HasSubstr("; asking again in 1800 s"));
  EXPECT_EQ(event_line("tcp 8080 ipv4", refused(ResultCode::user_ex_quota), false),
            "tcp 8080 ipv4: the PCP server fe80::1%eth0 says USER_EX_QUOTA: you have as many mappings as it "
            "allows: delete one; asking again in 1800 s");
  EXPECT_EQ(event_line("tcp 8080 ipv4", refused(ResultCode::unsupp_protocol), false),
            "tcp 8080 ipv4: the PCP server fe80::1%eth0 says UNSUPP_PROTOCOL; asking again in 1800 s");
}

TEST(KeeperReport, what_is_dropped_is_not_asked_for_again) {
  EXPECT_EQ(event_line("tcp port 80", refused(ResultCode::not_authorized), true),
            "tcp port 80: the PCP server fe80::1%eth0 does not delete it: NOT_AUTHORIZED");
}

}  // namespace
}  // namespace portolan
