// SPDX-License-Identifier: BSD-2-Clause
#include "control/pool_counters.h"

#include <gmock/gmock.h>

namespace portolan::control {
namespace {

using device::PoolUse;

TEST(PoolCounters, tell_a_pool) {
  const std::vector<PoolUse> pool{{.protocol = Protocol::tcp, .ports = 64'512, .taken = 7},
                                  {.protocol = Protocol::udp, .ports = 64'510, .taken = 64'510}};
  std::vector<Counter> counters{{.name = "bindings", .value = 3}};
  append_pool(pool, counters);
  EXPECT_THAT(counters, ::testing::Contains(Counter{.name = "pool_ports_taken_udp", .value = 64'510}));
  EXPECT_EQ(pool_of(counters), pool);
}

TEST(PoolCounters, of_a_gateway_that_tells_none_are_no_pool) {
  EXPECT_THAT(pool_of({{.name = "bindings", .value = 3}, {.name = "pool_ports_udp", .value = 3}}),
              ::testing::IsEmpty());
}

}  // namespace
}  // namespace portolan::control
