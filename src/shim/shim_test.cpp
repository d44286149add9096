// SPDX-License-Identifier: BSD-2-Clause
//
// The shim in this very program: main() starts it anew with the shim loaded, as `portolan run` does on a host
// that has only IPv6. What goes over the kernel's loopback is real.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/file_descriptor.h"
#include "shim/addresses.h"

namespace portolan::shim {
namespace {

using io::FileDescriptor;

auto ipv4(const char* text) -> in_addr {
  in_addr address{};
  EXPECT_EQ(::inet_pton(AF_INET, text, &address), 1);
  return address;
}
auto ipv6(const char* text) -> in6_addr {
  in6_addr address{};
  EXPECT_EQ(::inet_pton(AF_INET6, text, &address), 1);
  return address;
}
auto shown(const in_addr& address) -> std::string {
  std::array<char, INET6_ADDRSTRLEN> text{};
  return ::inet_ntop(AF_INET, &address, text.data(), text.size());
}
auto shown(const in6_addr& address) -> std::string {
  std::array<char, INET6_ADDRSTRLEN> text{};
  return ::inet_ntop(AF_INET6, &address, text.data(), text.size());
}

TEST(ShimAddresses, prefixes_of_rfc_6052_are_read_and_nothing_else) {
  for (const unsigned length : {32U, 40U, 48U, 56U, 64U, 96U})
    EXPECT_EQ(parse_prefix64(fmt::format("2001:db8::/{}", length).c_str()).length, length);
  for (const char* text :
       {"", "2001:db8::", "2001:db8::/", "2001:db8::/33", "2001:db8::/72", "2001:db8::/128",
        "2001:db8::/9999999999", "192.0.2.0/32", "2001:db8::/9x", "x/96"})
    EXPECT_EQ(parse_prefix64(text).length, 0U) << text;
  EXPECT_EQ(parse_prefix64(nullptr).length, 0U);
}

TEST(ShimAddresses, an_embedded_address_is_the_same_there_and_back) {
  // RFC 6052 s2.4.
  for (const auto& [prefix, whole] : {std::pair{"2001:db8::/32", "2001:db8:c000:221::"},
                                      {"2001:db8:100::/40", "2001:db8:1c0:2:21::"},
                                      {"2001:db8:122::/48", "2001:db8:122:c000:2:2100::"},
                                      {"2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"},
                                      {"2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"},
                                      {"2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"}}) {
    const Prefix64 parsed = parse_prefix64(prefix);
    EXPECT_EQ(shown(to_ipv6(ipv4("192.0.2.33"), parsed)), shown(ipv6(whole))) << prefix;
    EXPECT_EQ(shown(to_ipv4(ipv6(whole), parsed)), "192.0.2.33") << prefix;
  }
}

TEST(ShimAddresses, what_is_no_ipv4_address_is_shown_as_a_dummy) {
  const Prefix64 prefix = parse_prefix64("64:ff9b::/96");
  EXPECT_EQ(shown(to_ipv4(ipv6("2001:db8::1"), prefix)), "192.0.0.8");
  EXPECT_EQ(shown(to_ipv4(ipv6("::1"), prefix)), "127.0.0.1");
  EXPECT_EQ(shown(to_ipv4(ipv6("::"), prefix)), "0.0.0.0");
  EXPECT_EQ(shown(to_ipv4(ipv6("::ffff:192.0.2.1"), prefix)), "192.0.2.1");
  EXPECT_EQ(shown(to_ipv6(ipv4("127.0.0.1"), prefix)), "::ffff:127.0.0.1");
  EXPECT_EQ(shown(to_ipv6(ipv4("0.0.0.0"), prefix)), "::");
}

/// An IPv4 socket at the wildcard, which the shim exchanges.
class ShimSockets : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(std::getenv("PORTOLAN_RUN_IPV6_ONLY"), nullptr) << "main() loads the shim";
  }

  static auto bound(int type) -> FileDescriptor {
    FileDescriptor made{::socket(AF_INET, type | SOCK_CLOEXEC, 0)};
    sockaddr_in any{};
    any.sin_family = AF_INET;
    EXPECT_EQ(::bind(made.get(), reinterpret_cast<sockaddr*>(&any), sizeof any), 0) << std::strerror(errno);
    return made;
  }
  static auto port_of(int descriptor) -> in_port_t {
    sockaddr_in name{};
    socklen_t length = sizeof name;
    EXPECT_EQ(::getsockname(descriptor, reinterpret_cast<sockaddr*>(&name), &length), 0);
    EXPECT_EQ(length, sizeof name);
    EXPECT_EQ(name.sin_family, AF_INET);
    EXPECT_EQ(name.sin_addr.s_addr, INADDR_ANY);
    return name.sin_port;
  }
  /// An IPv6 socket that talks to that port of this host.
  static auto peer(int type, in_port_t port) -> FileDescriptor {
    FileDescriptor made{::socket(AF_INET6, type | SOCK_CLOEXEC, 0)};
    sockaddr_in6 there{};
    there.sin6_family = AF_INET6;
    there.sin6_addr = in6addr_loopback;
    there.sin6_port = port;
    EXPECT_EQ(::connect(made.get(), reinterpret_cast<sockaddr*>(&there), sizeof there), 0)
        << std::strerror(errno);
    return made;
  }
};

TEST_F(ShimSockets, settings_made_before_listen_are_those_of_the_socket_that_listens) {
  const FileDescriptor listener = bound(SOCK_STREAM);
  const auto number = [&](int level, int name) {
    int value = -1;
    socklen_t length = sizeof value;
    EXPECT_EQ(::getsockopt(listener.get(), level, name, &value, &length), 0);
    return value;
  };
  const int on = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  const int room = 65536;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  ::fcntl(listener.get(), F_SETFL, O_NONBLOCK);
  const in_port_t port = port_of(listener.get());
  ASSERT_EQ(::listen(listener.get(), 5), 0);
  EXPECT_EQ(number(SOL_SOCKET, SO_DOMAIN), AF_INET6) << "the shim has exchanged it";
  EXPECT_EQ(port_of(listener.get()), port);
  EXPECT_EQ(number(SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT_EQ(number(SOL_SOCKET, SO_RCVBUF), 2 * room);
  EXPECT_NE(::fcntl(listener.get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(::fcntl(listener.get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(ShimSockets, many_datagrams_at_a_time_have_ipv4_peers_too) {
  constexpr std::size_t count = 40;  // more than the shim takes at a time
  const FileDescriptor server = bound(SOCK_DGRAM);
  const FileDescriptor client = peer(SOCK_DGRAM, port_of(server.get()));
  for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(::send(client.get(), &i, 1, 0), 1);
  std::array<std::array<char, 8>, count> octets{};
  std::array<iovec, count> places{};
  std::array<sockaddr_in, count> peers{};
  std::array<mmsghdr, count> messages{};
  for (std::size_t i = 0; i < count; ++i) {
    places.at(i) = {.iov_base = octets.at(i).data(), .iov_len = 1};
    messages.at(i).msg_hdr.msg_iov = &places.at(i);
    messages.at(i).msg_hdr.msg_iovlen = 1;
    messages.at(i).msg_hdr.msg_name = &peers.at(i);
    messages.at(i).msg_hdr.msg_namelen = sizeof peers.at(i);
  }
  unsigned received = 0;
  while (received < count) {
    const int got = ::recvmmsg(server.get(), &messages.at(received), count - received, MSG_DONTWAIT, nullptr);
    ASSERT_GT(got, 0) << std::strerror(errno);
    received += static_cast<unsigned>(got);
  }
  for (std::size_t i = 0; i < count; ++i) {
    EXPECT_EQ(octets.at(i)[0], static_cast<char>(i));
    EXPECT_EQ(messages.at(i).msg_hdr.msg_name, &peers.at(i));
    EXPECT_EQ(messages.at(i).msg_hdr.msg_namelen, sizeof(sockaddr_in));
    EXPECT_EQ(shown(peers.at(i).sin_addr), "127.0.0.1");
  }
  for (unsigned sent = 0; sent < count;) {
    const int done = ::sendmmsg(server.get(), &messages.at(sent), count - sent, 0);
    ASSERT_GT(done, 0) << std::strerror(errno);
    sent += static_cast<unsigned>(done);
  }
  for (std::size_t i = 0; i < count; ++i) {
    char octet = 0;
    ASSERT_EQ(::recv(client.get(), &octet, 1, MSG_DONTWAIT), 1) << "answers go to ::1, not to 127.0.0.1";
    EXPECT_EQ(octet, static_cast<char>(i));
    EXPECT_EQ(messages.at(i).msg_hdr.msg_name, &peers.at(i));
  }
}

TEST_F(ShimSockets, short_places_for_addresses_are_not_overrun) {
  const FileDescriptor server = bound(SOCK_DGRAM);
  const FileDescriptor client = peer(SOCK_DGRAM, port_of(server.get()));
  ASSERT_EQ(::send(client.get(), "x", 1, 0), 1);
  std::array<char, 8> place{};
  place.fill('#');
  socklen_t length = 4;
  char octet = 0;
  ASSERT_EQ(::recvfrom(server.get(), &octet, 1, 0, reinterpret_cast<sockaddr*>(place.data()), &length), 1);
  EXPECT_EQ(length, sizeof(sockaddr_in)) << "what there would have been";
  EXPECT_EQ(place[4], '#');
}

TEST_F(ShimSockets, mistakes_of_the_program_are_told_as_ever) {
  const FileDescriptor server = bound(SOCK_DGRAM);
  EXPECT_EQ(::bind(server.get(), nullptr, 0), -1);
  EXPECT_EQ(::listen(server.get(), 5), -1);
  EXPECT_EQ(errno, EOPNOTSUPP);
  EXPECT_EQ(::listen(-1, 5), -1);
  EXPECT_EQ(errno, EBADF);
  sockaddr_in taken{};
  taken.sin_family = AF_INET;
  taken.sin_port = port_of(server.get());
  const FileDescriptor second{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  EXPECT_EQ(::bind(second.get(), reinterpret_cast<sockaddr*>(&taken), sizeof taken), -1);
  EXPECT_EQ(errno, EADDRINUSE);
  char octet = 0;
  EXPECT_EQ(::recvfrom(server.get(), &octet, 1, MSG_DONTWAIT, nullptr, nullptr), -1);
  EXPECT_EQ(errno, EAGAIN);
}

}  // namespace
}  // namespace portolan::shim

auto main(int argc, char** argv) -> int {
  if (std::getenv("PORTOLAN_RUN_IPV6_ONLY") == nullptr) {
    ::setenv("PORTOLAN_RUN_IPV6_ONLY", "1", 1);
    ::setenv("PORTOLAN_RUN_PREFIX64", "64:ff9b::/96", 1);
    ::setenv("LD_PRELOAD", PORTOLAN_SHIM, 1);
    ::execv("/proc/self/exe", argv);
    return 1;
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
