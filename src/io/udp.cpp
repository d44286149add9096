// SPDX-License-Identifier: BSD-2-Clause
#include "io/udp.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/check.h"

namespace portolan::io {
namespace {

auto to_in_addr(Ipv4Address address) -> in_addr { return {htonl(address.value)}; }
auto from_in_addr(in_addr address) -> IpAddress { return IpAddress{Ipv4Address{ntohl(address.s_addr)}}; }
auto to_in6_addr(const IpAddress& address) -> in6_addr {
  in6_addr result{};
  std::memcpy(&result, address.bits().octets.data(), sizeof result);
  return result;
}
auto from_in6_addr(const in6_addr& address) -> IpAddress {
  Ipv6Address result;
  std::memcpy(result.octets.data(), &address, sizeof address);
  return IpAddress{result};
}

auto is_multicast(const IpAddress& address) -> bool {
  return address.is_ipv4() ? (address.ipv4().value >> 28U) == 0xeU || address.ipv4().value == 0xffffffffU
                           : address.bits().octets[0] == 0xff;
}

/// A socket address of either kind.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = sizeof(sockaddr_storage);

  [[nodiscard]] auto get() -> sockaddr* { return reinterpret_cast<sockaddr*>(&storage); }
};

/// In the form a socket of `family` wants. An IPv6 address keeps its form on an IPv4 socket, where the
/// kernel refuses it.
void encode(SocketAddress& out, Family family, const Endpoint& endpoint, std::uint32_t scope_id) {
  if (family == Family::ipv4 && endpoint.address.is_ipv4()) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(endpoint.port.value);
    address.sin_addr = to_in_addr(endpoint.address.ipv4());
    std::memcpy(&out.storage, &address, sizeof address);
    out.length = sizeof address;
    return;
  }
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(endpoint.port.value);
  address.sin6_addr = to_in6_addr(endpoint.address);
  address.sin6_scope_id = scope_id;
  std::memcpy(&out.storage, &address, sizeof address);
  out.length = sizeof address;
}

/// Sets scope_id to 0 unless the address is link-local.
auto decode(const SocketAddress& in, std::uint32_t& scope_id) -> Endpoint {
  scope_id = 0;
  if (in.storage.ss_family == AF_INET) {
    sockaddr_in address{};
    std::memcpy(&address, &in.storage, sizeof address);
    return {.address = from_in_addr(address.sin_addr), .port = Port{ntohs(address.sin_port)}};
  }
  sockaddr_in6 address{};
  std::memcpy(&address, &in.storage, sizeof address);
  const Endpoint endpoint{.address = from_in6_addr(address.sin6_addr),
                          .port = Port{ntohs(address.sin6_port)}};
  if (endpoint.address.is_link_local()) scope_id = address.sin6_scope_id;
  return endpoint;
}

template <typename Value>
auto set_option(int descriptor, int level, int name, const Value& value) -> bool {
  return ::setsockopt(descriptor, level, name, &value, sizeof value) == 0;
}

auto receive_buffer_of(int descriptor) -> std::size_t {
  int octets = 0;
  socklen_t length = sizeof octets;
  PORTOLAN_CHECK(::getsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &octets, &length) == 0);
  // The kernel doubles what it is asked for, to have room for its own bookkeeping.
  return static_cast<std::size_t>(octets) / 2;
}

void ask_for_receive_buffer(int descriptor, std::size_t octets) {
  const int wanted = static_cast<int>(std::min<std::size_t>(octets, 1U << 30U));
  // FORCE passes the system's limit, but needs CAP_NET_ADMIN; without it we get what the limit allows.
  if (!set_option(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, wanted))
    static_cast<void>(set_option(descriptor, SOL_SOCKET, SO_RCVBUF, wanted));
}

constexpr std::size_t control_bytes = CMSG_SPACE(sizeof(in6_pktinfo)) + CMSG_SPACE(sizeof(in_pktinfo));

/// Room for one ancillary message, aligned as cmsghdr wants it.
struct alignas(cmsghdr) Control {
  std::array<std::byte, control_bytes> octets;
};

template <typename Info>
void put_packet_info(msghdr& message, Control& control, int level, int type, const Info& info) {
  message.msg_control = control.octets.data();
  message.msg_controllen = CMSG_SPACE(sizeof info);
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = level;
  header->cmsg_type = type;
  header->cmsg_len = CMSG_LEN(sizeof info);
  std::memcpy(CMSG_DATA(header), &info, sizeof info);
}

void read_packet_info(msghdr& message, ReceivedDatagram& out) {
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(header), sizeof info);
      out.local_address = from_in6_addr(info.ipi6_addr);
      out.interface_index = info.ipi6_ifindex;
    } else if (header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_PKTINFO) {
      in_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(header), sizeof info);
      out.local_address = from_in_addr(info.ipi_addr);
      out.interface_index = static_cast<unsigned>(info.ipi_ifindex);
    }
  }
}

}  // namespace

struct UdpSocket::Buffers {
  explicit Buffers(std::size_t receive_max)
      : payloads(receive_max),
        messages(receive_max),
        pieces(receive_max),
        addresses(receive_max),
        controls(receive_max),
        received(receive_max) {}

  /// One line longer than what is read into it: else all would compete for the same few lines of the
  /// processor's cache.
  using Payload = std::array<std::byte, datagram_bytes_max + 64>;
  std::vector<Payload> payloads;
  std::vector<mmsghdr> messages;
  std::vector<iovec> pieces;
  std::vector<SocketAddress> addresses;
  std::vector<Control> controls;
  std::vector<ReceivedDatagram> received;
  std::optional<SystemError> error;  ///< met behind datagrams

  // Sending has its own arrays: datagrams received stay valid while answers to them are sent.
  std::array<mmsghdr, batch_max> out_messages{};
  std::array<iovec, batch_max> out_pieces{};
  std::array<SocketAddress, batch_max> out_addresses{};
  std::array<Control, batch_max> out_controls{};
};

auto answer_to(const ReceivedDatagram& request, std::span<const std::byte> payload) -> OutgoingDatagram {
  const bool may_send_from_it = !is_multicast(request.local_address);
  return {.destination = request.source,
          .scope_id = request.scope_id,
          .local_address = may_send_from_it ? request.local_address : IpAddress{},
          .interface_index = request.interface_index,
          .payload = payload};
}

UdpSocket::UdpSocket(FileDescriptor descriptor, Family family, std::size_t receive_max)
    : descriptor_(std::move(descriptor)), family_(family), buffers_(new Buffers(receive_max)) {}
UdpSocket::UdpSocket(UdpSocket&&) noexcept = default;
auto UdpSocket::operator=(UdpSocket&&) noexcept -> UdpSocket& = default;
UdpSocket::~UdpSocket() = default;

auto UdpSocket::open(const UdpOptions& options) -> std::expected<UdpSocket, std::string> {
  const Endpoint wanted{.address = options.bind_address, .port = options.bind_port};
  const auto failure = [&](std::string_view operation) {
    return std::unexpected(fmt::format("UDP {}: {}", wanted, errno_text(operation, errno)));
  };
  Family family = options.bind_address.family();
  const bool takes_both = options.bind_address == IpAddress{};
  const int type = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  FileDescriptor descriptor{::socket(family == Family::ipv6 ? AF_INET6 : AF_INET, type, IPPROTO_UDP)};
  if (!descriptor && errno == EAFNOSUPPORT && takes_both) {
    // A host booted with ipv6.disable=1 still serves its IPv4 clients.
    family = Family::ipv4;
    descriptor.reset(::socket(AF_INET, type, IPPROTO_UDP));
  }
  if (!descriptor) return failure("socket");
  const int socket = descriptor.get();
  constexpr int on = 1;
  if (family == Family::ipv6) {
    if (!set_option(socket, IPPROTO_IPV6, IPV6_V6ONLY, takes_both ? 0 : 1)) return failure("IPV6_V6ONLY");
    // On a dual-stack socket it also tells of IPv4 datagrams, in mapped form.
    if (!set_option(socket, IPPROTO_IPV6, IPV6_RECVPKTINFO, on)) return failure("IPV6_RECVPKTINFO");
  } else if (!set_option(socket, IPPROTO_IP, IP_PKTINFO, on)) {
    return failure("IP_PKTINFO");
  }
  if (options.shares_port && !set_option(socket, SOL_SOCKET, SO_REUSEADDR, on))
    return failure("SO_REUSEADDR");
  if (!options.device.empty() && ::setsockopt(socket, SOL_SOCKET, SO_BINDTODEVICE, options.device.data(),
                                              static_cast<socklen_t>(options.device.size())) != 0)
    return failure(fmt::format("SO_BINDTODEVICE {}", options.device));
  if (options.receive_buffer_bytes != 0) ask_for_receive_buffer(socket, options.receive_buffer_bytes);
  SocketAddress address;
  encode(address, family, {takes_both ? IpAddress::unspecified(family) : wanted.address, wanted.port},
         options.scope_id);
  if (::bind(socket, address.get(), address.length) != 0) return failure("bind");
  return UdpSocket{std::move(descriptor), family, std::max<std::size_t>(options.receive_max, 1)};
}

auto UdpSocket::connect(const Endpoint& peer, std::uint32_t scope_id) -> std::expected<void, std::string> {
  if (family_ == Family::ipv4 && !peer.address.is_ipv4())
    return std::unexpected(fmt::format("UDP to {}: the socket speaks IPv4 only", peer));
  SocketAddress address;
  encode(address, family_, peer, scope_id);
  if (::connect(descriptor_.get(), address.get(), address.length) != 0)
    return std::unexpected(fmt::format("UDP to {}: {}", peer, errno_text("connect", errno)));
  peer_family_ = peer.address.family();
  return {};
}

auto UdpSocket::join(const IpAddress& group, unsigned interface_index) -> std::expected<void, std::string> {
  group_req request{};
  request.gr_interface = interface_index;
  SocketAddress address;
  encode(address, group.family(), {.address = group, .port = Port{}}, 0);
  request.gr_group = address.storage;
  const int level = group.is_ipv4() ? IPPROTO_IP : IPPROTO_IPV6;
  if (set_option(descriptor_.get(), level, MCAST_JOIN_GROUP, request) || errno == EADDRINUSE) return {};
  return std::unexpected(fmt::format("group {} on interface {}: {}", group, interface_index,
                                     errno_text("MCAST_JOIN_GROUP", errno)));
}

auto UdpSocket::receive() noexcept -> std::expected<std::span<const ReceivedDatagram>, SystemError> {
  Buffers& buffers = *buffers_;
  if (const auto error = std::exchange(buffers.error, {})) return std::unexpected(*error);
  std::size_t count = 0;
  while (count < buffers.messages.size()) {
    const std::size_t asked = std::min(buffers.messages.size() - count, batch_max);
    const auto got = receive_batch(count, asked);
    if (!got && count == 0) return std::unexpected(got.error());
    if (!got) buffers.error = got.error();  // told next time
    count += got.value_or(0);
    if (got.value_or(0) < asked) break;
  }
  return std::span(buffers.received).first(count);
}

auto UdpSocket::receive_batch(std::size_t first, std::size_t size) noexcept
    -> std::expected<std::size_t, SystemError> {
  Buffers& buffers = *buffers_;
  for (std::size_t i = first; i < first + size; ++i) {
    buffers.pieces[i] = {.iov_base = buffers.payloads[i].data(), .iov_len = datagram_bytes_max};
    msghdr& header = buffers.messages[i].msg_hdr;
    header = {};
    header.msg_name = buffers.addresses[i].get();
    header.msg_namelen = sizeof(sockaddr_storage);
    header.msg_iov = &buffers.pieces[i];
    header.msg_iovlen = 1;
    header.msg_control = buffers.controls[i].octets.data();
    header.msg_controllen = control_bytes;
  }
  int count = -1;
  do {
    // MSG_TRUNC makes the kernel report the true length of a datagram that did not fit.
    count = ::recvmmsg(descriptor_.get(), &buffers.messages[first], static_cast<unsigned>(size), MSG_TRUNC,
                       nullptr);
  } while (count < 0 && errno == EINTR);
  if (count < 0) {
    if (errno == EAGAIN) return 0;
    return std::unexpected(SystemError{errno, "recvmmsg"});
  }
  for (std::size_t i = first; i < first + static_cast<std::size_t>(count); ++i) {
    ReceivedDatagram& datagram = buffers.received[i];
    datagram = {};
    datagram.source = decode(buffers.addresses[i], datagram.scope_id);
    datagram.length = buffers.messages[i].msg_len;
    datagram.payload =
        std::span(buffers.payloads[i]).first(std::min<std::size_t>(datagram.length, datagram_bytes_max));
    read_packet_info(buffers.messages[i].msg_hdr, datagram);
  }
  return static_cast<std::size_t>(count);
}

auto UdpSocket::send(std::span<const OutgoingDatagram> batch) noexcept -> SendResult {
  Buffers& buffers = *buffers_;
  SendResult result;
  const auto note = [&result](int number) {
    if (!result.error) result.error = SystemError{number, "sendmmsg"};
  };
  const OutgoingDatagram* tried_again = nullptr;
  while (!batch.empty()) {
    const std::size_t count = std::min(batch.size(), batch_max);
    for (std::size_t i = 0; i < count; ++i) {
      const OutgoingDatagram& datagram = batch[i];
      // sendmmsg() only reads the payload; iovec has no const form.
      buffers.out_pieces[i] = {.iov_base = const_cast<std::byte*>(datagram.payload.data()),
                               .iov_len = datagram.payload.size()};
      msghdr& header = buffers.out_messages[i].msg_hdr;
      header = {};
      header.msg_iov = &buffers.out_pieces[i];
      header.msg_iovlen = 1;
      if (!peer_family_) {
        encode(buffers.out_addresses[i], family_, datagram.destination, datagram.scope_id);
        header.msg_name = buffers.out_addresses[i].get();
        header.msg_namelen = buffers.out_addresses[i].length;
      }
      if (datagram.local_address.is_unspecified() && datagram.interface_index == 0) continue;
      if (family_ == Family::ipv4) {
        in_pktinfo info{};
        info.ipi_ifindex = static_cast<int>(datagram.interface_index);
        if (datagram.local_address.is_ipv4()) info.ipi_spec_dst = to_in_addr(datagram.local_address.ipv4());
        put_packet_info(header, buffers.out_controls[i], IPPROTO_IP, IP_PKTINFO, info);
      } else {
        in6_pktinfo info{};
        info.ipi6_ifindex = datagram.interface_index;
        // To an IPv4 destination even "unspecified" has to be in mapped form.
        const Family to = peer_family_.value_or(datagram.destination.address.family());
        info.ipi6_addr = to_in6_addr(to == Family::ipv4 && datagram.local_address.is_unspecified()
                                         ? IpAddress::unspecified(Family::ipv4)
                                         : datagram.local_address);
        put_packet_info(header, buffers.out_controls[i], IPPROTO_IPV6, IPV6_PKTINFO, info);
      }
    }
    // A failure is reported only if it is the first datagram's; those before it count as sent.
    const int sent = ::sendmmsg(descriptor_.get(), buffers.out_messages.data(), static_cast<unsigned>(count),
                                MSG_NOSIGNAL);
    if (sent > 0) {
      result.sent += static_cast<std::size_t>(sent);
      batch = batch.subspan(static_cast<std::size_t>(sent));
      continue;
    }
    const int number = errno;
    if (number == EINTR) continue;
    if (number == EAGAIN || number == ENOBUFS || number == ENOMEM) {
      if (number != EAGAIN) note(number);
      result.unsent = batch.size();
      return result;
    }
    note(number);
    // On a connected socket this may be an ICMP error about an earlier datagram: telling it cleared it, and
    // kept this one from being sent.
    if (peer_family_ && tried_again != batch.data()) {
      tried_again = batch.data();
      continue;
    }
    ++result.refused;
    batch = batch.subspan(1);
  }
  return result;
}

auto UdpSocket::descriptor() const noexcept -> int { return descriptor_.get(); }

auto UdpSocket::local_endpoint() const -> Endpoint {
  SocketAddress address;
  PORTOLAN_CHECK(::getsockname(descriptor_.get(), address.get(), &address.length) == 0);
  std::uint32_t scope_id = 0;
  return decode(address, scope_id);
}

auto UdpSocket::receive_buffer_bytes() const noexcept -> std::size_t {
  return receive_buffer_of(descriptor_.get());
}

}  // namespace portolan::io
