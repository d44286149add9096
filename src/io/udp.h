// SPDX-License-Identifier: BSD-2-Clause
//
// UDP sockets that move datagrams in batches, one system call for up to 64, and know for each datagram
// which local address and interface it came to, so that the answer leaves from there: a PCP client
// drops answers from any other address (RFC 6887 s8.3).
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/address.h"
#include "io/file_descriptor.h"
#include "io/system.h"

namespace portolan::io {

struct UdpOptions {
  /// The default, the IPv6 unspecified address, serves both families; an IPv4 address makes an IPv4
  /// socket, an IPv6 one an IPv6-only socket.
  IpAddress bind_address = {};
  Port bind_port = {};                   ///< 0: the kernel chooses
  std::uint32_t scope_id = 0;            ///< interface index; needed to bind a link-local address
  std::string device = {};               ///< SO_BINDTODEVICE, unless empty
  std::size_t receive_buffer_bytes = 0;  ///< 0: the system's default
  bool shares_port = false;              ///< SO_REUSEADDR: several sockets hear multicast on one port
  std::size_t receive_max = 64;          ///< datagrams one receive() takes at most
};

/// One datagram that arrived; payload borrowed from the socket until its next receive().
struct ReceivedDatagram {
  Endpoint source = {};                     ///< an IPv4 sender as its IPv4-mapped address
  std::uint32_t scope_id = 0;               ///< interface index if the source is link-local, else 0
  IpAddress local_address = {};             ///< the destination address of the datagram, multicast included
  unsigned interface_index = 0;             ///< where it came in
  std::span<const std::byte> payload = {};  ///< at most UdpSocket::datagram_bytes_max octets
  std::size_t length = 0;  ///< the datagram's true length, more than payload.size() if it was cut

  [[nodiscard]] auto is_cut() const noexcept -> bool { return length > payload.size(); }
};

/// One datagram to send; payload borrowed for the call.
struct OutgoingDatagram {
  Endpoint destination = {};     ///< ignored on a connected socket
  std::uint32_t scope_id = 0;    ///< interface index, if the destination is link-local or multicast
  IpAddress local_address = {};  ///< source address to use; unspecified: the kernel chooses
  unsigned interface_index = 0;  ///< interface to leave by; 0: the routing table chooses
  std::span<const std::byte> payload = {};
};

/// `payload` addressed back to where `request` came from, from the address and interface it came to.
/// A multicast local address is left out: nothing may be sent from one.
[[nodiscard]] auto answer_to(const ReceivedDatagram& request, std::span<const std::byte> payload)
    -> OutgoingDatagram;

/// What became of a batch: sent + refused + unsent = its size.
struct SendResult {
  std::size_t sent = 0;
  std::size_t refused = 0;                ///< the kernel would not send it (no route, bad address, filtered)
  std::size_t unsent = 0;                 ///< the last ones, left over because the send buffer is full
  std::optional<SystemError> error = {};  ///< the first refusal's reason, or a pending ICMP error
};

/// Non-blocking UDP socket with buffers of its own. Thread: one at a time.
class UdpSocket {
 public:
  static constexpr std::size_t batch_max = 64;
  static constexpr std::size_t datagram_bytes_max = 2048;

  /// Errors  text that names address, port and cause
  [[nodiscard]] static auto open(const UdpOptions& options) -> std::expected<UdpSocket, std::string>;

  UdpSocket(UdpSocket&&) noexcept;
  auto operator=(UdpSocket&&) noexcept -> UdpSocket&;
  ~UdpSocket();

  /// Fixes the peer: only its datagrams arrive, and ICMP errors about it surface in receive().
  [[nodiscard]] auto connect(const Endpoint& peer, std::uint32_t scope_id = 0)
      -> std::expected<void, std::string>;

  /// Hears a multicast group on one interface.
  [[nodiscard]] auto join(const IpAddress& group, unsigned interface_index)
      -> std::expected<void, std::string>;

  /// Takes what waits, at most UdpOptions::receive_max datagrams; empty if nothing does.
  ///
  /// Errors  of the socket: ECONNREFUSED, EHOSTUNREACH, … tell of an ICMP error about an earlier datagram
  ///         of a connected socket. Each is reported once; the socket stays usable.
  /// Cost    one system call per batch_max datagrams, no allocation
  [[nodiscard]] auto receive() noexcept -> std::expected<std::span<const ReceivedDatagram>, SystemError>;

  /// Sends in order. A datagram the kernel refuses is counted and skipped; the rest still goes out.
  /// Cost  one system call per batch_max datagrams, no allocation
  auto send(std::span<const OutgoingDatagram> batch) noexcept -> SendResult;
  auto send(const OutgoingDatagram& datagram) noexcept -> SendResult { return send({&datagram, 1}); }

  [[nodiscard]] auto descriptor() const noexcept -> int;
  /// Address and port bound to; after connect(), the source address the kernel chose.
  [[nodiscard]] auto local_endpoint() const -> Endpoint;
  /// Octets the kernel may queue for this socket: less than asked for if the process may not have more
  /// (remedy: CAP_NET_ADMIN or sysctl net.core.rmem_max).
  [[nodiscard]] auto receive_buffer_bytes() const noexcept -> std::size_t;

 private:
  struct Buffers;
  UdpSocket(FileDescriptor descriptor, Family family, std::size_t receive_max);
  /// Fills `size` (at most batch_max) buffers from `first` on; how many it filled.
  [[nodiscard]] auto receive_batch(std::size_t first, std::size_t size) noexcept
      -> std::expected<std::size_t, SystemError>;

  FileDescriptor descriptor_;
  Family family_;
  std::optional<Family> peer_family_;  ///< set once connected
  std::unique_ptr<Buffers> buffers_;
};

}  // namespace portolan::io
