// SPDX-License-Identifier: BSD-2-Clause
//
// Which queue of a multiqueue TUN a packet of a NAT64 comes out of: one that the inside host's and the
// external port's owner reads, so that seldom anybody has to hand packets over. The kernel runs it as a
// program of a few instructions, written out here, so that nothing is needed to build them or to run them.
//
//   from IPv6   by the subscriber: the first bits of the source; of an ICMPv6 error the destination of the
//               packet that it quotes, because routers send errors too
//   from IPv4   by the block of the destination port; of a ping by its identifier; of an ICMP error by the
//               source port of the packet that it quotes. Fragments, and what else there is, to queue 0
//
// It is an optimisation: where the kernel refuses the program, flows are spread by their hash, and whoever
// reads a packet must find out himself whose it is.
#pragma once

#include <cstdint>
#include <expected>

#include "base/address.h"
#include "io/file_descriptor.h"
#include "io/system.h"

namespace portolan::io {

class Steering {
 public:
  /// Ports that go to one queue together.
  static constexpr unsigned ports_per_block = 64;
  static constexpr unsigned prefix_length_max = 128;

  /// `prefix_length` bits of an IPv6 address tell subscribers apart, 1 to 128.
  explicit Steering(unsigned prefix_length);

  /// A number of 16 bits, the same for all addresses of a subscriber; modulo the number of queues, the queue.
  [[nodiscard]] auto subscriber(const Ipv6Address& address) const noexcept -> std::uint32_t;
  /// The same for external ports, and identifiers of pings.
  [[nodiscard]] static constexpr auto block(std::uint16_t port) noexcept -> std::uint32_t {
    return port / ports_per_block;
  }

  /// The program, loaded; the kernel's refusal if it wants CAP_BPF or has no BPF.
  [[nodiscard]] auto load() const -> std::expected<FileDescriptor, SystemError>;

 private:
  [[nodiscard]] auto mask(unsigned word) const noexcept -> std::uint32_t;

  unsigned prefix_length_;
};

}  // namespace portolan::io
