// SPDX-License-Identifier: BSD-2-Clause
#include "discovery/dhcp.h"

#include <array>
#include <cstdint>
#include <utility>

#include "base/bytes.h"

namespace portolan::discovery {
namespace {

constexpr std::byte boot_reply{2};
constexpr std::size_t bootp_octets = 236;
constexpr std::size_t bootp_yiaddr = 16;
constexpr std::size_t bootp_sname = 44;
constexpr std::size_t bootp_sname_octets = 64;
constexpr std::size_t bootp_file = 108;
constexpr std::size_t bootp_file_octets = 128;
constexpr std::uint32_t magic_cookie = 0x63825363;

constexpr std::uint8_t option4_pad = 0;
constexpr std::uint8_t option4_overload = 52;
constexpr std::uint8_t option4_pcp_server = 158;
constexpr std::uint8_t option4_end = 255;

constexpr std::uint8_t message6_reply = 7;
constexpr std::size_t message6_header_octets = 4;
constexpr std::uint16_t option6_ia_na = 3;
constexpr std::uint16_t option6_ia_ta = 4;
constexpr std::uint16_t option6_ia_address = 5;
constexpr std::uint16_t option6_pcp_server = 86;

auto is_usable(const IpAddress& address) -> bool {
  if (address.is_unspecified()) return false;
  if (address.is_ipv4()) {
    const std::uint32_t first = address.ipv4().value >> 24U;
    return first != 127 && (first & 0xf0U) != 0xe0U && address.ipv4().value != UINT32_MAX;
  }
  constexpr IpAddress loopback{Ipv6Address{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}}};
  return address != loopback && address.bits().octets[0] != 0xff;
}

void add_usable(const IpAddress& address, AddressList& list) {
  if (list.size() < server_addresses_max && is_usable(address)) list.push_back(address);
}

auto read_ipv4(ByteReader& reader) -> IpAddress {
  return IpAddress{Ipv4Address{reader.read<std::uint32_t>()}};
}

/// What the options of one field of a DHCPv4 message say.
struct Options4 {
  std::vector<std::byte> servers;  ///< all parts of option 158
  std::uint8_t overload = 0;
};

auto read_options4(std::span<const std::byte> field, Options4& found) -> std::expected<void, DhcpError> {
  ByteReader reader(field);
  while (reader.remaining() > 0) {
    const auto code = reader.read<std::uint8_t>();
    if (code == option4_pad) continue;
    if (code == option4_end) return {};
    const auto length = reader.read<std::uint8_t>();
    const auto value = reader.take(length);
    if (!reader.ok()) return std::unexpected(DhcpError::cut);
    if (code == option4_pcp_server) found.servers.insert(found.servers.end(), value.begin(), value.end());
    if (code == option4_overload && length == 1) found.overload = std::to_integer<std::uint8_t>(value[0]);
  }
  return {};
}

/// Leased addresses in the options of an IA_NA or IA_TA.
void read_addresses6(std::span<const std::byte> options, std::vector<IpAddress>& addresses) {
  ByteReader reader(options);
  while (reader.remaining() > 0) {
    const auto code = reader.read<std::uint16_t>();
    ByteReader value(reader.take(reader.read<std::uint16_t>()));
    if (!reader.ok()) return;
    if (code != option6_ia_address) continue;
    const IpAddress address = value.read_address();
    if (value.ok() && addresses.size() < server_addresses_max) addresses.push_back(address);
  }
}

}  // namespace

auto to_string(DhcpError error) -> std::string_view {
  switch (error) {
    case DhcpError::bad_length: return "the PCP server option is not as long as addresses are (RFC 7291)";
    case DhcpError::no_address: return "the PCP server option names no address of a server";
    case DhcpError::cut: return "the message ends within an option";
    case DhcpError::not_dhcp: return "this is no answer of a DHCP server";
  }
  std::unreachable();
}

auto parse_dhcp4_servers(std::span<const std::byte> value)
    -> std::expected<std::vector<AddressList>, DhcpError> {
  std::vector<AddressList> servers;
  ByteReader reader(value);
  if (value.empty()) return std::unexpected(DhcpError::bad_length);
  while (reader.remaining() > 0) {
    const auto length = reader.read<std::uint8_t>();
    ByteReader list(reader.take(length));
    if (!reader.ok() || length == 0 || length % 4 != 0) return std::unexpected(DhcpError::bad_length);
    AddressList addresses;
    while (list.remaining() > 0) add_usable(read_ipv4(list), addresses);
    if (!addresses.empty() && servers.size() < servers_max) servers.push_back(std::move(addresses));
  }
  if (servers.empty()) return std::unexpected(DhcpError::no_address);
  return servers;
}

auto parse_dhcp6_server(std::span<const std::byte> value) -> std::expected<AddressList, DhcpError> {
  constexpr std::size_t address_octets = 16;
  if (value.empty() || value.size() % address_octets != 0) return std::unexpected(DhcpError::bad_length);
  ByteReader reader(value);
  AddressList addresses;
  while (reader.remaining() > 0) add_usable(reader.read_address(), addresses);
  if (addresses.empty()) return std::unexpected(DhcpError::no_address);
  return addresses;
}

auto parse_dhcp4_message(std::span<const std::byte> message) -> std::expected<Lease, DhcpError> {
  ByteReader reader(message);
  reader.skip(bootp_octets);
  if (reader.read<std::uint32_t>() != magic_cookie || !reader.ok() || message[0] != boot_reply)
    return std::unexpected(DhcpError::not_dhcp);
  Options4 found;
  if (auto read = read_options4(reader.take(reader.remaining()), found); !read)
    return std::unexpected(read.error());
  // Bit 0: the file field has options too, bit 1: the sname field (RFC 2132 s9.3), in this order (RFC 3396
  // s5).
  const std::uint8_t overload = found.overload;
  if ((overload & 1U) != 0) {
    if (auto read = read_options4(message.subspan(bootp_file, bootp_file_octets), found); !read)
      return std::unexpected(read.error());
  }
  if ((overload & 2U) != 0) {
    if (auto read = read_options4(message.subspan(bootp_sname, bootp_sname_octets), found); !read)
      return std::unexpected(read.error());
  }
  Lease lease;
  ByteReader address(message.subspan(bootp_yiaddr));
  if (const IpAddress leased = read_ipv4(address); !leased.is_unspecified())
    lease.addresses.push_back(leased);
  if (found.servers.empty()) return lease;
  auto servers = parse_dhcp4_servers(found.servers);
  if (!servers) return std::unexpected(servers.error());
  lease.servers = std::move(*servers);
  return lease;
}

auto parse_dhcp6_message(std::span<const std::byte> message) -> std::expected<Lease, DhcpError> {
  ByteReader reader(message);
  const auto type = reader.read<std::uint8_t>();
  reader.skip(message6_header_octets - 1);
  if (!reader.ok() || type != message6_reply) return std::unexpected(DhcpError::not_dhcp);
  Lease lease;
  while (reader.remaining() > 0) {
    const auto code = reader.read<std::uint16_t>();
    const auto value = reader.take(reader.read<std::uint16_t>());
    if (!reader.ok()) return std::unexpected(DhcpError::cut);
    // IAID, T1 and T2 stand before the options of an IA_NA, an IAID alone before those of an IA_TA.
    const std::size_t skipped = code == option6_ia_na ? 12 : 4;
    if ((code == option6_ia_na || code == option6_ia_ta) && value.size() >= skipped)
      read_addresses6(value.subspan(skipped), lease.addresses);
    if (code != option6_pcp_server) continue;
    auto server = parse_dhcp6_server(value);
    if (!server) return std::unexpected(server.error());
    if (lease.servers.size() < servers_max) lease.servers.push_back(std::move(*server));
  }
  return lease;
}

}  // namespace portolan::discovery
