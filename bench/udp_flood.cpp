// SPDX-License-Identifier: BSD-2-Clause
//
// Sends small UDP datagrams as fast as one thread can, or counts those that arrive.
//
//   udp_flood send ADDRESS PORT OCTETS MILLISECONDS   one flow; prints datagrams taken by the kernel and
//                                                     nanoseconds
//   udp_flood mix ADDRESS PACKETS OCTETS MILLISECONDS
//                                                     the same over many flows of PACKETS datagrams each,
//                                                     from many sockets in turn to one port after the other
//   udp_flood count PORT                              answers each line of input with the datagrams so far
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <thread>

#include "base/check.h"

namespace {

constexpr std::size_t batch = 64;
constexpr std::size_t octets_max = 1472;
constexpr int receive_buffer = 8 << 20;
/// Those of a mix. As on a real line most flows have a socket of their own, or share it with few.
constexpr std::size_t sockets = 256;
constexpr std::uint64_t first_port = 1024;
constexpr std::uint64_t ports = 64512;

struct Batch {
  std::array<std::array<std::byte, octets_max>, batch> payloads{};
  std::array<iovec, batch> pieces{};
  std::array<mmsghdr, batch> messages{};

  explicit Batch(std::size_t octets) {
    for (std::size_t i = 0; i < batch; ++i) {
      pieces[i] = {.iov_base = payloads[i].data(), .iov_len = octets};
      messages[i].msg_hdr.msg_iov = &pieces[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
  }
};

auto send(const char* address, const char* port, std::size_t octets, std::chrono::milliseconds length)
    -> int {
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* to = nullptr;
  PORTOLAN_CHECK(octets <= octets_max && ::getaddrinfo(address, port, &hints, &to) == 0);
  const int socket = ::socket(to->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  PORTOLAN_CHECK(socket >= 0 && ::connect(socket, to->ai_addr, to->ai_addrlen) == 0);
  ::freeaddrinfo(to);
  Batch datagrams(octets);
  std::uint64_t sent = 0;
  const auto start = std::chrono::steady_clock::now();
  auto now = start;
  for (; now - start < length; now = std::chrono::steady_clock::now()) {
    const int taken = ::sendmmsg(socket, datagrams.messages.data(), batch, 0);
    if (taken > 0) sent += static_cast<std::uint64_t>(taken);
  }
  std::printf("%llu %lld\n", static_cast<unsigned long long>(sent),
              static_cast<long long>(std::chrono::nanoseconds(now - start).count()));
  return 0;
}

auto mix(const char* address, std::size_t packets, std::size_t octets, std::chrono::milliseconds length)
    -> int {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  PORTOLAN_CHECK(packets > 0 && octets <= octets_max && ::inet_pton(AF_INET, address, &to.sin_addr) == 1);
  std::array<int, sockets> senders{};
  for (int& sender : senders) {
    sender = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    PORTOLAN_CHECK(sender >= 0);
  }
  Batch datagrams(octets);
  std::array<sockaddr_in, batch> peers{};
  for (std::size_t i = 0; i < batch; ++i) {
    datagrams.messages[i].msg_hdr.msg_name = &peers[i];
    datagrams.messages[i].msg_hdr.msg_namelen = sizeof peers[i];
  }
  std::uint64_t sent = 0;
  const auto start = std::chrono::steady_clock::now();
  auto now = start;
  for (; now - start < length; now = std::chrono::steady_clock::now()) {
    for (std::size_t i = 0; i < batch; ++i) {
      peers[i] = to;
      const std::uint64_t flow = (sent + i) / packets;
      peers[i].sin_port = htons(static_cast<std::uint16_t>(first_port + flow % ports));
    }
    const int sender = senders[sent / std::max(packets, batch) % sockets];
    const int taken = ::sendmmsg(sender, datagrams.messages.data(), batch, 0);
    if (taken > 0) sent += static_cast<std::uint64_t>(taken);
  }
  std::printf("%llu %lld\n", static_cast<unsigned long long>(sent),
              static_cast<long long>(std::chrono::nanoseconds(now - start).count()));
  return 0;
}

auto count(const char* port) -> int {
  const int socket = ::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const int off = 0;
  sockaddr_in6 any{};
  any.sin6_family = AF_INET6;
  any.sin6_port = htons(static_cast<std::uint16_t>(std::strtoul(port, nullptr, 10)));
  PORTOLAN_CHECK(socket >= 0);
  PORTOLAN_CHECK(::setsockopt(socket, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0);
  PORTOLAN_CHECK(::setsockopt(socket, SOL_SOCKET, SO_RCVBUFFORCE, &receive_buffer, sizeof receive_buffer) ==
                 0);
  PORTOLAN_CHECK(::bind(socket, reinterpret_cast<const sockaddr*>(&any), sizeof any) == 0);
  static std::atomic<std::uint64_t> received = 0;
  std::thread([socket] {
    Batch datagrams(octets_max);
    for (;;) {
      const int taken = ::recvmmsg(socket, datagrams.messages.data(), batch, MSG_WAITFORONE, nullptr);
      if (taken > 0) received += static_cast<std::uint64_t>(taken);
    }
  }).detach();
  std::puts("ready");
  std::fflush(stdout);
  for (int next = std::getchar(); next != EOF; next = std::getchar()) {
    if (next != '\n') continue;
    std::printf("%llu\n", static_cast<unsigned long long>(received.load()));
    std::fflush(stdout);
  }
  std::_Exit(0);
}

}  // namespace

auto main(int argc, char** argv) -> int {
  const std::string_view what = argc > 1 ? argv[1] : "";
  if (what == "send" && argc == 6)
    return send(argv[2], argv[3], std::strtoul(argv[4], nullptr, 10),
                std::chrono::milliseconds(std::strtol(argv[5], nullptr, 10)));
  if (what == "mix" && argc == 6)
    return mix(argv[2], std::strtoul(argv[3], nullptr, 10), std::strtoul(argv[4], nullptr, 10),
               std::chrono::milliseconds(std::strtol(argv[5], nullptr, 10)));
  if (what == "count" && argc == 3) return count(argv[2]);
  std::fputs(
      "usage: udp_flood send ADDRESS PORT OCTETS MILLISECONDS |"
      " mix ADDRESS PACKETS OCTETS MILLISECONDS | count PORT\n",
      stderr);
  return 2;
}
