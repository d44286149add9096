// SPDX-License-Identifier: BSD-2-Clause
//
// Which port number a host's own traffic has outside (RFC 4787 s4.2, RFC 6888 s5 REQ-15), through the engine.
#include <set>

#include "nat/testing/engine_fixture.h"

namespace portolan::nat::test {
namespace {

class PortNumbers : public Engine {
 protected:
  /// How many of 64 flows keep their number.
  auto kept() -> int {
    int count = 0;
    std::set<int> seen;
    for (std::uint16_t port = 5000; port < 5064; ++port) {
      const auto sent = send_raw(PacketBuilder(inside, far6).udp(port, 53).build());
      const int external = sent ? (*sent)[20] << 8U | (*sent)[21] : 0;
      EXPECT_NE(external, 0);
      EXPECT_EQ(external % 2, port % 2) << "parity is kept in any case";
      EXPECT_TRUE(seen.insert(external).second);
      if (external == port) ++count;
    }
    return count;
  }
};

TEST_F(PortNumbers, are_kept_by_default) { EXPECT_EQ(kept(), 64); }

TEST_F(PortNumbers, are_drawn_if_so_configured_and_kept_for_explicit_mappings) {
  config.preserves_ports = false;
  restart();
  EXPECT_LE(kept(), 2);
  EXPECT_EQ(map(Protocol::udp, 6000, 0), 6000);
  config.allowance.port_block_size = 64;
  restart();
  EXPECT_LE(kept(), 4) << "in blocks too";
}

}  // namespace
}  // namespace portolan::nat::test
