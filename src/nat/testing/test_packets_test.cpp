// SPDX-License-Identifier: BSD-2-Clause
#include "nat/testing/test_packets.h"

#include <gtest/gtest.h>

namespace portolan::nat::test {
namespace {

TEST(TestPackets, a_known_packet_has_its_known_checksums) {
  const auto packet = PacketBuilder("192.0.2.1", "192.0.2.2").udp(40000, 53).payload("ab").build();
  EXPECT_EQ(describe(packet), "192.0.2.1:40000 > 192.0.2.2:53 udp \"ab\" ttl 64");
  EXPECT_EQ(internet_checksum(Octets{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}), 0x220d)
      << "RFC 1071 s3";
}

TEST(TestPackets, faults_are_told) {
  auto packet = PacketBuilder("2001:db8::1", "2001:db8::2").udp(1, 2).payload("ab").bad_checksum().build();
  EXPECT_EQ(describe(packet), "[2001:db8::1]:1 > [2001:db8::2]:2 udp \"ab\" ttl 64 BAD CHECKSUM");
  packet.push_back(0);
  EXPECT_NE(describe(packet).find("BAD LENGTH"), std::string::npos);
}

}  // namespace
}  // namespace portolan::nat::test
