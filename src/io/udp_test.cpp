// SPDX-License-Identifier: BSD-2-Clause
#include "io/udp.h"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/testing.h"

namespace portolan::io {
namespace {

using testing::address;
using ::testing::HasSubstr;
using testing::octets_of;
using testing::text_of;
using testing::wait_readable;

auto opened(const UdpOptions& options = {}) -> UdpSocket {
  auto socket = UdpSocket::open(options);
  if (!socket) throw std::runtime_error(socket.error());
  return std::move(*socket);
}

auto to(std::string_view where, Port port, std::string_view text) -> OutgoingDatagram {
  return {.destination = {.address = address(where), .port = port}, .payload = octets_of(text)};
}

TEST(Udp, one_socket_serves_both_families_and_tells_where_datagrams_came_to) {
  UdpSocket server = opened();
  const Port port = server.local_endpoint().port;
  UdpSocket client4 = opened({.bind_address = address("127.0.0.1")});
  UdpSocket client6 = opened({.bind_address = address("::1")});
  ASSERT_EQ(client4.send(to("127.0.0.2", port, "four")).sent, 1U);
  ASSERT_EQ(client6.send(to("::1", port, "six")).sent, 1U);

  ASSERT_TRUE(wait_readable(server.descriptor()));
  const auto batch = server.receive();
  ASSERT_TRUE(batch);
  ASSERT_EQ(batch->size(), 2U);
  const ReceivedDatagram& four = (*batch)[0];
  EXPECT_EQ(four.source, client4.local_endpoint());
  EXPECT_TRUE(four.source.address.is_ipv4());
  EXPECT_EQ(four.local_address, address("127.0.0.2"));
  EXPECT_EQ(four.interface_index, 1U);  // lo
  EXPECT_EQ(text_of(four.payload), "four");
  const ReceivedDatagram& six = (*batch)[1];
  EXPECT_EQ(six.source, client6.local_endpoint());
  EXPECT_EQ(six.local_address, address("::1"));
  EXPECT_EQ(six.interface_index, 1U);
  EXPECT_EQ(six.scope_id, 0U);
  EXPECT_EQ(text_of(six.payload), "six");
}

TEST(Udp, answer_leaves_from_the_address_the_request_came_to) {
  for (const auto& bind : {IpAddress{}, IpAddress::unspecified(Family::ipv4)}) {
    UdpSocket server = opened({.bind_address = bind});
    UdpSocket client = opened({.bind_address = address("127.0.0.1")});
    ASSERT_EQ(client.send(to("127.0.0.3", server.local_endpoint().port, "?")).sent, 1U);
    ASSERT_TRUE(wait_readable(server.descriptor()));
    const auto requests = server.receive();
    ASSERT_TRUE(requests);
    ASSERT_EQ(requests->size(), 1U);
    ASSERT_EQ(server.send(answer_to(requests->front(), octets_of("!"))).sent, 1U);
    ASSERT_TRUE(wait_readable(client.descriptor()));
    const auto answers = client.receive();
    ASSERT_TRUE(answers);
    ASSERT_EQ(answers->size(), 1U);
    EXPECT_EQ(answers->front().source.address, address("127.0.0.3"));
  }
}

TEST(Udp, interface_alone_may_be_chosen_for_either_family) {
  UdpSocket server = opened();
  UdpSocket sender = opened();
  const Port port = server.local_endpoint().port;
  auto four = to("127.0.0.1", port, "four");
  auto six = to("::1", port, "six");
  four.interface_index = six.interface_index = 1;
  const auto result = sender.send(std::vector{four, six});
  EXPECT_EQ(result.sent, 2U);
  EXPECT_FALSE(result.error);
}

TEST(Udp, what_waits_arrives_whole_in_order_and_no_more_than_asked_for) {
  constexpr std::size_t count = 2 * UdpSocket::batch_max + 6;
  for (const std::size_t receive_max : {UdpSocket::batch_max, count - 1, count, count + 1}) {
    UdpSocket server = opened({.receive_buffer_bytes = 1U << 20U, .receive_max = receive_max});
    UdpSocket client = opened();
    std::vector<std::string> texts;
    texts.reserve(count);
    for (std::size_t i = 0; i < count; ++i) texts.push_back("datagram " + std::to_string(i));
    std::vector<OutgoingDatagram> out;
    out.reserve(count);
    for (const auto& text : texts) out.push_back(to("::1", server.local_endpoint().port, text));
    const auto sent = client.send(out);
    EXPECT_EQ(sent.sent, count);
    EXPECT_EQ(sent.refused + sent.unsent, 0U);

    std::vector<std::string> received;
    while (received.size() < count && wait_readable(server.descriptor())) {
      const auto batch = server.receive();
      ASSERT_TRUE(batch);
      ASSERT_EQ(batch->size(), std::min(receive_max, count - received.size()));
      for (const auto& datagram : *batch) received.push_back(text_of(datagram.payload));
    }
    EXPECT_EQ(received, texts);
    const auto nothing = server.receive();
    ASSERT_TRUE(nothing);
    EXPECT_TRUE(nothing->empty());
  }
}

TEST(Udp, lengths_are_true_at_pcp_s_limit_and_past_the_buffer) {
  UdpSocket server = opened();
  UdpSocket client = opened();
  for (const std::size_t length : {0UL, 1UL, 1100UL, 1101UL, 2047UL, 2048UL, 2049UL, 60'000UL}) {
    const std::string text(length, 'x');
    ASSERT_EQ(client.send(to("::1", server.local_endpoint().port, text)).sent, 1U) << length;
    ASSERT_TRUE(wait_readable(server.descriptor()));
    const auto batch = server.receive();
    ASSERT_TRUE(batch);
    ASSERT_EQ(batch->size(), 1U);
    EXPECT_EQ(batch->front().length, length);
    EXPECT_EQ(batch->front().payload.size(), std::min(length, UdpSocket::datagram_bytes_max));
    EXPECT_EQ(batch->front().is_cut(), length > UdpSocket::datagram_bytes_max);
  }
}

TEST(Udp, received_datagrams_stay_valid_while_answers_are_sent) {
  UdpSocket server = opened();
  UdpSocket client = opened();
  ASSERT_EQ(client.send(to("::1", server.local_endpoint().port, "kept")).sent, 1U);
  ASSERT_TRUE(wait_readable(server.descriptor()));
  const auto batch = server.receive();
  ASSERT_TRUE(batch);
  ASSERT_EQ(batch->size(), 1U);
  for (int i = 0; i < 100; ++i) server.send(answer_to(batch->front(), batch->front().payload));
  EXPECT_EQ(text_of(batch->front().payload), "kept");
}

TEST(Udp, refused_datagram_does_not_hold_up_the_others) {
  UdpSocket server = opened();
  UdpSocket sender = opened();
  const Port port = server.local_endpoint().port;
  auto foreign = to("::1", port, "not ours");
  foreign.local_address = address("2001:db8::bad");  // no such address here
  const std::string overlong(70'000, 'x');
  const auto result = sender.send(
      std::vector{to("::1", port, "a"), foreign, to("::1", port, overlong), to("127.0.0.1", port, "b")});
  EXPECT_EQ(result.sent, 2U);
  EXPECT_EQ(result.refused, 2U);
  EXPECT_EQ(result.unsent, 0U);
  ASSERT_TRUE(result.error);
  EXPECT_THAT(to_string(*result.error), HasSubstr("sendmmsg: "));
}

TEST(Udp, ipv6_destination_on_an_ipv4_socket_is_refused) {
  UdpSocket sender = opened({.bind_address = address("127.0.0.1")});
  EXPECT_EQ(sender.send(to("::1", Port{9}, "x")).refused, 1U);
  EXPECT_FALSE(sender.connect({.address = address("::1"), .port = Port{9}}));
}

auto closed_port() -> Port { return opened().local_endpoint().port; }

TEST(Udp, icmp_error_about_a_connected_peer_is_told_once_and_does_no_harm) {
  for (const auto* peer : {"127.0.0.1", "::1"}) {
    UdpSocket client = opened();
    const Port port = closed_port();
    ASSERT_TRUE(client.connect({.address = address(peer), .port = port}));
    EXPECT_EQ(client.local_endpoint().address, address(peer));
    ASSERT_EQ(client.send({.payload = octets_of("anybody?")}).sent, 1U);
    ASSERT_TRUE(wait_readable(client.descriptor()));
    const auto told = client.receive();
    ASSERT_FALSE(told);
    EXPECT_EQ(told.error().number, ECONNREFUSED);
    const auto then = client.receive();
    ASSERT_TRUE(then);
    EXPECT_TRUE(then->empty());

    // The same told by send(): the datagram goes out nevertheless, now that somebody listens.
    ASSERT_EQ(client.send({.payload = octets_of("anybody?")}).sent, 1U);
    ASSERT_TRUE(wait_readable(client.descriptor()));
    UdpSocket server = opened({.bind_address = address(peer), .bind_port = port});
    const auto result = client.send({.payload = octets_of("now?")});
    EXPECT_EQ(result.sent, 1U);
    EXPECT_EQ(result.error, (SystemError{ECONNREFUSED}));
    ASSERT_TRUE(wait_readable(server.descriptor()));
    const auto arrived = server.receive();
    ASSERT_TRUE(arrived);
    ASSERT_EQ(arrived->size(), 1U);
    EXPECT_EQ(text_of(arrived->front().payload), "now?");
  }
}

TEST(Udp, connected_socket_hears_only_its_peer) {
  UdpSocket server = opened({.bind_address = address("::1")});
  UdpSocket stranger = opened();
  UdpSocket client = opened();
  ASSERT_TRUE(client.connect(server.local_endpoint()));
  ASSERT_EQ(stranger.send(to("::1", client.local_endpoint().port, "stranger")).sent, 1U);
  ASSERT_EQ(server.send(to("::1", client.local_endpoint().port, "peer")).sent, 1U);
  ASSERT_TRUE(wait_readable(client.descriptor()));
  const auto batch = client.receive();
  ASSERT_TRUE(batch);
  ASSERT_EQ(batch->size(), 1U);
  EXPECT_EQ(text_of(batch->front().payload), "peer");
}

TEST(Udp, answer_to_a_multicast_request_leaves_the_source_to_the_kernel) {
  ReceivedDatagram request{.local_address = address("ff02::1"), .interface_index = 3};
  EXPECT_TRUE(answer_to(request, {}).local_address.is_unspecified());
  EXPECT_EQ(answer_to(request, {}).interface_index, 3U);
  request.local_address = address("224.0.0.1");
  EXPECT_TRUE(answer_to(request, {}).local_address.is_unspecified());
  request.local_address = address("192.0.2.1");
  EXPECT_EQ(answer_to(request, {}).local_address, address("192.0.2.1"));
}

TEST(Udp, receive_buffer_is_reported_as_got) {
  EXPECT_GE(opened({.receive_buffer_bytes = 1U << 18U}).receive_buffer_bytes(), std::size_t{1U << 17U});
  EXPECT_GT(opened().receive_buffer_bytes(), 0U);
}

TEST(Udp, a_port_that_nobody_chose_is_random) {
  // RFC 6056: whoever sees some of them cannot tell the next one. Of random ones 32 are in order once in
  // 10^35, and within a quarter of the range once in 10^17.
  std::vector<UdpSocket> sockets;
  std::vector<int> ports;
  for (int i = 0; i < 32; ++i) {
    sockets.push_back(opened({.bind_address = address("127.0.0.1")}));
    ports.push_back(sockets.back().local_endpoint().port.value);
  }
  int first = 0;
  int last = 0;
  std::ifstream("/proc/sys/net/ipv4/ip_local_port_range") >> first >> last;
  ASSERT_GT(last - first, 1000);
  EXPECT_FALSE(std::ranges::is_sorted(ports));
  EXPECT_FALSE(std::ranges::is_sorted(ports, std::greater{}));
  const auto [lowest, highest] = std::ranges::minmax(ports);
  EXPECT_GT(highest - lowest, (last - first) / 4);
}

TEST(Udp, port_in_use_is_named_in_the_error) {
  const UdpSocket first = opened({.bind_address = address("127.0.0.1")});
  const auto second =
      UdpSocket::open({.bind_address = address("127.0.0.1"), .bind_port = first.local_endpoint().port});
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error(), HasSubstr("127.0.0.1:"));
  EXPECT_THAT(second.error(), HasSubstr("Address already in use"));
}

TEST(Udp, unknown_device_is_named_in_the_error) {
  const auto socket = UdpSocket::open({.device = "nosuchdev0"});
  ASSERT_FALSE(socket);
  EXPECT_THAT(socket.error(), HasSubstr("nosuchdev0"));
}

TEST(Udp, socket_may_be_moved_while_datagrams_wait) {
  UdpSocket server = opened();
  UdpSocket client = opened();
  ASSERT_EQ(client.send(to("::1", server.local_endpoint().port, "x")).sent, 1U);
  UdpSocket moved{std::move(server)};
  ASSERT_TRUE(wait_readable(moved.descriptor()));
  const auto batch = moved.receive();
  ASSERT_TRUE(batch);
  EXPECT_EQ(batch->size(), 1U);
}

}  // namespace
}  // namespace portolan::io
