// SPDX-License-Identifier: BSD-2-Clause
//
// Decoding a MAP request and encoding its answer, against copying 60 + 60 octets and against a bare
// UDP echo over loopback in batches of 32, both sides counted: what the coder adds to what a server
// can't avoid.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>

#include "base/check.h"
#include "harness.h"
#include "wire/message.h"

namespace {

using namespace portolan;  // NOLINT(google-build-using-namespace): a program of one file

constexpr std::size_t batch = 32;

auto map_request() -> wire::Datagram {
  const auto client = IpAddress::parse("2001:db8:112::2");
  PORTOLAN_CHECK(client.has_value());
  wire::Request request{.opcode = wire::Opcode::map,
                        .requested_lifetime_s = 3600,
                        .client_address = *client,
                        .body = wire::MapRequest{.nonce = {},
                                                 .protocol = Protocol::tcp,
                                                 .internal_port = Port{8080},
                                                 .suggested_external_port = Port{8080},
                                                 .suggested_external_address = {}},
                        .options = {}};
  return wire::encode_request(request);
}

void decode_and_encode(std::size_t count) {
  const wire::Datagram datagram = map_request();
  for (std::size_t i = 0; i < count; ++i) {
    bench::keep(datagram);
    const auto request = wire::decode_request(datagram.octets());
    PORTOLAN_CHECK(request.has_value());
    const auto* map = std::get_if<wire::MapRequest>(&request->body);
    PORTOLAN_CHECK(map != nullptr);
    const wire::Response response{
        .opcode = request->opcode,
        .result = wire::ResultCode::success,
        .lifetime_s = request->requested_lifetime_s,
        .epoch_time_s = 1,
        .body = wire::MapResponse{.nonce = map->nonce,
                                  .protocol = map->protocol,
                                  .internal_port = map->internal_port,
                                  .assigned_external_port = Port{40123},
                                  .assigned_external_address = request->client_address},
        .options = {}};
    const wire::Datagram answer = wire::encode_response(response);
    bench::keep(answer);
  }
}

void copy_octets(std::size_t count) {
  std::array<std::byte, wire::map_message_octets> request{};
  std::array<std::byte, wire::map_message_octets> held{};
  std::array<std::byte, wire::map_message_octets> answer{};
  for (std::size_t i = 0; i < count; ++i) {
    bench::keep(request);
    std::memcpy(held.data(), request.data(), held.size());
    bench::keep(held);
    std::memcpy(answer.data(), held.data(), answer.size());
    bench::keep(answer);
  }
}

/// Two UDP sockets on ::1 and the message headers of a batch.
class Echo {
 public:
  Echo() {
    for (int& socket : sockets_) {
      socket = ::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
      PORTOLAN_CHECK(socket >= 0);
      sockaddr_in6 address{};
      address.sin6_family = AF_INET6;
      address.sin6_addr = in6addr_loopback;
      PORTOLAN_CHECK(::bind(socket, as_generic(address), sizeof address) == 0);
    }
    connect(sockets_[0], sockets_[1]);
    for (std::size_t i = 0; i < batch; ++i) {
      vectors_[i] = {.iov_base = buffers_[i].data(), .iov_len = buffers_[i].size()};
      headers_[i].msg_hdr.msg_iov = &vectors_[i];
      headers_[i].msg_hdr.msg_iovlen = 1;
    }
  }
  Echo(const Echo&) = delete;
  auto operator=(const Echo&) -> Echo& = delete;
  ~Echo() {
    for (const int socket : sockets_) ::close(socket);
  }

  /// Client sends `batch` datagrams, server receives and answers them, client receives.
  void once() {
    send(sockets_[0], nullptr);
    receive(sockets_[1], senders_.data());
    send(sockets_[1], senders_.data());
    receive(sockets_[0], nullptr);
  }

 private:
  static auto as_generic(sockaddr_in6& address) -> sockaddr* { return reinterpret_cast<sockaddr*>(&address); }

  static void connect(int from, int to) {
    sockaddr_in6 address{};
    socklen_t size = sizeof address;
    PORTOLAN_CHECK(::getsockname(to, as_generic(address), &size) == 0);
    PORTOLAN_CHECK(::connect(from, as_generic(address), size) == 0);
  }
  void use_names(sockaddr_in6* names) {
    for (std::size_t i = 0; i < batch; ++i) {
      headers_[i].msg_hdr.msg_name = names == nullptr ? nullptr : names + i;
      headers_[i].msg_hdr.msg_namelen = names == nullptr ? 0 : sizeof *names;
    }
  }
  void send(int socket, sockaddr_in6* to) {
    use_names(to);
    PORTOLAN_CHECK(::sendmmsg(socket, headers_.data(), batch, 0) == static_cast<int>(batch));
  }
  void receive(int socket, sockaddr_in6* from) {
    use_names(from);
    PORTOLAN_CHECK(::recvmmsg(socket, headers_.data(), batch, MSG_WAITFORONE, nullptr) ==
                   static_cast<int>(batch));
  }

  std::array<int, 2> sockets_{};
  std::array<std::array<std::byte, wire::map_message_octets>, batch> buffers_{};
  std::array<iovec, batch> vectors_{};
  std::array<mmsghdr, batch> headers_{};
  std::array<sockaddr_in6, batch> senders_{};
};

}  // namespace

auto main(int argc, char** argv) -> int {
  Echo echo;
  return bench::run(
      argc, argv, "ns per MAP request",
      {
          {.name = "decode + encode", .work = decode_and_encode, .count = 200'000},
          {.name = "memcpy 60 + 60", .is_reference = true, .work = copy_octets, .count = 2'000'000},
          {.name = "udp echo",
           .is_reference = true,
           .work =
               [&](std::size_t count) {
                 for (std::size_t i = 0; i < count; i += batch) echo.once();
               },
           .count = batch * 600},
      });
}
