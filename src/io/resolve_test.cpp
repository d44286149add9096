// SPDX-License-Identifier: BSD-2-Clause
#include "io/resolve.h"

#include <gtest/gtest.h>

namespace portolan::io {
namespace {

TEST(Resolve, an_address_is_itself) {
  const auto v6 = resolve("2001:db8:112::1");
  ASSERT_TRUE(v6) << v6.error();
  ASSERT_EQ(v6->size(), 1U);
  EXPECT_EQ(to_string(v6->front().address), "2001:db8:112::1");
  EXPECT_EQ(v6->front().interface_index, 0U);
  const auto v4 = resolve("192.0.2.1");
  ASSERT_TRUE(v4) << v4.error();
  EXPECT_EQ(to_string(v4->front().address), "192.0.2.1");
}

TEST(Resolve, a_link_local_address_keeps_its_zone) {
  const auto router = resolve("fe80::1%lo");
  ASSERT_TRUE(router) << router.error();
  EXPECT_EQ(router->front().interface, "lo");
  EXPECT_EQ(router->front().interface_index, 1U);
}

TEST(Resolve, errors_name_the_host) {
  const auto unknown_zone = resolve("fe80::1%no-such-link");
  ASSERT_FALSE(unknown_zone);
  EXPECT_NE(unknown_zone.error().find("fe80::1%no-such-link"), std::string::npos) << unknown_zone.error();
  const auto nonsense = resolve("no such name");
  ASSERT_FALSE(nonsense);
  EXPECT_NE(nonsense.error().find("no such name"), std::string::npos) << nonsense.error();
}

}  // namespace
}  // namespace portolan::io
