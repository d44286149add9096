// SPDX-License-Identifier: BSD-2-Clause
//
// Names of hosts to addresses, by the system's resolver.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "io/dns_records.h"

namespace portolan::io {

/// An address with the interface a link-local one is meaningful on.
struct ScopedAddress {
  IpAddress address;
  std::uint32_t interface_index = 0;  ///< 0 unless link-local
  std::string interface;              ///< empty unless link-local
};

/// Addresses of `host`, in the order of the system's preference (RFC 6724): a name, an address, or a
/// link-local address with its zone ("fe80::1%eth0"). Blocks for as long as the resolver takes; an
/// address needs no resolver.
///
/// Errors  text that names the host and the cause
[[nodiscard]] auto resolve(const std::string& host) -> std::expected<std::vector<ScopedAddress>, std::string>;

/// As resolve(), of an address: nothing if `host` is none, or its zone is not there. Never blocks.
[[nodiscard]] auto resolve_address(const std::string& host) -> std::optional<std::vector<ScopedAddress>>;

/// The AAAA records of `name`, by the servers of resolv.conf, past the host's own names and orders of
/// preference. The query has Checking Disabled clear, so that a DNS64 makes its addresses (RFC 7050 s3).
/// Blocks for as long as the resolver takes.
///
/// Out     no addresses if the name has none, or is not there
/// Errors  text: no server answered, or none is known
[[nodiscard]] auto resolve_ipv6_records(const std::string& name) -> std::expected<Ipv6Records, std::string>;

/// The SRV records (RFC 2782) of `name`, like "_sip._udp.mysip.example", in no order. Blocks as resolve()
/// does.
///
/// Out     none if the name has none, or is not there
/// Errors  text: no server answered, or none is known
[[nodiscard]] auto resolve_services(const std::string& name)
    -> std::expected<std::vector<ServiceRecord>, std::string>;

}  // namespace portolan::io
