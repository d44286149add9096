// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/run_sockets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace portolan {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const NeededMapping web6{
    .protocol = Protocol::tcp, .port = Port{80}, .address = IpAddress::unspecified(Family::ipv6)};
const NeededMapping web4{
    .protocol = Protocol::tcp, .port = Port{80}, .address = IpAddress::unspecified(Family::ipv4)};

constexpr TimePoint now{Seconds{1000}};

auto report(std::string_view line) -> SocketReport { return parse_socket_report(line).value(); }

TEST(SocketReports, those_of_the_shim_are_understood) {
  const auto both = report("open 17 tcp both :: 80");
  EXPECT_EQ(both.cookie, 17U);
  EXPECT_TRUE(both.has_ipv4 && both.has_ipv6);
  const auto one = report("open 18446744073709551615 udp 6 2001:db8::1 5060");
  EXPECT_EQ(one.cookie, UINT64_MAX);
  EXPECT_EQ(one.protocol, Protocol::udp);
  EXPECT_TRUE(one.has_ipv6 && !one.has_ipv4);
}

TEST(SocketReports, anything_else_is_not) {
  for (const char* line :
       {"", "open", "open 1 tcp both :: 0", "open 1 tcp both :: 65536", "open 1 sctp both :: 80",
        "open x tcp both :: 80", "open 1 tcp 5 :: 80", "open 1 tcp both nowhere 80",
        "open 1 tcp both :: 80 more", "close 1 tcp both :: 80", "open 1  tcp both :: 80"})
    EXPECT_FALSE(parse_socket_report(line)) << line;
}

TEST(RunSocketTable, a_mapping_lasts_as_long_as_a_socket_needs_it) {
  RunSockets sockets;
  EXPECT_THAT(sockets.opened(report("open 1 tcp both :: 80")), ElementsAre(web6, web4));
  EXPECT_THAT(sockets.opened(report("open 1 tcp both :: 80")), IsEmpty()) << "listen() was called again";
  EXPECT_THAT(sockets.opened(report("open 2 tcp 6 :: 80")), IsEmpty())
      << "another process takes connections too";
  sockets.ended(now, 1);
  EXPECT_EQ(sockets.next_deadline(), now + RunSockets::linger_time);
  EXPECT_THAT(sockets.take_unneeded(now + RunSockets::linger_time - Milliseconds{1}), IsEmpty());
  EXPECT_THAT(sockets.take_unneeded(now + RunSockets::linger_time), ElementsAre(web4));
  sockets.ended(now, 1);
  EXPECT_EQ(sockets.next_deadline(), std::nullopt);
  sockets.ended(now, 2);
  EXPECT_THAT(sockets.take_unneeded(now + RunSockets::linger_time), ElementsAre(web6));
  EXPECT_THAT(sockets.cookies(), IsEmpty());
}

TEST(RunSocketTable, a_port_that_is_taken_up_again_keeps_its_mapping) {
  RunSockets sockets;
  EXPECT_THAT(sockets.opened(report("open 1 tcp 6 :: 80")), ElementsAre(web6));
  sockets.ended(now, 1);
  EXPECT_THAT(sockets.opened(report("open 2 tcp 6 :: 80")), IsEmpty());
  EXPECT_EQ(sockets.next_deadline(), std::nullopt);
  EXPECT_THAT(sockets.take_unneeded(now + std::chrono::hours{1}), IsEmpty());
}

TEST(RunSocketTable, sockets_beyond_the_limit_get_nothing) {
  RunSockets sockets;
  for (std::size_t i = 1; i <= RunSockets::sockets_max + 1; ++i) {
    SocketReport one = report("open 1 udp 6 :: 80");
    one.cookie = i;
    one.port = Port{static_cast<std::uint16_t>(i)};
    EXPECT_THAT(sockets.opened(one), SizeIs(i <= RunSockets::sockets_max ? 1 : 0)) << i;
  }
}

}  // namespace
}  // namespace portolan
