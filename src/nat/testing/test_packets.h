// SPDX-License-Identifier: BSD-2-Clause
//
// Packets for tests: built field by field, and told in one line each, as tcpdump does. Both sides are
// written without the code under test, checksums octet by octet, so that neither can hide the other's
// mistake.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "nat/packet.h"

namespace portolan::nat::test {

using Octets = std::vector<std::uint8_t>;

/// RFC 1071, the slow and obvious way, over big-endian words.
[[nodiscard]] auto internet_checksum(std::span<const std::uint8_t> octets, std::uint32_t initial = 0)
    -> std::uint16_t;

/// Builds one packet. Lengths and checksums are right unless told otherwise.
class PacketBuilder {
 public:
  /// From and to addresses of either, but one, family.
  PacketBuilder(std::string_view source, std::string_view destination);

  auto udp(std::uint16_t source_port, std::uint16_t destination_port) -> PacketBuilder&;
  auto tcp(std::uint16_t source_port, std::uint16_t destination_port, std::string_view flags)
      -> PacketBuilder&;
  /// Of a TCP segment, in multiples of 4 octets.
  auto tcp_options(const Octets& options) -> PacketBuilder&;
  auto echo_request(std::uint16_t identifier) -> PacketBuilder&;
  auto echo_reply(std::uint16_t identifier) -> PacketBuilder&;
  /// An ICMP message of the packet's family whose octets 4-7 are `rest` and that quotes `quoted`.
  auto icmp(std::uint8_t type, std::uint8_t code, std::uint32_t rest, Octets quoted) -> PacketBuilder&;
  auto protocol(std::uint8_t number) -> PacketBuilder&;

  auto payload(std::string_view text) -> PacketBuilder&;
  auto payload(Octets octets) -> PacketBuilder&;
  auto payload_size(std::size_t size) -> PacketBuilder&;
  auto ttl(std::uint8_t value) -> PacketBuilder&;
  auto tos(std::uint8_t value) -> PacketBuilder&;
  auto identification(std::uint16_t value) -> PacketBuilder&;
  auto dont_fragment() -> PacketBuilder&;
  /// IPv4 flags and offset field, or the IPv6 fragment header's offset and M field.
  auto fragment_field(std::uint16_t value) -> PacketBuilder&;
  auto ipv4_options(Octets options) -> PacketBuilder&;
  /// An IPv6 extension header: its number and its octets, the first of which is filled in.
  auto extension(std::uint8_t number, Octets octets) -> PacketBuilder&;
  auto zero_checksum() -> PacketBuilder&;
  auto bad_checksum() -> PacketBuilder&;
  /// Leaves the pseudo-header's sum in the checksum field, as offloading senders do.
  auto partial_checksum() -> PacketBuilder&;

  [[nodiscard]] auto build() const -> Octets;

 private:
  struct Extension {
    std::uint8_t number;
    Octets octets;
  };
  [[nodiscard]] auto transport() const -> Octets;

  IpAddress source_;
  IpAddress destination_;
  std::uint8_t protocol_ = 59;
  Octets transport_header_;
  Octets payload_;
  std::uint8_t ttl_ = 64;
  std::uint8_t tos_ = 0;
  std::uint16_t identification_ = 0;
  std::uint16_t flags_ = 0;
  std::optional<std::uint16_t> fragment_;
  Octets options_;
  std::vector<Extension> extensions_;
  enum class Checksum : std::uint8_t { right, zero, bad, partial } checksum_ = Checksum::right;
};

/// One line about a packet; what is wrong with it is told at the end in capitals.
///
///   198.51.100.7:80 > 192.0.2.14:40000 tcp SA ttl 63 "hello"
///   2001:db8::1 > 2001:db8::2 icmp 1/4 ttl 64 [2001:db8::2:1000 > ... udp ...]
///
/// TOS, DF and MTU fields appear if they are not 0.
[[nodiscard]] auto describe(std::span<const std::uint8_t> packet) -> std::string;

/// The same for a packet that needs_csum: the checksum is completed first, as the kernel would.
[[nodiscard]] auto describe(std::span<const std::uint8_t> packet, const Offload& offload) -> std::string;

/// What is wrong with the packet's lengths and checksums, or nothing.
[[nodiscard]] auto find_fault(std::span<const std::uint8_t> packet) -> std::string;

/// An IPv6 packet from its fragments, in the order given; nothing if they don't belong together, leave a
/// gap, or lie about their lengths.
[[nodiscard]] auto reassemble(const std::vector<Octets>& fragments) -> std::optional<Octets>;

/// Octets behind the transport header.
[[nodiscard]] auto payload_of(std::span<const std::uint8_t> packet) -> Octets;

}  // namespace portolan::nat::test
