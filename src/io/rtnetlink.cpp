// SPDX-License-Identifier: BSD-2-Clause
#include "io/rtnetlink.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <cerrno>
#include <vector>

namespace portolan::io::rtnetlink {
namespace {

/// The kernel fills at most so much at a time.
constexpr std::size_t buffer_octets = 32768;

auto failed(int number, const char* operation) -> std::unexpected<SystemError> {
  return std::unexpected(SystemError{.number = number, .operation = operation});
}

/// The error that a message of type NLMSG_ERROR carries.
auto error_in(Octets octets) -> int {
  const auto error = take_header<nlmsgerr>(octets);
  return error ? -error->error : EBADMSG;
}

}  // namespace

auto read_address(Octets octets) -> IpAddress {
  if (octets.size() == 4) {
    std::uint32_t value = 0;
    std::memcpy(&value, octets.data(), sizeof value);
    return IpAddress{Ipv4Address{ntohl(value)}};
  }
  Ipv6Address address;
  if (octets.size() == address.octets.size())
    std::memcpy(address.octets.data(), octets.data(), octets.size());
  return IpAddress{address};
}

auto read_number(Octets octets) -> std::uint32_t {
  std::uint32_t value = 0;
  if (octets.size() == sizeof value) std::memcpy(&value, octets.data(), sizeof value);
  return value;
}

auto open(std::uint32_t groups, int flags) -> std::expected<FileDescriptor, SystemError> {
  FileDescriptor socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | flags, NETLINK_ROUTE));
  if (!socket) return failed(errno, "socket");
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = groups;
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return failed(errno, "bind");
  return socket;
}

auto list(std::uint16_t type, int family, const std::function<void(std::uint16_t, Octets)>& visit)
    -> std::expected<void, SystemError> {
  const auto socket = open(0, 0);
  if (!socket) return std::unexpected(socket.error());
  // Each kind of request begins with the family in one octet, and zeros mean "all" in the rest.
  struct {
    nlmsghdr header;
    rtmsg body;
  } request{};
  static_assert(sizeof(rtmsg) >= sizeof(ifaddrmsg) && offsetof(rtmsg, rtm_family) == 0);
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = type;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.body.rtm_family = static_cast<unsigned char>(family);
  if (::send(socket->get(), &request, sizeof request, 0) < 0) return failed(errno, "send");
  // A dump is made while it is read, until its end.
  std::vector<std::byte> buffer(buffer_octets);
  std::optional<int> ended;
  while (!ended) {
    const auto got = ::recv(socket->get(), buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed(errno, "recv");
    for_each_message({buffer.data(), static_cast<std::size_t>(got)}, [&](std::uint16_t kind, Octets payload) {
      if (kind == NLMSG_DONE)
        ended = 0;
      else if (kind == NLMSG_ERROR)
        ended = error_in(payload);
      else if (!ended)
        visit(kind, payload);
    });
  }
  if (*ended == 0 || *ended == EAFNOSUPPORT || *ended == EOPNOTSUPP) return {};
  return failed(*ended, "netlink");
}

}  // namespace portolan::io::rtnetlink
