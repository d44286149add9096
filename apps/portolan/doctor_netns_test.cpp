// SPDX-License-Identifier: BSD-2-Clause
//
// `portolan doctor` on a host whose router is there, and on one whose is not. Needs root.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "portolan/options.h"
#include "portolan/test_router.h"

namespace portolan {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class DoctorTest : public DefaultRouterTest {
 protected:
  static auto examine() -> Ended {
    // No resolver is there to be waited for.
    ip("route add unreachable default");
    return run_program({"doctor", "--no-anycast", "--timeout", "1", "--json"});
  }
};

TEST_F(DoctorTest, a_router_that_nobody_finds_is_no_way_out) {
  ip("link set lan0 addrgenmode none up");
  configure_ipv6();
  const Ended ended = examine();
  EXPECT_EQ(ended.status, exit_refused) << ended.err;
  EXPECT_THAT(ended.out, AllOf(HasSubstr("\"silent-router\""),
                               HasSubstr("the router fe80::1%eth0 does not answer on its link"),
                               Not(HasSubstr("the way out is by"))));
}

TEST_F(DoctorTest, one_that_is_there_is) {
  const auto server = router();
  configure_ipv6();
  EXPECT_THAT(examine().out,
              AllOf(HasSubstr("the way out is by fe80::1%eth0"), Not(HasSubstr("silent-router"))));
}

}  // namespace
}  // namespace portolan
