// SPDX-License-Identifier: BSD-2-Clause
#include "io/followed_address.h"

#include <optional>
#include <vector>

#include <gtest/gtest.h>

namespace portolan::io {
namespace {

TEST(FollowedAddress, takes_the_first_that_is_usable_and_stays_with_it) {
  const auto entry = [](const char* text) { return InterfaceAddress{.address = *IpAddress::parse(text)}; };
  const auto choose = FollowedAddress::choose;
  constexpr Ipv4Address first{0xc0000201};
  constexpr Ipv4Address second{0xc6336402};
  EXPECT_EQ(choose(std::nullopt, {}), std::nullopt);
  const std::vector useless{entry("2001:db8::1"), entry("169.254.1.1"), entry("127.0.0.1"),
                            entry("0.0.0.0"),     entry("224.0.0.1"),   entry("255.255.255.255")};
  EXPECT_EQ(choose(std::nullopt, useless), std::nullopt);
  EXPECT_EQ(choose(Ipv4Address{0xa9fe0101}, useless), std::nullopt);
  const std::vector two{entry("169.254.1.1"), entry("192.0.2.1"), entry("198.51.100.2")};
  EXPECT_EQ(choose(std::nullopt, two), first);
  EXPECT_EQ(choose(second, two), second);
  EXPECT_EQ(choose(Ipv4Address{0xc0000203}, two), first);
}

}  // namespace
}  // namespace portolan::io
