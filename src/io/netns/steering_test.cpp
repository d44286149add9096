// SPDX-License-Identifier: BSD-2-Clause
//
// The steering program in the kernel, on a TUN with several queues.
#include "io/steering.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "io/netns/private_network.h"
#include "io/tun.h"
#include "nat/testing/test_packets.h"

namespace portolan::io {
namespace {

using nat::test::Octets;
using nat::test::PacketBuilder;

constexpr unsigned queues = 4;
constexpr const char* inside = "2001:db8:112:7::2";
constexpr const char* far6 = "2001:db8:64:ff9b::198.51.100.7";
constexpr const char* far4 = "198.51.100.7";
constexpr const char* pool = "192.0.2.14";

auto v6(const std::string& text) -> Ipv6Address { return *Ipv6Address::parse(text); }

class SteeringTest : public testing::PrivateNetwork {
 protected:
  void SetUp() override {
    PrivateNetwork::SetUp();
    if (HasFatalFailure()) return;
    auto tun = Tun::open({.queues = queues});
    ASSERT_TRUE(tun) << tun.error();
    tun_.emplace(*std::move(tun));
    socket_ = FileDescriptor{::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    ASSERT_TRUE(socket_) << errno_text("socket(AF_PACKET)", errno);
  }

  void steer(unsigned prefix_length) {
    const auto steered = tun_->steer(Steering(prefix_length));
    ASSERT_TRUE(steered) << to_string(steered.error());
  }

  /// The queue that `packet` comes out of.
  auto queue_of(const Octets& packet) -> unsigned {
    const bool is_ipv6 = packet.at(0) >> 4U == 6;
    sockaddr_ll to{};
    to.sll_family = AF_PACKET;
    to.sll_protocol = htons(is_ipv6 ? ETH_P_IPV6 : ETH_P_IP);
    to.sll_ifindex = static_cast<int>(tun_->interface_index());
    const auto sent = ::sendto(socket_.get(), packet.data(), packet.size(), 0,
                               reinterpret_cast<const sockaddr*>(&to), sizeof to);
    if (sent != static_cast<ssize_t>(packet.size())) throw std::runtime_error(errno_text("sendto", errno));
    std::array<pollfd, queues> entries{};
    for (unsigned queue = 0; queue < queues; ++queue)
      entries.at(queue) = {.fd = tun_->descriptor(queue), .events = POLLIN, .revents = 0};
    std::array<std::byte, Tun::buffer_bytes> buffer{};
    while (::poll(entries.data(), queues, 10'000) > 0) {
      for (unsigned queue = 0; queue < queues; ++queue) {
        if (entries.at(queue).revents == 0) continue;
        const auto got = tun_->read(buffer, queue);
        if (got && *got == Tun::header_bytes + packet.size() &&
            std::memcmp(buffer.data() + Tun::header_bytes, packet.data(), packet.size()) == 0)
          return queue;
      }
    }
    throw std::runtime_error("the packet comes out of no queue");
  }

 private:
  std::optional<Tun> tun_;
  FileDescriptor socket_;
};

TEST_F(SteeringTest, packets_of_a_subscriber_leave_by_the_queue_of_its_prefix) {
  for (const unsigned prefix_length : {6U, 31U, 32U, 33U, 40U, 48U, 56U, 64U, 65U, 70U, 127U, 128U}) {
    steer(prefix_length);
    const Steering steering(prefix_length);
    std::set<unsigned> seen;
    // Subscribers differ in the last 6 bits of their prefixes; what comes behind is of no importance.
    for (unsigned i = 0; i < 64; ++i) {
      Ipv6Address source = v6(inside);
      for (unsigned bit = 0; bit < 6; ++bit) {
        const unsigned at = prefix_length - 6 + bit;
        const auto mask = static_cast<std::uint8_t>(0x80U >> at % 8);
        std::uint8_t& octet = source.octets.at(at / 8);
        octet = static_cast<std::uint8_t>((i & 1U << bit) != 0 ? octet | mask : octet & ~mask);
      }
      const unsigned expected = steering.subscriber(source) % queues;
      seen.insert(expected);
      if (prefix_length < 128) {
        source.octets.at(15) ^= 1U;
        ASSERT_EQ(steering.subscriber(source) % queues, expected);
      }
      const std::string text = to_string(IpAddress{source});
      EXPECT_EQ(queue_of(PacketBuilder(text, far6).udp(static_cast<std::uint16_t>(1000 + i), 53).build()),
                expected)
          << text << '/' << prefix_length;
    }
    EXPECT_EQ(seen.size(), queues) << "of /" << prefix_length;
  }
}

TEST_F(SteeringTest, addresses_of_one_subscriber_share_a_queue_and_a_longer_prefix_parts_them) {
  const Steering by_link(64);
  const Steering by_host(128);
  std::set<std::uint32_t> hosts;
  for (unsigned i = 1; i < 64; ++i) {
    const auto address = v6(fmt::format("2001:db8:112:7::{:x}", i));
    EXPECT_EQ(by_link.subscriber(address), by_link.subscriber(v6(inside)));
    hosts.insert(by_host.subscriber(address) % queues);
  }
  EXPECT_EQ(hosts.size(), queues);
}

TEST_F(SteeringTest, an_icmpv6_error_goes_where_the_host_it_is_about_belongs) {
  steer(64);
  const Steering steering(64);
  for (unsigned i = 0; i < 16; ++i) {
    const std::string host = fmt::format("2001:db8:112:{:x}::2", i);
    const Octets quoted = PacketBuilder(far6, host).udp(53, 1000).payload("late").build();
    const Octets error = PacketBuilder("2001:db8:ffff::1", far6).icmp(1, 3, 0, quoted).build();
    EXPECT_EQ(queue_of(error), steering.subscriber(v6(host)) % queues) << host;
    const Octets ping = PacketBuilder(host, far6).echo_request(7).build();
    EXPECT_EQ(queue_of(ping), steering.subscriber(v6(host)) % queues) << host;
  }
}

TEST_F(SteeringTest, packets_from_outside_go_by_the_block_of_their_external_port) {
  steer(64);
  for (const unsigned port : {1U, 63U, 64U, 65U, 127U, 128U, 1023U, 1024U, 40000U, 65535U}) {
    const auto external = static_cast<std::uint16_t>(port);
    const unsigned expected = port / Steering::ports_per_block % queues;
    EXPECT_EQ(queue_of(PacketBuilder(far4, pool).udp(53, external).build()), expected) << port;
    EXPECT_EQ(queue_of(PacketBuilder(far4, pool).tcp(80, external, "SA").build()), expected) << port;
    EXPECT_EQ(queue_of(PacketBuilder(far4, pool).echo_reply(external).build()), expected) << port;
    EXPECT_EQ(queue_of(PacketBuilder(far4, pool).echo_request(external).build()), expected) << port;
    EXPECT_EQ(queue_of(PacketBuilder(far4, pool).ipv4_options({1, 1, 1, 0}).udp(53, external).build()),
              expected)
        << port << " behind options";
  }
}

TEST_F(SteeringTest, an_icmp_error_goes_by_the_port_that_it_quotes) {
  steer(64);
  for (const unsigned port : {5U, 64U, 129U, 40000U, 65535U}) {
    const auto external = static_cast<std::uint16_t>(port);
    const unsigned expected = port / Steering::ports_per_block % queues;
    const auto error = [](const Octets& quoted) {
      return PacketBuilder("203.0.113.1", pool).icmp(11, 0, 0, quoted).build();
    };
    EXPECT_EQ(queue_of(error(PacketBuilder(pool, far4).udp(external, 53).build())), expected) << port;
    EXPECT_EQ(
        queue_of(error(PacketBuilder(pool, far4).ipv4_options({1, 1, 1, 0}).tcp(external, 80, "S").build())),
        expected)
        << port;
    EXPECT_EQ(queue_of(error(PacketBuilder(pool, far4).echo_request(external).build())), expected) << port;
  }
}

TEST_F(SteeringTest, fragments_and_what_has_no_ports_go_to_the_first_queue) {
  steer(64);
  constexpr std::uint16_t more = 0x2000;
  for (const std::uint16_t field : {more, std::uint16_t{185}})
    EXPECT_EQ(queue_of(PacketBuilder(far4, pool).udp(53, 64).fragment_field(field).build()), 0U);
  EXPECT_EQ(queue_of(PacketBuilder(far4, pool).protocol(47).payload("\0\0\xff\xff").build()), 0U);
  EXPECT_EQ(queue_of(PacketBuilder(far4, pool).udp(53, 64).dont_fragment().build()), 1U)
      << "DF is no fragment";
}

TEST_F(SteeringTest, packets_that_end_early_go_to_the_first_queue) {
  steer(64);
  Octets packet = PacketBuilder(far4, pool).udp(53, 64).build();
  packet.resize(20 + 2);
  EXPECT_EQ(queue_of(packet), 0U);
  packet =
      PacketBuilder("203.0.113.1", pool).icmp(3, 3, 0, PacketBuilder(pool, far4).udp(64, 53).build()).build();
  packet.resize(20 + 8 + 20);
  EXPECT_EQ(queue_of(packet), 0U);
}

}  // namespace
}  // namespace portolan::io
