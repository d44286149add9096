// SPDX-License-Identifier: BSD-2-Clause
//
// Ranges of ports as text, and as the blocks that classifiers compare.
#include "io/reserved_ports.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/netlink.h"

namespace portolan::io {
namespace {

using ::testing::ElementsAre;

TEST(PortRangeText, is_a_port_or_two_in_order) {
  EXPECT_EQ(parse_port_range("40000-49999"), (PortRange{Port{40000}, Port{49999}}));
  EXPECT_EQ(parse_port_range("443"), (PortRange{Port{443}, Port{443}}));
  EXPECT_EQ(to_string(PortRange{Port{1}, Port{65535}}), "1-65535");
  for (const auto* text : {"", "-", "1-", "-1", "2-1", "0-65536", "1-2-3", "a-b", " 1-2", "1 -2"})
    EXPECT_FALSE(parse_port_range(text)) << text;
}

TEST(PortBlocks, are_one_where_a_range_is_aligned) {
  EXPECT_THAT(blocks_of({Port{32768}, Port{49151}}), ElementsAre(PortBlock{.value = 0x8000, .mask = 0xc000}));
  EXPECT_THAT(blocks_of({}), ElementsAre(PortBlock{.value = 0, .mask = 0}));
  EXPECT_THAT(blocks_of({Port{65535}, Port{65535}}), ElementsAre(PortBlock{.value = 0xffff, .mask = 0xffff}));
}

TEST(PortBlocks, make_up_their_range_and_nothing_else) {
  const PortRange ranges[]{
      {Port{40000}, Port{49999}}, {Port{1}, Port{65534}}, {Port{1024}, Port{65535}}, {Port{7}, Port{7}}};
  for (const auto& range : ranges) {
    const auto blocks = blocks_of(range);
    EXPECT_LE(blocks.size(), 30U);
    for (unsigned port = 0; port <= 65535; ++port)
      ASSERT_EQ(std::ranges::count_if(
                    blocks, [&](const PortBlock& block) { return (port & block.mask) == block.value; }),
                range.contains(Port{static_cast<std::uint16_t>(port)}) ? 1 : 0)
          << port << " of " << to_string(range);
  }
}

}  // namespace
}  // namespace portolan::io
