// SPDX-License-Identifier: BSD-2-Clause
//
// What DHCP servers send and DHCP clients write down, as messages, as the options alone and as text.
// Properties: limits hold; each server has an address, and none that RFC 7291 wants left out; an option that
// is made of the servers that were found leads to the same servers.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "discovery/dhcp.h"
#include "discovery/lease_text.h"

namespace portolan::discovery {
namespace {

void check_address(const IpAddress& address) {
  PORTOLAN_CHECK(!address.is_unspecified());
  if (address.is_ipv4()) {
    const std::uint32_t first = address.ipv4().value >> 24U;
    PORTOLAN_CHECK(first != 127 && (first < 224 || first >= 240));
  } else {
    PORTOLAN_CHECK(address.bits().octets[0] != 0xff && address != IpAddress::parse("::1").value());
  }
}

void check_servers(const std::vector<AddressList>& servers) {
  PORTOLAN_CHECK(servers.size() <= servers_max);
  for (const AddressList& addresses : servers) {
    PORTOLAN_CHECK(!addresses.empty() && addresses.size() <= server_addresses_max);
    std::ranges::for_each(addresses, check_address);
  }
}

void check_option4(std::span<const std::byte> octets) {
  const auto servers = parse_dhcp4_servers(octets);
  PORTOLAN_CHECK(servers || !to_string(servers.error()).empty());
  if (!servers) return;
  check_servers(*servers);
  std::vector<std::byte> option;
  for (const AddressList& addresses : *servers) {
    option.push_back(static_cast<std::byte>(4 * addresses.size()));
    for (const IpAddress& address : addresses) {
      const auto bits = std::as_bytes(std::span(address.bits().octets)).last(4);
      option.insert(option.end(), bits.begin(), bits.end());
    }
  }
  PORTOLAN_CHECK(parse_dhcp4_servers(option) == servers);
}

void check_option6(std::span<const std::byte> octets) {
  const auto server = parse_dhcp6_server(octets);
  PORTOLAN_CHECK(server || !to_string(server.error()).empty());
  if (!server) return;
  check_servers({*server});
  std::vector<std::byte> option;
  for (const IpAddress& address : *server) {
    const auto bits = std::as_bytes(std::span(address.bits().octets));
    option.insert(option.end(), bits.begin(), bits.end());
  }
  PORTOLAN_CHECK(parse_dhcp6_server(option) == server);
}

void check_file(const LeaseFile& file) {
  PORTOLAN_CHECK(file.leases.size() <= leases_max && file.problems.size() <= leases_max);
  for (const Lease& lease : file.leases) {
    PORTOLAN_CHECK(lease.addresses.size() <= server_addresses_max);
    check_servers(lease.servers);
  }
}

}  // namespace

extern "C" auto LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) -> int {
  const auto octets = std::as_bytes(std::span(data, size));
  check_option4(octets);
  check_option6(octets);
  if (const auto lease = parse_dhcp4_message(octets)) check_servers(lease->servers);
  if (const auto lease = parse_dhcp6_message(octets)) check_servers(lease->servers);
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_file(parse_dhclient_leases(text));
  check_file(parse_networkd_lease(text));
  return 0;
}

}  // namespace portolan::discovery
