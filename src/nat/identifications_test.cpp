// SPDX-License-Identifier: BSD-2-Clause
//
// RFC 7857 s10, RFC 6864 s5.3.1: identifications that don't repeat early, and that nobody foresees.
#include "nat/identifications.h"

#include <set>

#include <gtest/gtest.h>

#include "nat/testing/engine_fixture.h"

namespace portolan::nat::test {
namespace {

TEST(Identifications, a_flow_has_all_65536_before_one_repeats) {
  SeededRandom random{1};
  Identifications identifications(random);
  const auto flow = identifications.flow_of(1, 2, protocol::udp);
  std::set<std::uint16_t> seen;
  for (unsigned i = 0; i < 0x10000; ++i)
    ASSERT_TRUE(seen.insert(identifications.take(flow, false, 1)).second) << i;
  EXPECT_TRUE(seen.contains(identifications.take(flow, false, 1)));
}

TEST(Identifications, what_is_never_fragmented_uses_up_none_of_the_others) {
  SeededRandom random{1};
  Identifications identifications(random);
  const auto flow = identifications.flow_of(1, 2, protocol::udp);
  const auto first = identifications.take(flow, false, 1);
  static_cast<void>(identifications.take(flow, true, 1000));
  EXPECT_EQ(identifications.take(flow, false, 1), static_cast<std::uint16_t>(first + 1));
}

TEST(Identifications, each_segment_of_a_superpacket_has_its_own) {
  SeededRandom random{1};
  Identifications identifications(random);
  const auto flow = identifications.flow_of(1, 2, protocol::tcp);
  const auto first = identifications.take(flow, true, 45);
  EXPECT_EQ(identifications.take(flow, true, 1), static_cast<std::uint16_t>(first + 45));
}

TEST(Identifications, flows_begin_all_over_the_range_and_hardly_share_a_counter) {
  SeededRandom random{1};
  Identifications identifications(random);
  std::set<std::uint16_t> begins;
  for (std::uint32_t destination = 0; destination < 1000; ++destination)
    begins.insert(identifications.take(identifications.flow_of(7, destination, protocol::udp), false, 1));
  EXPECT_GT(begins.size(), 980U);
  SeededRandom other{2};
  Identifications elsewhere(other);
  EXPECT_NE(elsewhere.flow_of(7, 0, protocol::udp), identifications.flow_of(7, 0, protocol::udp))
      << "the secret is another";
  EXPECT_NE(identifications.flow_of(7, 0, protocol::udp), identifications.flow_of(7, 0, protocol::tcp));
  EXPECT_NE(identifications.flow_of(7, 0, protocol::udp), identifications.flow_of(8, 0, protocol::udp));
}

TEST(Identifications, the_last_flow_has_a_counter_too) {
  SeededRandom random{1};
  Identifications identifications(random);
  const auto first = identifications.take(UINT32_MAX, true, 1);
  EXPECT_EQ(identifications.take(UINT32_MAX, true, 1), static_cast<std::uint16_t>(first + 1));
}

class IdentificationOf : public Engine {
 protected:
  auto sent(const PacketBuilder& builder) -> int {
    const auto out = send_raw(builder.build());
    return out ? (*out)[4] << 8U | (*out)[5] : -1;
  }
};

TEST_F(IdentificationOf, packets_to_one_destination_is_not_used_up_by_others) {
  const auto here = [&](std::uint16_t port) { return sent(PacketBuilder(inside, far6).udp(port, 53)); };
  const int first = here(4000);
  for (int i = 0; i < 100; ++i)
    send(PacketBuilder(inside, "2001:db8:64:ff9b::203.0.113.9").udp(4000, 53).build());
  send(PacketBuilder(inside, far6).tcp(4000, 80, "S").build());
  send(PacketBuilder(inside, far6).udp(4000, 53).payload_size(1300).build());
  EXPECT_EQ(here(4001), (first + 1) & 0xffff) << "another session between the same addresses";
}

TEST_F(IdentificationOf, errors_made_here_is_their_own_too) {
  send(PacketBuilder(far4, pool).udp(53, 4400).ttl(1).build());
  send(PacketBuilder(far4, pool).udp(53, 4400).ttl(1).build());
  const auto next = [&] {
    const auto output = engine->output();
    const int identification = std::to_integer<int>(output[4]) << 8U | std::to_integer<int>(output[5]);
    engine->pop_output();
    return identification;
  };
  const int first = next();
  EXPECT_EQ(next(), (first + 1) & 0xffff);
}

}  // namespace
}  // namespace portolan::nat::test
