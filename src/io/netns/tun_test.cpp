// SPDX-License-Identifier: BSD-2-Clause
//
// The TUN interface with the real kernel on the other side.
#include "io/tun.h"

#include <linux/if_tun.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/netns/private_network.h"
#include "io/sysctl.h"
#include "io/testing.h"
#include "io/udp.h"

namespace portolan::io {
namespace {

using testing::address;
using ::testing::HasSubstr;
using testing::octets_of;
using testing::text_of;
using testing::wait_readable;

class TunTest : public testing::PrivateNetwork {
 protected:
  auto opened(const TunOptions& options = {}) -> Tun {
    auto tun = Tun::open(options);
    if (!tun) throw std::runtime_error(tun.error());
    return std::move(*tun);
  }
  /// The next IPv4 packet the kernel sends into the TUN, with its header; empty if none comes.
  auto next_packet(const Tun& tun) -> std::vector<std::byte> {
    std::vector<std::byte> buffer(Tun::buffer_bytes);
    while (wait_readable(tun.descriptor())) {
      const auto got = tun.read(buffer);
      if (!got) throw std::runtime_error(to_string(got.error()));
      if (*got > Tun::header_bytes && std::to_integer<unsigned>(buffer[Tun::header_bytes]) >> 4U == 4U) {
        buffer.resize(*got);
        return buffer;
      }
    }
    return {};
  }
};

TEST_F(TunTest, comes_up_as_asked_and_goes_with_its_object) {
  {
    const Tun tun = opened({.name = "nat64", .mtu = 9000, .tx_queue_length = 4321});
    EXPECT_EQ(tun.name(), "nat64");
    const auto interface = netlink().interface("nat64");
    ASSERT_TRUE(interface) << interface.error();
    EXPECT_EQ(interface->index, tun.interface_index());
    EXPECT_EQ(interface->mtu, 9000U);
    EXPECT_EQ(interface->tx_queue_length, 4321U);
    EXPECT_TRUE(interface->is_up);
    const auto addresses = netlink().addresses(interface->index);
    ASSERT_TRUE(addresses);
    EXPECT_TRUE(addresses->empty()) << "a link-local address makes the kernel send router solicitations";
  }
  const auto gone = netlink().find_interface("nat64");
  ASSERT_TRUE(gone);
  EXPECT_FALSE(gone->has_value());
}

TEST_F(TunTest, kernel_hands_us_superpackets) { EXPECT_NE(opened().offloads(), TunOffloads::none); }

TEST_F(TunTest, nothing_waiting_reads_as_zero) {
  const Tun tun = opened();
  std::array<std::byte, 2048> buffer{};
  EXPECT_EQ(tun.read(buffer), std::size_t{0});
}

TEST_F(TunTest, packets_pass_in_both_directions_with_their_header) {
  const Tun tun = opened();
  ASSERT_TRUE(
      netlink().add_address(tun.interface_index(), {.address = address("192.0.2.1"), .prefix_length = 24}));
  auto socket = UdpSocket::open({.bind_address = address("192.0.2.1"), .bind_port = Port{1000}});
  ASSERT_TRUE(socket) << socket.error();
  ASSERT_EQ(socket
                ->send({.destination = {.address = address("192.0.2.2"), .port = Port{1000}},
                        .payload = octets_of("out")})
                .sent,
            1U);
  auto packet = next_packet(tun);
  ASSERT_EQ(packet.size(), Tun::header_bytes + 20 + 8 + 3);
  EXPECT_EQ(text_of(std::span(packet).last(3)), "out");

  // Sent back with the two addresses swapped it is its own answer: both ports are the same, and sums do
  // not depend on the order, so the checksum left to us in the header still is what it was.
  const auto source = std::span(packet).subspan(Tun::header_bytes + 12, 4);
  const auto destination = std::span(packet).subspan(Tun::header_bytes + 16, 4);
  std::ranges::swap_ranges(source, destination);
  const auto written = tun.write(packet);
  ASSERT_TRUE(written) << to_string(written.error());
  ASSERT_TRUE(wait_readable(socket->descriptor()));
  const auto batch = socket->receive();
  ASSERT_TRUE(batch);
  ASSERT_EQ(batch->size(), 1U);
  EXPECT_EQ(batch->front().source.address, address("192.0.2.2"));
  EXPECT_EQ(batch->front().interface_index, tun.interface_index());
  EXPECT_EQ(text_of(batch->front().payload), "out");
}

TEST_F(TunTest, udp_superpacket_arrives_in_one_read_where_the_kernel_has_uso) {
  const Tun tun = opened();
  ASSERT_TRUE(
      netlink().add_address(tun.interface_index(), {.address = address("192.0.2.1"), .prefix_length = 24}));
  auto socket = UdpSocket::open({.bind_address = address("192.0.2.1")});
  ASSERT_TRUE(socket) << socket.error();
  const int segment_size = 1200;
  ASSERT_EQ(::setsockopt(socket->descriptor(), IPPROTO_UDP, UDP_SEGMENT, &segment_size, sizeof segment_size),
            0);
  const std::string text(12'000, 'x');
  ASSERT_EQ(socket
                ->send({.destination = {.address = address("192.0.2.2"), .port = Port{1000}},
                        .payload = octets_of(text)})
                .sent,
            1U);
  const auto packet = next_packet(tun);
  if (tun.offloads() == TunOffloads::tso_uso) {
    EXPECT_EQ(packet.size(), Tun::header_bytes + 28 + text.size());
    EXPECT_EQ(std::to_integer<int>(packet.at(1)), 5);  // gso_type UDP_L4
  } else {
    EXPECT_EQ(packet.size(), Tun::header_bytes + 28 + 1200);
  }
}

TEST_F(TunTest, contradictory_header_is_refused) {
  const Tun tun = opened();
  std::array<std::byte, Tun::header_bytes + 20> packet{};
  packet[0] = std::byte{1};     // checksum to be completed
  packet[6] = std::byte{0xff};  // far behind the packet's end
  packet[10] = std::byte{0x45};
  const auto written = tun.write(packet);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().number, EINVAL);
}

TEST_F(TunTest, several_queues_share_one_interface) {
  const Tun tun = opened({.queues = 3});
  EXPECT_EQ(tun.queue_count(), 3U);
  EXPECT_NE(tun.descriptor(0), tun.descriptor(2));
}

TEST_F(TunTest, name_in_use_is_explained) {
  const Tun first = opened();
  const auto second = Tun::open({});
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error(), HasSubstr("TUN interface nat64: "));
  EXPECT_THAT(second.error(), HasSubstr("another process has it open"));
  const auto loopback = Tun::open({.name = "lo"});
  ASSERT_FALSE(loopback);
  EXPECT_THAT(loopback.error(), HasSubstr("choose another name"));
}

TEST_F(TunTest, queues_of_another_are_not_joined) {
  const auto tried = [](unsigned queues, const char* name = "nat64") -> std::string {
    const auto tun = Tun::open({.name = name, .queues = queues});
    return tun ? "opened" : tun.error();
  };
  {
    const Tun first = opened({.queues = 2});
    EXPECT_THAT(tried(2), HasSubstr("TUN interface nat64: "));
    EXPECT_THAT(tried(2), HasSubstr("another process has it open"));
    EXPECT_THAT(tried(1), HasSubstr("another process has it open"));
    EXPECT_EQ(::ioctl(first.descriptor(), TUNSETPERSIST, 1), 0);
  }
  EXPECT_EQ(tried(2), "opened") << "one that nobody has open is taken";
  EXPECT_THAT(tried(2, "lo"), HasSubstr("choose another name"));
}

TEST_F(TunTest, options_are_checked_at_their_limits) {
  EXPECT_FALSE(Tun::open({.name = ""}));
  EXPECT_TRUE(Tun::open({.name = "fifteen-octets-"}));
  EXPECT_FALSE(Tun::open({.name = "sixteen-octets--"}));
  EXPECT_FALSE(Tun::open({.mtu = 1279}));
  EXPECT_TRUE(Tun::open({.mtu = 1280}));
  EXPECT_TRUE(Tun::open({.mtu = 65535}));
  EXPECT_FALSE(Tun::open({.mtu = 65536}));
  EXPECT_FALSE(Tun::open({.queues = 0}));
  EXPECT_TRUE(Tun::open({.queues = 256}));
  EXPECT_FALSE(Tun::open({.queues = 257}));
}

// --- UDP on interfaces other than loopback --------------------------------------------------------------

TEST_F(TunTest, link_local_peers_come_with_their_scope_and_are_answered) {
  add_address(1, "fe80::1", 64);
  auto server = UdpSocket::open({});
  auto client = UdpSocket::open({.bind_address = address("fe80::1"), .scope_id = 1});
  ASSERT_TRUE(server) << server.error();
  ASSERT_TRUE(client) << client.error();
  ASSERT_EQ(client
                ->send({.destination = {.address = address("fe80::1"), .port = server->local_endpoint().port},
                        .scope_id = 1,
                        .payload = octets_of("?")})
                .sent,
            1U);
  ASSERT_TRUE(wait_readable(server->descriptor()));
  const auto batch = server->receive();
  ASSERT_TRUE(batch);
  ASSERT_EQ(batch->size(), 1U);
  EXPECT_EQ(batch->front().scope_id, 1U);
  EXPECT_EQ(batch->front().local_address, address("fe80::1"));
  ASSERT_EQ(server->send(answer_to(batch->front(), octets_of("!"))).sent, 1U);
  ASSERT_TRUE(wait_readable(client->descriptor()));
}

TEST_F(TunTest, ipv6_answers_leave_from_the_address_asked) {
  add_address(1, "2001:db8::1", 128);
  add_address(1, "2001:db8::2", 128);
  auto server = UdpSocket::open({});
  auto client = UdpSocket::open({.bind_address = address("2001:db8::1")});
  ASSERT_TRUE(server && client);
  ASSERT_EQ(
      client
          ->send({.destination = {.address = address("2001:db8::2"), .port = server->local_endpoint().port},
                  .payload = octets_of("?")})
          .sent,
      1U);
  ASSERT_TRUE(wait_readable(server->descriptor()));
  const auto requests = server->receive();
  ASSERT_TRUE(requests);
  ASSERT_EQ(server->send(answer_to(requests->front(), octets_of("!"))).sent, 1U);
  ASSERT_TRUE(wait_readable(client->descriptor()));
  const auto answers = client->receive();
  ASSERT_TRUE(answers);
  EXPECT_EQ(answers->front().source.address, address("2001:db8::2"));
}

TEST_F(TunTest, requests_from_the_host_itself_are_answered) {
  const Tun tun = opened();
  add_address(tun.interface_index(), "192.0.2.1", 24);
  add_address(tun.interface_index(), "2001:db8::1", 64);
  auto server = UdpSocket::open({});
  auto client = UdpSocket::open({});
  ASSERT_TRUE(server && client);
  for (const auto* own : {"192.0.2.1", "2001:db8::1"}) {
    const Endpoint endpoint{.address = address(own), .port = server->local_endpoint().port};
    ASSERT_EQ(client->send({.destination = endpoint, .payload = octets_of("?")}).sent, 1U);
    ASSERT_TRUE(wait_readable(server->descriptor()));
    const auto requests = server->receive();
    ASSERT_TRUE(requests);
    EXPECT_EQ(requests->front().local_address, address(own));
    ASSERT_EQ(server->send(answer_to(requests->front(), octets_of("!"))).sent, 1U) << own;
    ASSERT_TRUE(wait_readable(client->descriptor())) << own;
    const auto answers = client->receive();
    ASSERT_TRUE(answers);
    EXPECT_EQ(answers->front().source, endpoint);
  }
}

TEST_F(TunTest, multicast_reaches_every_socket_that_shares_the_port) {
  const Tun tun = opened();
  const unsigned index = tun.interface_index();
  add_address(index, "fe80::5", 64);
  add_address(index, "192.0.2.1", 24);
  const UdpOptions options{.bind_port = Port{5350}, .shares_port = true};
  auto first = UdpSocket::open(options);
  auto second = UdpSocket::open(options);
  ASSERT_TRUE(first && second);
  auto sender = UdpSocket::open({});
  ASSERT_TRUE(sender);
  for (const auto* group : {"ff02::1", "224.0.0.1"}) {
    ASSERT_TRUE(first->join(address(group), index)) << group;
    ASSERT_TRUE(second->join(address(group), index)) << group;
    ASSERT_TRUE(second->join(address(group), index)) << "joining again is no error";
    const auto result = sender->send({.destination = {.address = address(group), .port = Port{5350}},
                                      .scope_id = index,
                                      .interface_index = index,
                                      .payload = octets_of("epoch")});
    ASSERT_EQ(result.sent, 1U) << group << ' ' << to_string(result.error.value_or(SystemError{}));
    for (auto* socket : {&*first, &*second}) {
      ASSERT_TRUE(wait_readable(socket->descriptor())) << group;
      const auto batch = socket->receive();
      ASSERT_TRUE(batch);
      ASSERT_EQ(batch->size(), 1U);
      EXPECT_EQ(batch->front().local_address, address(group));
      EXPECT_EQ(batch->front().interface_index, index);
    }
  }
}

TEST_F(TunTest, host_without_ipv6_still_serves_ipv4) {
  ASSERT_TRUE(write_sysctl("net.ipv6.conf.all.disable_ipv6", "1"));
  auto server = UdpSocket::open({});
  ASSERT_TRUE(server) << server.error();
  auto client = UdpSocket::open({.bind_address = address("127.0.0.1")});
  ASSERT_TRUE(client) << client.error();
  ASSERT_EQ(
      client
          ->send({.destination = {.address = address("127.0.0.1"), .port = server->local_endpoint().port},
                  .payload = octets_of("?")})
          .sent,
      1U);
  EXPECT_TRUE(wait_readable(server->descriptor()));
}

TEST_F(TunTest, socket_bound_to_a_device_hears_only_that) {
  const Tun tun = opened();
  auto bound = UdpSocket::open({.device = "nat64"});
  ASSERT_TRUE(bound) << bound.error();
  const Port port = bound->local_endpoint().port;
  auto other = UdpSocket::open({.bind_port = port, .device = "lo"});
  ASSERT_TRUE(other) << other.error();
  auto client = UdpSocket::open({});
  ASSERT_EQ(
      client->send({.destination = {.address = address("::1"), .port = port}, .payload = octets_of("?")})
          .sent,
      1U);
  ASSERT_TRUE(wait_readable(other->descriptor()));
  const auto batch = bound->receive();
  ASSERT_TRUE(batch);
  EXPECT_TRUE(batch->empty());
}

}  // namespace
}  // namespace portolan::io
